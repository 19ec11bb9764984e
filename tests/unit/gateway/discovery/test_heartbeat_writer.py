"""Heartbeats are written in batches, none is lost, and a gateway never claims a presence that it did not have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import Health, Phase
from hopper.api.heartbeat import SHARDS, Vitals, gateway_key, parse_heartbeat, parse_presence, shard_of
from hopper.api.instance import HopperInstance
from hopper.gateway.discovery import HeartbeatWriter
from hopper.ports import RefusedError
from hopper.registry import HeartbeatIndex, InstanceIndex
from tests.unit.domain.sample_instances import NOW
from tests.unit.registry.sample_heartbeats import (
    OUTAGE,
    FakeHeartbeatStore,
    heartbeat_instance,
    later,
    names_in_same_shard,
    recreated,
)


class WriterHarness:
    """A heartbeat writer with a manual clock, and with a watch that is only read on demand."""

    def __init__(self, store: FakeHeartbeatStore, *instances: HopperInstance, replica: str = "a") -> None:
        self.store, self.instances, self.now = store, InstanceIndex(), NOW
        self.heartbeats = HeartbeatIndex(clock=lambda: self.now.timestamp())
        for instance in instances:
            self.instances.put(instance)
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        self.writer = HeartbeatWriter(store, self.heartbeats, self.instances, replica=replica, clock=clock)
        self.key = gateway_key(replica)

    async def tick(self, seconds: float = 1.0) -> int:
        """Advance the clock and flush; return the number of writes."""
        self.now += timedelta(seconds=seconds)
        before = len(self.store.writes)
        await self.writer.flush()
        self.watch()
        return len(self.store.writes) - before

    def watch(self) -> None:
        for raw in self.store.objects.values():
            self.heartbeats.put(raw)

    def presence(self, of: HopperInstance) -> tuple[datetime, datetime] | None:
        data = self.store.objects[of.namespace, shard_of(of.name)]["data"]
        result = parse_presence(data[self.key]) if self.key in data else None
        return (result.since, result.seen) if result else None


@pytest.fixture
def store() -> FakeHeartbeatStore:
    return FakeHeartbeatStore()


class TestWrites:
    async def test_a_heartbeat_is_written_with_its_vitals(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        sent = harness.writer.receive(web, Vitals(active_tasks=2, status=Health.DEGRADED))
        assert harness.heartbeats.last_heartbeat(web) == sent
        assert await harness.tick() == 1
        assert parse_heartbeat(store.data()["web"]) == sent
        assert (sent.uid, sent.at, sent.active_tasks, sent.status) == ("uid-web", NOW, 2, Health.DEGRADED)

    async def test_each_shard_is_written_once_per_tick(self, store: FakeHeartbeatStore) -> None:
        instances = [heartbeat_instance(f"w-{n}") for n in range(200)]
        harness = WriterHarness(store, *instances)
        for _ in range(3):
            for instance in instances:
                harness.writer.receive(instance)
                harness.writer.receive(instance)
            assert await harness.tick() == SHARDS
        assert len([key for key in store.data() if key.startswith("w-")]) == 200

    async def test_nothing_is_written_if_no_heartbeat_is_expected(self, store: FakeHeartbeatStore) -> None:
        harness = WriterHarness(
            store, heartbeat_instance(timeout=None), heartbeat_instance("idle", phase=Phase.STOPPED)
        )
        assert [await harness.tick() for _ in range(30)] == [0] * 30

    async def test_presence_is_refreshed_without_heartbeats(self, store: FakeHeartbeatStore) -> None:
        """As often as the shortest timeout of the shard requires, and at least every ten seconds."""
        short, long = (
            heartbeat_instance(timeout=4),
            heartbeat_instance(next(n for n in "abcdef" if shard_of(n) != shard_of("web")), timeout=900),
        )
        harness = WriterHarness(store, short, long)
        writes = [await harness.tick() for _ in range(21)]
        assert writes == [2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2]
        assert harness.presence(short) == (later(1), later(21))

    async def test_large_shards_are_written_less_often(self, store: FakeHeartbeatStore) -> None:
        names = names_in_same_shard(2500)
        instances = [heartbeat_instance(name) for name in names]
        harness = WriterHarness(store, *instances)
        writes = []
        for _ in range(9):
            for instance in instances[:10] if writes else instances:
                harness.writer.receive(instance)
            writes.append(await harness.tick())
        assert writes == [1, 0, 0, 1, 0, 0, 1, 0, 0]

    async def test_namespaces_have_separate_shards(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        other = replace(web, metadata=replace(web.metadata, namespace="other", uid="uid-other"))
        harness = WriterHarness(store, web, other)
        harness.writer.receive(other)
        await harness.tick()
        assert "web" not in store.data("default")
        assert parse_heartbeat(store.data("other")["web"]) == harness.heartbeats.last_heartbeat(other)


class TestFailures:
    async def test_a_failed_write_is_repeated(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        store.failure = OUTAGE
        harness.writer.receive(web)
        assert await harness.tick() == 0
        newer = harness.writer.receive(web)
        assert await harness.tick() == 0
        store.failure = None
        assert await harness.tick() == 1
        assert parse_heartbeat(store.data()["web"]) == newer

    async def test_presence_restarts_after_an_outage(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        await harness.tick()
        store.failure = OUTAGE
        for _ in range(40):
            await harness.tick()
        assert harness.presence(web) == (later(1), later(1))
        store.failure = None
        await harness.tick()
        assert harness.presence(web) == (later(42), later(42))

    async def test_presence_restarts_after_a_suspension(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        await harness.tick()
        await harness.tick(600)
        assert harness.presence(web) == (later(601), later(601))

    async def test_presence_restarts_when_the_configmap_was_deleted(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        await harness.tick()
        store.objects.clear()
        for _ in range(10):
            await harness.tick()
        assert harness.presence(web) == (later(6), later(11))

    async def test_two_gateways_create_a_configmap_at_once(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        first, second = WriterHarness(store, web), WriterHarness(store, web, replica="b")
        first.writer.receive(web)
        second.writer.receive(web)
        await asyncio.gather(first.tick(), second.tick())
        await asyncio.gather(first.tick(), second.tick())
        assert {first.key, second.key, "web"} == set(store.data())

    async def test_a_failure_is_logged_once(self, store: FakeHeartbeatStore, caplog: pytest.LogCaptureFixture) -> None:
        harness = WriterHarness(store, heartbeat_instance())
        store.failure = RefusedError("403: not allowed")
        for _ in range(5):
            await harness.tick()
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
            "cannot write heartbeats of namespace default: 403: not allowed; retrying with the next tick"
        ]

    @given(failing=st.lists(st.booleans(), max_size=20), beating_=st.lists(st.booleans(), min_size=20, max_size=20))
    async def test_the_last_heartbeat_is_written_after_any_failures(
        self, failing: list[bool], beating_: list[bool]
    ) -> None:
        store, web = FakeHeartbeatStore(), heartbeat_instance()
        harness = WriterHarness(store, web)
        last = harness.writer.receive(web)
        for fails, beats in zip(failing, beating_, strict=False):
            store.failure = OUTAGE if fails else None
            if beats:
                last = harness.writer.receive(web)
            await harness.tick()
        store.failure = None
        await harness.tick()
        assert parse_heartbeat(store.data()["web"]) == last


class TestCleanUp:
    async def test_entries_of_deleted_instances_are_removed(self, store: FakeHeartbeatStore) -> None:
        stays, goes, dies = (heartbeat_instance(name) for name in names_in_same_shard(3))
        harness = WriterHarness(store, stays, goes, dies)
        for instance in (stays, goes, dies):
            harness.writer.receive(instance)
        await harness.tick()
        harness.instances.remove("default", goes.name, goes.metadata.uid)
        harness.instances.remove("default", dies.name, dies.metadata.uid)
        harness.instances.put(recreated(dies))
        for _ in range(60):
            await harness.tick()
        assert set(store.data()) == {stays.name, harness.key}

    async def test_entries_of_unknown_instances_are_kept_for_a_while(self, store: FakeHeartbeatStore) -> None:
        old, new = (heartbeat_instance(name) for name in names_in_same_shard(2))
        slow, fast = WriterHarness(store, old), WriterHarness(store, old, new, replica="b")
        await slow.tick()
        fast.writer.receive(new)
        await fast.tick()
        slow.watch()
        for _ in range(20):
            await slow.tick()
        assert new.name in store.data()

    async def test_entries_of_stopped_gateways_are_removed(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gone, here = WriterHarness(store, web), WriterHarness(store, web, replica="b")
        await gone.tick()
        for _ in range(320):
            await here.tick()
        assert set(store.data()) == {here.key}

    async def test_entries_are_removed_in_an_empty_namespace(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        harness.writer.receive(web)
        await harness.tick()
        harness.instances.remove("default", "web", web.metadata.uid)
        writes = [await harness.tick() for _ in range(100)]
        assert "web" not in store.data()
        assert sum(writes) == 1


class TestLeaving:
    async def test_leaving_writes_pending_heartbeats_and_removes_the_presence(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        await harness.tick()
        last = harness.writer.receive(web)
        await harness.writer.leave()
        assert set(store.data()) == {"web"}
        assert parse_heartbeat(store.data()["web"]) == last

    async def test_run_writes_and_leaves_on_cancellation(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        harness = WriterHarness(store, web)
        running = asyncio.create_task(harness.writer.run())
        await asyncio.wait_for(store.written.wait(), 5)
        assert set(store.data()) == {harness.key}
        harness.writer.receive(web)
        running.cancel()
        await asyncio.wait([running])
        assert set(store.data()) == {"web"}
