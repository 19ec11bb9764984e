"""Intake: first lists, watch events, resyncs and relists. On virtual time."""

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


class FakeQueue:
    """A queue that records the keys added and their shortest delays."""

    def __init__(self) -> None:
        self.added: dict[str, float] = {}

    def add(self, key: tuple[str, str], delay: float = 0.0) -> None:
        self.added[key[1]] = min(delay, self.added.get(key[1], delay))

    def take(self) -> dict[str, float]:
        taken, self.added = self.added, {}
        return taken


class WatchedCluster:
    """A cluster in memory, and the intake that fills an index and a queue from it."""

    def __init__(self, *objects: dict[str, Any], namespaces: tuple[str, ...] = ("default",)) -> None:
        self.store = FakeLister(*objects)
        self.instances = InstanceIndex()
        self.queue = FakeQueue()
        self.changes: list[InstanceChange] = []
        self.intake = Intake(
            self.instances,
            InstanceReader(),
            self.queue,  # type: ignore[arg-type]
            self.store,
            namespaces,
            listeners=[self.changes.append],
            resync_seconds=RESYNC,
        )

    @property
    def indexed(self) -> set[str]:
        return {instance.name for instance in self.instances}

    @property
    def feed(self) -> Feed:
        return self.intake.feeds[0]

    def send(self, event_type: str, *manifests: dict[str, Any]) -> None:
        for manifest in manifests:
            self.feed.handle_event(event_type, manifest)

    async def list_all(self) -> None:
        """List everything, as a watch does before it starts."""
        for namespace in self.feed.namespaces:
            await self.feed.relist(self.store, namespace)

    async def sync(self) -> WatchedCluster:
        await self.list_all()
        async with asyncio.timeout(10):
            await self.intake.sync()
        self.queue.take()
        return self

    @asynccontextmanager
    async def resyncing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.intake.resync.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class TestStart:
    async def test_the_intake_is_synced_when_the_list_is_complete(self) -> None:
        cluster = WatchedCluster(instance_manifest("a"), instance_manifest("b"))
        cluster.store.seconds = 5
        syncing = asyncio.create_task(cluster.intake.sync())
        listing = asyncio.create_task(cluster.list_all())
        await asyncio.sleep(9)
        assert cluster.indexed == {"a"}
        assert not cluster.intake.synced.is_set()
        await listing
        async with asyncio.timeout(0.1):
            await syncing
        assert cluster.intake.synced.is_set()
        assert cluster.queue.take() == {"a": 0, "b": 0}

    async def test_an_empty_cluster_is_synced_at_once(self) -> None:
        await WatchedCluster().sync()

    async def test_an_invalid_instance_does_not_delay_the_start(self) -> None:
        cluster = WatchedCluster(instance_manifest("a"), instance_manifest("odd", scope="Galaxy"))
        await cluster.sync()
        assert cluster.indexed == {"a"}

    async def test_an_interrupted_list_does_not_count(self) -> None:
        cluster = WatchedCluster(instance_manifest("a"))
        cluster.store.error = UnavailableError("away")
        syncing = asyncio.create_task(cluster.intake.sync())
        with pytest.raises(UnavailableError):
            await cluster.list_all()
        await asyncio.sleep(60)
        assert not syncing.done()
        cluster.store.error = None
        await cluster.list_all()
        async with asyncio.timeout(0.1):
            await syncing

    async def test_every_namespace_must_be_listed(self) -> None:
        cluster = WatchedCluster(
            instance_manifest("a", namespace="one"),
            instance_manifest("b", namespace="two"),
            instance_manifest("c"),
            namespaces=("one", "two"),
        )
        syncing = asyncio.create_task(cluster.intake.sync())
        await cluster.feed.relist(cluster.store, "one")
        await asyncio.sleep(10)
        assert not syncing.done()
        await cluster.feed.relist(cluster.store, "two")
        await syncing
        assert cluster.indexed == {"a", "b"}

    async def test_no_namespaces_stand_for_all(self) -> None:
        cluster = WatchedCluster(
            instance_manifest("a", namespace="one"), instance_manifest("b", namespace="two"), namespaces=()
        )
        await cluster.sync()
        assert cluster.indexed == {"a", "b"}
        assert cluster.store.lists == 1

    async def test_relatives_are_not_requeued_before_the_first_list_is_complete(self) -> None:
        cluster = WatchedCluster(instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"}))
        await cluster.list_all()
        cluster.queue.take()
        cluster.send("MODIFIED", instance_manifest("a", 2, desiredState="Paused"))
        assert cluster.queue.take() == {"a": 0}


class TestEvents:
    async def test_a_change_requeues_the_instance_and_its_relatives(self) -> None:
        cluster = await WatchedCluster(
            instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"}), instance_manifest("c")
        ).sync()
        cluster.send("MODIFIED", instance_manifest("a", 2, desiredState="Paused"))
        assert cluster.queue.take() == {"a": 0, "b": 0}

    async def test_a_new_child_requeues_a_parent_without_a_finalizer_at_once(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.send("ADDED", instance_manifest("b", 2, parentRef={"name": "a"}))
        assert cluster.queue.take() == {"a": 0, "b": 0}

    async def test_a_child_requeues_a_parent_with_a_finalizer_after_a_delay(self) -> None:
        parent = instance_manifest("a")
        parent["metadata"]["finalizers"] = ["hopper.dev/ordered-deletion"]
        cluster = await WatchedCluster(parent, instance_manifest("b", parentRef={"name": "a"})).sync()
        child = instance_manifest("b", 2, parentRef={"name": "a"})
        child["status"] = {"phase": "Running"}
        cluster.send("MODIFIED", child)
        assert cluster.queue.take() == {"a": SUMMARY_DELAY, "b": 0}

    async def test_an_indexed_version_requeues_nothing(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a", 5)).sync()
        cluster.changes.clear()
        cluster.send("MODIFIED", instance_manifest("a", 5), instance_manifest("a", 4))
        assert cluster.queue.take() == {}
        assert cluster.changes == []

    async def test_a_deletion_empties_the_index_and_requeues_relatives(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a"), instance_manifest("b", parentRef={"name": "a"})).sync()
        cluster.send("DELETED", instance_manifest("a", 2))
        assert cluster.indexed == {"b"}
        assert cluster.queue.take() == {"b": 0}
        assert [(change.instance.name, change.new) for change in cluster.changes[-1:]] == [("a", None)]

    async def test_an_older_version_after_the_deletion_is_ignored(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.send("DELETED", instance_manifest("a", 3))
        cluster.send("MODIFIED", instance_manifest("a", 2))
        assert cluster.indexed == set()

    async def test_the_deletion_of_an_earlier_uid_is_ignored(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.send("ADDED", instance_manifest("a", 9, uid="second"))
        cluster.send("DELETED", instance_manifest("a", 8))
        assert [instance.metadata.uid for instance in cluster.instances] == ["second"]

    async def test_events_of_an_invalid_instance_are_ignored(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.send("ADDED", instance_manifest("odd", scope="Galaxy"))
        cluster.send("MODIFIED", instance_manifest("a", 2))
        cluster.send("DELETED", instance_manifest("odd", scope="Galaxy"))
        assert cluster.indexed == {"a"}
        assert cluster.queue.take() == {"a": 0}


class TestResync:
    async def test_a_resync_finds_missed_additions_changes_and_deletions(self) -> None:
        cluster = await WatchedCluster(
            instance_manifest("a"),
            instance_manifest("b"),
            instance_manifest("c"),
            instance_manifest("child", parentRef={"name": "c"}),
        ).sync()
        cluster.store.put(instance_manifest("b", 7, desiredState="Paused"), instance_manifest("d", 8))
        cluster.store.delete("c")
        await cluster.intake.resync.run_once()
        assert cluster.indexed == {"a", "b", "child", "d"}
        instance = cluster.instances.namespace("default").get("b")
        assert instance is not None
        assert instance.spec.desired_state == "Paused"
        assert {change.instance.name for change in cluster.changes[-3:]} == {"b", "c", "d"}
        assert cluster.queue.take() == dict.fromkeys(["a", "b", "child", "d"], 0)

    async def test_a_resync_finds_an_instance_that_was_deleted_and_created_again(self) -> None:
        cluster = await WatchedCluster(
            instance_manifest("a"), instance_manifest("child", parentRef={"name": "a"})
        ).sync()
        cluster.store.put(instance_manifest("a", 9, uid="second"))
        await cluster.intake.resync.run_once()
        assert {instance.metadata.uid for instance in cluster.instances} == {"second", "uid-child"}

    async def test_a_resync_with_an_older_list_does_not_restore_a_deleted_instance(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a"), instance_manifest("b")).sync()
        cluster.send("DELETED", instance_manifest("a", 2))
        assert len(cluster.store.objects) == 2
        await cluster.intake.resync.run_once()
        assert cluster.indexed == {"b"}

    async def test_a_resync_runs_at_intervals(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        async with cluster.resyncing():
            await asyncio.sleep(10 * RESYNC)
        assert 9 <= cluster.store.lists <= 11
        assert cluster.queue.take() == {"a": 0}

    async def test_a_failed_resync_is_retried_soon(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        async with cluster.resyncing():
            cluster.store.error = UnavailableError("away")
            await asyncio.sleep(2 * RESYNC)
            cluster.store.put(instance_manifest("b"))
            cluster.store.error = None
            await asyncio.sleep(1.1)
            assert cluster.indexed == {"a", "b"}


class TestRelist:
    """The watch cannot be resumed and lists again. Objects deleted meanwhile are missing in that list."""

    async def test_decisions_wait_until_the_list_is_complete(self) -> None:
        cluster = await WatchedCluster(
            instance_manifest("a"), instance_manifest("child", parentRef={"name": "a"})
        ).sync()
        cluster.store.delete("a")
        cluster.store.seconds = 60
        listing = asyncio.create_task(cluster.list_all())
        await asyncio.sleep(1)
        deciding = asyncio.create_task(cluster.intake.resync.until_current())
        await asyncio.sleep(50)
        assert not deciding.done()
        assert cluster.indexed == {"a", "child"}
        await listing
        async with asyncio.timeout(0.1):
            await deciding
        assert cluster.indexed == {"child"}
        assert cluster.queue.take() == {"child": 0}

    async def test_decisions_wait_while_the_api_server_is_down(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.store.error = UnavailableError("away")
        with pytest.raises(UnavailableError):
            await cluster.list_all()
        deciding = asyncio.create_task(cluster.intake.resync.until_current())
        await asyncio.sleep(60)
        assert not deciding.done()
        cluster.store.error = None
        await cluster.list_all()
        await deciding

    async def test_decisions_wait_for_the_namespace_that_is_listed_again(self) -> None:
        one, two = instance_manifest("a", namespace="one"), instance_manifest("b", namespace="two")
        cluster = await WatchedCluster(one, two, namespaces=("one", "two")).sync()
        cluster.store.error = UnavailableError("away")
        with pytest.raises(UnavailableError):
            await cluster.feed.relist(cluster.store, "two")
        assert not cluster.feed.current.is_set()
        cluster.store.error = None
        await cluster.feed.relist(cluster.store, "one")
        assert not cluster.feed.current.is_set()
        await cluster.feed.relist(cluster.store, "two")
        assert cluster.feed.current.is_set()

    async def test_an_instance_created_after_the_list_is_kept(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.store.seconds = 1
        listing = asyncio.create_task(cluster.list_all())
        await asyncio.sleep(0.5)
        cluster.send("ADDED", instance_manifest("later", 9))
        await listing
        assert cluster.indexed == {"a", "later"}


class TestHealth:
    async def test_an_overdue_resync_is_a_problem(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        await asyncio.sleep(2.4 * RESYNC)
        assert cluster.intake.resync.problems() == []
        await asyncio.sleep(0.2 * RESYNC)
        assert cluster.intake.resync.problems() == ["no successful resync for 1560 s"]
        await cluster.intake.resync.run_once()
        assert cluster.intake.resync.problems() == []

    async def test_an_unreachable_api_server_is_not_a_problem(self) -> None:
        """A restart would not help, and the restarted process would have no indexes."""
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.store.error = UnavailableError("connection refused")
        resync = asyncio.create_task(cluster.intake.resync.run())
        await asyncio.sleep(10 * RESYNC)
        assert cluster.intake.resync.problems() == []
        cluster.store.error = UnavailableError("500: something is wrong", code=500)
        await asyncio.sleep(2.6 * RESYNC)
        assert [problem.partition(" for ")[0] for problem in cluster.intake.resync.problems()] == [
            "no successful resync"
        ]
        resync.cancel()

    async def test_a_resync_is_not_overdue_before_the_first_list_is_complete(self) -> None:
        cluster = WatchedCluster(instance_manifest("a"))
        await asyncio.sleep(10 * RESYNC)
        assert cluster.intake.resync.problems() == []

    async def test_a_watch_that_misses_changes_and_sends_no_events_is_a_problem(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.store.put(instance_manifest("a", 2))
        await cluster.intake.resync.run_once()
        assert cluster.intake.resync.problems() == []
        await asyncio.sleep(31)
        assert cluster.intake.resync.problems() == [
            "the watch of hopperinstances has missed changes and sent no event for 31 s"
        ]
        cluster.send("MODIFIED", instance_manifest("a", 2))
        assert cluster.intake.resync.problems() == []

    async def test_a_list_does_not_prove_that_the_watch_works(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a")).sync()
        cluster.store.delete("a")
        await cluster.intake.resync.run_once()
        await cluster.list_all()
        await asyncio.sleep(31)
        assert len(cluster.intake.resync.problems()) == 1

    async def test_a_change_missed_between_two_watches_is_not_a_problem(self) -> None:
        cluster = await WatchedCluster(instance_manifest("a"), instance_manifest("b")).sync()
        cluster.store.delete("a")
        await cluster.list_all()
        await asyncio.sleep(60)
        assert cluster.indexed == {"b"}
        assert cluster.intake.resync.problems() == []
