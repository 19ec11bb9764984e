"""Intake: the start, what a watch tells, what it misses, and how that is noticed. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hopper.controller.fanout import SUMMARY_DELAY
from hopper.controller.intake import Intake
from hopper.ports import UnavailableError
from hopper.registry import InstanceChange, InstanceIndex
from hopper.watch import Feed, InstanceReader
from tests.unit.watch.fake_lister import FakeLister, instance_manifest

pytestmark = pytest.mark.looptime

RESYNC = 600.0


class Line:
    """Stands where the queue stands, and remembers what was added with which delay."""

    def __init__(self) -> None:
        self.added: dict[str, float] = {}

    def add(self, key: tuple[str, str], delay: float = 0.0) -> None:
        self.added[key[1]] = min(delay, self.added.get(key[1], delay))

    def take(self) -> dict[str, float]:
        taken, self.added = self.added, {}
        return taken


class Scene:
    """An intake among a registry, a line and a cluster."""

    def __init__(self, *objects: dict[str, Any], namespaces: tuple[str, ...] = ("default",)) -> None:
        self.store = FakeLister(*objects)
        self.registry = InstanceIndex()
        self.line = Line()
        self.changes: list[InstanceChange] = []
        self.intake = Intake(
            self.registry,
            InstanceReader(),
            self.line,  # type: ignore[arg-type]
            self.store,
            namespaces,
            listeners=[self.changes.append],
            resync_seconds=RESYNC,
        )

    @property
    def known(self) -> set[str]:
        return {it.name for it in self.registry}

    @property
    def feed(self) -> Feed:
        return self.intake.feeds[0]

    def tell(self, kind: str, *objects: dict[str, Any]) -> None:
        for found in objects:
            self.feed.handle_event(kind, found)

    async def list_all(self) -> None:
        """List everything, as happens where the watch starts, or starts over."""
        for namespace in self.feed.namespaces:
            await self.feed.relist(self.store, namespace)

    async def sync(self) -> Scene:
        await self.list_all()
        async with asyncio.timeout(10):
            await self.intake.sync()
        self.line.take()
        return self

    @asynccontextmanager
    async def resyncing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.intake.resync.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class TestStart:
    async def test_synced_when_all_that_exists_is_known(self) -> None:
        scene = Scene(instance_manifest("a"), instance_manifest("b"))
        scene.store.seconds = 5
        syncing = asyncio.create_task(scene.intake.sync())
        listing = asyncio.create_task(scene.list_all())
        await asyncio.sleep(9)
        assert scene.known == {"a"}
        assert not scene.intake.synced.is_set()
        await listing
        async with asyncio.timeout(0.1):
            await syncing
        assert scene.intake.synced.is_set()
        assert scene.line.take() == {"a": 0, "b": 0}

    async def test_an_empty_cluster_is_synced_at_once(self) -> None:
        await Scene().sync()

    async def test_what_nothing_can_be_made_of_keeps_nobody_waiting(self) -> None:
        scene = Scene(instance_manifest("a"), instance_manifest("odd", scope="Galaxy"))
        await scene.sync()
        assert scene.known == {"a"}

    async def test_a_list_that_breaks_off_is_no_list(self) -> None:
        scene = Scene(instance_manifest("a"))
        scene.store.error = UnavailableError("away")
        syncing = asyncio.create_task(scene.intake.sync())
        with pytest.raises(UnavailableError):
            await scene.list_all()
        await asyncio.sleep(60)
        assert not syncing.done()
        scene.store.error = None
        await scene.list_all()
        async with asyncio.timeout(0.1):
            await syncing

    async def test_each_namespace_that_is_served_is_waited_for(self) -> None:
        scene = Scene(
            instance_manifest("a", namespace="one"),
            instance_manifest("b", namespace="two"),
            instance_manifest("c"),
            namespaces=("one", "two"),
        )
        syncing = asyncio.create_task(scene.intake.sync())
        await scene.feed.relist(scene.store, "one")
        await asyncio.sleep(10)
        assert not syncing.done()
        await scene.feed.relist(scene.store, "two")
        await syncing
        assert scene.known == {"a", "b"}

    async def test_no_namespaces_mean_all(self) -> None:
        scene = Scene(instance_manifest("a", namespace="one"), instance_manifest("b", namespace="two"), namespaces=())
        await scene.sync()
        assert scene.known == {"a", "b"}
        assert scene.store.lists == 1

    async def test_until_then_nobody_is_told_of_relatives(self) -> None:
        scene = Scene(instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"}))
        await scene.list_all()
        scene.line.take()
        scene.tell("MODIFIED", instance_manifest("a", 2, desiredState="Paused"))
        assert scene.line.take() == {"a": 0}


class TestEvents:
    async def test_a_change_concerns_the_instance_and_its_relatives(self) -> None:
        scene = await Scene(
            instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"}), instance_manifest("c")
        ).sync()
        scene.tell("MODIFIED", instance_manifest("a", 2, desiredState="Paused"))
        assert scene.line.take() == {"a": 0, "b": 0}

    async def test_a_new_child_is_counted_at_once_where_the_deletion_is_not_guarded_yet(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.tell("ADDED", instance_manifest("b", 2, parentRef={"name": "a"}))
        assert scene.line.take() == {"a": 0, "b": 0}

    async def test_parents_count_with_patience_once_they_are_guarded(self) -> None:
        parent = instance_manifest("a")
        parent["metadata"]["finalizers"] = ["hopper.dev/ordered-deletion"]
        scene = await Scene(parent, instance_manifest("b", parentRef={"name": "a"})).sync()
        child = instance_manifest("b", 2, parentRef={"name": "a"})
        child["status"] = {"phase": "Running"}
        scene.tell("MODIFIED", child)
        assert scene.line.take() == {"a": SUMMARY_DELAY, "b": 0}

    async def test_what_is_known_already_concerns_nobody(self) -> None:
        scene = await Scene(instance_manifest("a", 5)).sync()
        scene.changes.clear()
        scene.tell("MODIFIED", instance_manifest("a", 5), instance_manifest("a", 4))
        assert scene.line.take() == {}
        assert scene.changes == []

    async def test_deleted_is_forgotten_and_relatives_are_told(self) -> None:
        scene = await Scene(instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"})).sync()
        scene.tell("DELETED", instance_manifest("a", 2))
        assert scene.known == {"b"}
        assert scene.line.take() == {"b": 0}
        assert [(it.subject.name, it.new) for it in scene.changes[-1:]] == [("a", None)]

    async def test_the_answer_to_a_write_may_come_in_after_the_deletion(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.tell("DELETED", instance_manifest("a", 3))
        scene.tell("MODIFIED", instance_manifest("a", 2))
        assert scene.known == set()

    async def test_one_that_is_reborn_is_another_one(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.tell("ADDED", instance_manifest("a", 9, uid="second"))
        scene.tell("DELETED", instance_manifest("a", 8))
        assert [it.metadata.uid for it in scene.registry] == ["second"]

    async def test_what_nothing_can_be_made_of_disturbs_nobody(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.tell("ADDED", instance_manifest("odd", scope="Galaxy"))
        scene.tell("MODIFIED", instance_manifest("a", 2))
        scene.tell("DELETED", instance_manifest("odd", scope="Galaxy"))
        assert scene.known == {"a"}
        assert scene.line.take() == {"a": 0}


class TestResync:
    async def test_finds_missed_additions_changes_and_deletions(self) -> None:
        scene = await Scene(
            instance_manifest("a"),
            instance_manifest("b"),
            instance_manifest("c"),
            instance_manifest("child", parentRef={"name": "c"}),
        ).sync()
        scene.store.put(instance_manifest("b", 7, desiredState="Paused"), instance_manifest("d", 8))
        scene.store.delete("c")
        await scene.intake.resync.run_once()
        assert scene.known == {"a", "b", "child", "d"}
        found = scene.registry.namespace("default").get("b")
        assert found is not None
        assert found.spec.desired_state == "Paused"
        assert {it.subject.name for it in scene.changes[-3:]} == {"b", "c", "d"}
        assert scene.line.take() == dict.fromkeys(["a", "b", "child", "d"], 0)

    async def test_finds_one_that_was_reborn(self) -> None:
        scene = await Scene(instance_manifest("a"), instance_manifest("child", parentRef={"name": "a"})).sync()
        scene.store.put(instance_manifest("a", 9, uid="second"))
        await scene.intake.resync.run_once()
        assert {it.metadata.uid for it in scene.registry} == {"second", "uid-child"}

    async def test_does_not_bring_back_what_the_watch_has_told_is_gone(self) -> None:
        scene = await Scene(instance_manifest("a"), instance_manifest("b")).sync()
        old_list = scene.store
        scene.tell("DELETED", instance_manifest("a", 2))
        assert len(old_list.objects) == 2
        await scene.intake.resync.run_once()
        assert scene.known == {"b"}

    async def test_comes_round_now_and_then(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        async with scene.resyncing():
            await asyncio.sleep(10 * RESYNC)
        assert 9 <= scene.store.lists <= 11
        assert scene.line.take() == {"a": 0}

    async def test_is_tried_again_soon_when_it_fails(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        async with scene.resyncing():
            scene.store.error = UnavailableError("away")
            await asyncio.sleep(2 * RESYNC)
            scene.store.put(instance_manifest("b"))
            scene.store.error = None
            await asyncio.sleep(1.1)
            assert scene.known == {"a", "b"}


class TestRelist:
    """The watch could not be resumed, and starts over: what was deleted meanwhile is in no list."""

    async def test_nothing_is_decided_until_the_deletions_are_known(self) -> None:
        scene = await Scene(instance_manifest("a"), instance_manifest("child", parentRef={"name": "a"})).sync()
        scene.store.delete("a")
        scene.store.seconds = 60
        listing = asyncio.create_task(scene.list_all())
        await asyncio.sleep(1)
        deciding = asyncio.create_task(scene.intake.resync.until_current())
        await asyncio.sleep(50)
        assert not deciding.done()
        assert scene.known == {"a", "child"}
        await listing
        async with asyncio.timeout(0.1):
            await deciding
        assert scene.known == {"child"}
        assert scene.line.take() == {"child": 0}

    async def test_while_the_api_server_is_away_it_stays_so(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.store.error = UnavailableError("away")
        with pytest.raises(UnavailableError):
            await scene.list_all()
        deciding = asyncio.create_task(scene.intake.resync.until_current())
        await asyncio.sleep(60)
        assert not deciding.done()
        scene.store.error = None
        await scene.list_all()
        await deciding

    async def test_one_namespace_that_starts_over_is_enough(self) -> None:
        one, two = instance_manifest("a", namespace="one"), instance_manifest("b", namespace="two")
        scene = await Scene(one, two, namespaces=("one", "two")).sync()
        scene.store.error = UnavailableError("away")
        with pytest.raises(UnavailableError):
            await scene.feed.relist(scene.store, "two")
        assert not scene.feed.current.is_set()
        scene.store.error = None
        await scene.feed.relist(scene.store, "one")
        assert not scene.feed.current.is_set()
        await scene.feed.relist(scene.store, "two")
        assert scene.feed.current.is_set()

    async def test_who_came_after_the_list_stays(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.store.seconds = 1
        listing = asyncio.create_task(scene.list_all())
        await asyncio.sleep(0.5)
        scene.tell("ADDED", instance_manifest("later", 9))
        await listing
        assert scene.known == {"a", "later"}


class TestHealth:
    async def test_a_resync_that_does_not_come_is_told(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        await asyncio.sleep(2.4 * RESYNC)
        assert scene.intake.resync.problems() == []
        await asyncio.sleep(0.2 * RESYNC)
        assert scene.intake.resync.problems() == ["no successful resync for 1560 s"]
        await scene.intake.resync.run_once()
        assert scene.intake.resync.problems() == []

    async def test_nobody_answers(self) -> None:
        """For that nothing is to be started anew: it could not even go on with what it knows."""
        scene = await Scene(instance_manifest("a")).sync()
        scene.store.error = UnavailableError("connection refused")
        resync = asyncio.create_task(scene.intake.resync.run())
        await asyncio.sleep(10 * RESYNC)
        assert scene.intake.resync.problems() == []
        scene.store.error = UnavailableError("500: something is wrong", code=500)
        await asyncio.sleep(2.6 * RESYNC)
        assert [it.partition(" for ")[0] for it in scene.intake.resync.problems()] == ["no successful resync"]
        resync.cancel()

    async def test_before_the_start_is_complete_nothing_is_stale(self) -> None:
        scene = Scene(instance_manifest("a"))
        await asyncio.sleep(10 * RESYNC)
        assert scene.intake.resync.problems() == []

    async def test_a_watch_that_does_not_tell_what_the_list_shows_is_deaf(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.store.put(instance_manifest("a", 2))
        await scene.intake.resync.run_once()
        assert scene.intake.resync.problems() == []
        await asyncio.sleep(31)
        assert scene.intake.resync.problems() == [
            "the watch of hopperinstances has missed changes and sent no event for 31 s"
        ]
        scene.tell("MODIFIED", instance_manifest("a", 2))
        assert scene.intake.resync.problems() == []

    async def test_a_list_is_no_sign_of_a_watch_that_hears(self) -> None:
        scene = await Scene(instance_manifest("a")).sync()
        scene.store.delete("a")
        await scene.intake.resync.run_once()
        await scene.list_all()
        await asyncio.sleep(31)
        assert len(scene.intake.resync.problems()) == 1

    async def test_to_miss_something_between_two_watches_is_not_to_be_deaf(self) -> None:
        scene = await Scene(instance_manifest("a"), instance_manifest("b")).sync()
        scene.store.delete("a")
        await scene.list_all()
        await asyncio.sleep(60)
        assert scene.known == {"b"}
        assert scene.intake.resync.problems() == []
