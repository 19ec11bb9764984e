"""Reflector: lists, watches, reconnects, and lists again. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hopper.api.resources import PODS
from hopper.ports import ExpiredError, NotFoundError, UnavailableError
from hopper.watch import Feed, WatchHealth
from hopper.watch.health import WatchFailedError
from hopper.watch.reflector import Reflector
from tests.unit.watch.fake_lister import DictIndex, FakeLister, instance_manifest

pytestmark = pytest.mark.looptime

OUTAGE = UnavailableError("GET /api/v1/pods: connection refused")


class RunningReflector:
    """A reflector of two objects, with the index that it fills."""

    def __init__(self) -> None:
        self.lister = FakeLister(instance_manifest("a", 3), instance_manifest("b", 7))
        self.index = DictIndex()
        self.feed = Feed(PODS, put=self.index.put, remove=self.index.remove, uids=self.index.uids)
        self.health = WatchHealth("https://api.example.org", asyncio.get_running_loop().time)
        self.task = asyncio.create_task(Reflector(self.feed, None, self.lister, self.health).run())


@pytest.fixture
async def reflector() -> AsyncIterator[RunningReflector]:
    running = RunningReflector()
    await asyncio.sleep(1)
    yield running
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)


async def test_lists_and_watches_from_the_version_of_the_list(reflector: RunningReflector) -> None:
    assert reflector.feed.current.is_set()
    assert reflector.index.versions == {"a": "3", "b": "7"}
    assert reflector.lister.watched_versions == ["7"]


async def test_applies_events(reflector: RunningReflector) -> None:
    reflector.lister.events.put_nowait(("ADDED", instance_manifest("c", 8)))
    reflector.lister.events.put_nowait(("MODIFIED", instance_manifest("a", 9)))
    reflector.lister.events.put_nowait(("DELETED", instance_manifest("b", 10)))
    await asyncio.sleep(0.1)
    assert reflector.index.versions == {"a": "9", "c": "8"}


@pytest.mark.parametrize("event", ["ADDED", "BOOKMARK"])
async def test_continues_from_the_last_event_or_bookmark(reflector: RunningReflector, event: str) -> None:
    reflector.lister.events.put_nowait((event, instance_manifest("c", 12)))
    reflector.lister.events.put_nowait(None)
    await asyncio.sleep(1)
    assert reflector.lister.watched_versions == ["7", "12"]
    assert reflector.lister.lists == 1
    assert ("c" in reflector.index.versions) is (event == "ADDED")


@pytest.mark.parametrize("code", [410, 500])
async def test_an_expired_version_makes_it_list_again_and_find_deletions(
    reflector: RunningReflector, code: int
) -> None:
    reflector.lister.delete("a")
    reflector.lister.events.put_nowait(ExpiredError("too old resource version", code=code))
    await asyncio.sleep(1)
    assert reflector.index.versions == {"b": "7"}
    assert reflector.lister.lists == 2
    assert reflector.health.problems() == []


async def test_the_feed_is_not_current_while_it_lists_again(reflector: RunningReflector) -> None:
    reflector.lister.seconds = 10
    reflector.lister.events.put_nowait(ExpiredError("too old resource version", code=410))
    await asyncio.sleep(5)
    assert not reflector.feed.current.is_set()
    await asyncio.sleep(20)
    assert reflector.feed.current.is_set()


async def test_a_broken_watch_continues_from_the_same_version(reflector: RunningReflector) -> None:
    reflector.lister.events.put_nowait(OUTAGE)
    await asyncio.sleep(1)
    assert reflector.lister.watched_versions == ["7", "7"]
    assert reflector.lister.lists == 1


async def test_retries_an_outage_every_few_seconds(reflector: RunningReflector) -> None:
    reflector.lister.watch_error = OUTAGE
    reflector.lister.events.put_nowait(OUTAGE)
    await asyncio.sleep(600)
    assert 120 <= len(reflector.lister.watched_versions) <= 260
    assert reflector.health.problems() == [
        "list or watch has failed for 600 s: GET /api/v1/pods: connection refused (GET /api/v1/pods)"
    ]
    reflector.lister.watch_error = None
    await asyncio.sleep(5.1)
    assert reflector.health.problems() == []
    assert reflector.lister.open_watches == 1


async def test_watches_that_end_at_once_are_not_opened_in_a_hot_loop(reflector: RunningReflector) -> None:
    for _ in range(1000):
        reflector.lister.events.put_nowait(None)
    await asyncio.sleep(60)
    assert len(reflector.lister.watched_versions) < 50


async def test_gives_up_where_a_retry_is_pointless(reflector: RunningReflector) -> None:
    reflector.lister.events.put_nowait(NotFoundError("404: not found", code=404))
    with pytest.raises(WatchFailedError, match="does not serve pods: install the CRDs"):
        await reflector.task


async def test_cancelling_closes_the_watch(reflector: RunningReflector) -> None:
    assert reflector.lister.open_watches == 1
    reflector.task.cancel()
    await asyncio.gather(reflector.task, return_exceptions=True)
    assert reflector.lister.open_watches == 0
