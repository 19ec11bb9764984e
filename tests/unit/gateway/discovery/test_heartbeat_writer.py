"""Heartbeats are written many at a time, none is lost, and a gateway never says that it listened when it did not."""

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


class Gateway:
    """A gateway whose clock moves by hand and whose watch tells what is written as soon as it is asked."""

    def __init__(self, store: FakeHeartbeatStore, *instances: HopperInstance, replica: str = "a") -> None:
        self.store, self.registry, self.now = store, InstanceIndex(), NOW
        self.beats = HeartbeatIndex(clock=lambda: self.now.timestamp())
        for it in instances:
            self.registry.put(it)
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        self.writer = HeartbeatWriter(store, self.beats, self.registry, replica=replica, clock=clock)
        self.key = gateway_key(replica)

    async def tick(self, seconds: float = 1.0) -> int:
        """Let time pass and have what is due written; return how many writes that were."""
        self.now += timedelta(seconds=seconds)
        before = len(self.store.writes)
        await self.writer.flush()
        self.watch()
        return len(self.store.writes) - before

    def watch(self) -> None:
        for raw in self.store.objects.values():
            self.beats.put(raw)

    def presence(self, of: HopperInstance) -> tuple[datetime, datetime] | None:
        data = self.store.objects[of.namespace, shard_of(of.name)]["data"]
        found = parse_presence(data[self.key]) if self.key in data else None
        return (found.since, found.seen) if found else None


@pytest.fixture
def store() -> FakeHeartbeatStore:
    return FakeHeartbeatStore()


class TestWrites:
    async def test_one_beat(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        sent = gateway.writer.receive(web, Vitals(active_tasks=2, status=Health.DEGRADED))
        assert gateway.beats.last_heartbeat(web) == sent
        assert await gateway.tick() == 1
        assert parse_heartbeat(store.data()["web"]) == sent
        assert (sent.uid, sent.at, sent.active_tasks, sent.status) == ("uid-web", NOW, 2, Health.DEGRADED)

    async def test_any_number_of_beats_costs_one_write_a_shard_and_tick(self, store: FakeHeartbeatStore) -> None:
        instances = [heartbeat_instance(f"w-{n}") for n in range(200)]
        gateway = Gateway(store, *instances)
        for _ in range(3):
            for it in instances:
                gateway.writer.receive(it)
                gateway.writer.receive(it)
            assert await gateway.tick() == SHARDS
        assert len([key for key in store.data() if key.startswith("w-")]) == 200

    async def test_where_nobody_is_to_beat_nothing_is_written(self, store: FakeHeartbeatStore) -> None:
        gateway = Gateway(store, heartbeat_instance(timeout=None), heartbeat_instance("idle", phase=Phase.STOPPED))
        assert [await gateway.tick() for _ in range(30)] == [0] * 30

    async def test_while_nobody_beats_it_says_that_it_listens(self, store: FakeHeartbeatStore) -> None:
        """Often enough for the shortest timeout of the shard, every ten seconds at least, and only where it matters."""
        short, long = (
            heartbeat_instance(timeout=4),
            heartbeat_instance(next(n for n in "abcdef" if shard_of(n) != shard_of("web")), timeout=900),
        )
        gateway = Gateway(store, short, long)
        writes = [await gateway.tick() for _ in range(21)]
        assert writes == [2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2]
        assert gateway.presence(short) == (later(1), later(21))

    async def test_large_ones_are_written_less_often(self, store: FakeHeartbeatStore) -> None:
        names = names_in_same_shard(2500)
        instances = [heartbeat_instance(name) for name in names]
        gateway = Gateway(store, *instances)
        writes = []
        for _ in range(9):
            for it in instances[:10] if writes else instances:
                gateway.writer.receive(it)
            writes.append(await gateway.tick())
        assert writes == [1, 0, 0, 1, 0, 0, 1, 0, 0]

    async def test_namespaces_are_apart(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        other = replace(web, metadata=replace(web.metadata, namespace="other", uid="uid-other"))
        gateway = Gateway(store, web, other)
        gateway.writer.receive(other)
        await gateway.tick()
        assert "web" not in store.data("default")
        assert parse_heartbeat(store.data("other")["web"]) == gateway.beats.last_heartbeat(other)


class TestFailures:
    async def test_what_could_not_be_written_is_written_later(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        store.failure = OUTAGE
        gateway.writer.receive(web)
        assert await gateway.tick() == 0
        newer = gateway.writer.receive(web)
        assert await gateway.tick() == 0
        store.failure = None
        assert await gateway.tick() == 1
        assert parse_heartbeat(store.data()["web"]) == newer

    async def test_the_time_of_an_outage_is_not_silence(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        await gateway.tick()
        store.failure = OUTAGE
        for _ in range(40):
            await gateway.tick()
        assert gateway.presence(web) == (later(1), later(1))
        store.failure = None
        await gateway.tick()
        assert gateway.presence(web) == (later(42), later(42))

    async def test_whoever_was_stopped_for_a_while_did_not_listen(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        await gateway.tick()
        await gateway.tick(600)
        assert gateway.presence(web) == (later(601), later(601))

    async def test_a_configmap_that_was_deleted_knows_nothing_of_before(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        await gateway.tick()
        store.objects.clear()
        for _ in range(10):
            await gateway.tick()
        assert gateway.presence(web) == (later(6), later(11))

    async def test_two_that_create_it_at_once(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        first, second = Gateway(store, web), Gateway(store, web, replica="b")
        first.writer.receive(web)
        second.writer.receive(web)
        await asyncio.gather(first.tick(), second.tick())
        await asyncio.gather(first.tick(), second.tick())
        assert {first.key, second.key, "web"} == set(store.data())

    async def test_it_complains_once(self, store: FakeHeartbeatStore, caplog: pytest.LogCaptureFixture) -> None:
        gateway = Gateway(store, heartbeat_instance())
        store.failure = RefusedError("403: not allowed")
        for _ in range(5):
            await gateway.tick()
        assert [it.message for it in caplog.records if it.levelno >= logging.WARNING] == [
            "cannot write heartbeats of namespace default: 403: not allowed; retrying with the next tick"
        ]

    @given(failing=st.lists(st.booleans(), max_size=20), beating_=st.lists(st.booleans(), min_size=20, max_size=20))
    async def test_the_last_beat_is_never_lost_for_good(self, failing: list[bool], beating_: list[bool]) -> None:
        store, web = FakeHeartbeatStore(), heartbeat_instance()
        gateway = Gateway(store, web)
        last = gateway.writer.receive(web)
        for fails, beats in zip(failing, beating_, strict=False):
            store.failure = OUTAGE if fails else None
            if beats:
                last = gateway.writer.receive(web)
            await gateway.tick()
        store.failure = None
        await gateway.tick()
        assert parse_heartbeat(store.data()["web"]) == last


class TestCleaningUp:
    async def test_entries_of_those_who_are_gone(self, store: FakeHeartbeatStore) -> None:
        stays, goes, dies = (heartbeat_instance(name) for name in names_in_same_shard(3))
        gateway = Gateway(store, stays, goes, dies)
        for it in (stays, goes, dies):
            gateway.writer.receive(it)
        await gateway.tick()
        gateway.registry.remove("default", goes.name, goes.metadata.uid)
        gateway.registry.remove("default", dies.name, dies.metadata.uid)
        gateway.registry.put(recreated(dies))
        for _ in range(60):
            await gateway.tick()
        assert set(store.data()) == {stays.name, gateway.key}

    async def test_not_while_another_gateway_may_know_better(self, store: FakeHeartbeatStore) -> None:
        old, new = (heartbeat_instance(name) for name in names_in_same_shard(2))
        slow, fast = Gateway(store, old), Gateway(store, old, new, replica="b")
        await slow.tick()
        fast.writer.receive(new)
        await fast.tick()
        slow.watch()
        for _ in range(20):
            await slow.tick()
        assert new.name in store.data()

    async def test_gateways_that_are_long_gone(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gone, here = Gateway(store, web), Gateway(store, web, replica="b")
        await gone.tick()
        for _ in range(320):
            await here.tick()
        assert set(store.data()) == {here.key}

    async def test_of_an_empty_namespace_too(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        gateway.writer.receive(web)
        await gateway.tick()
        gateway.registry.remove("default", "web", web.metadata.uid)
        writes = [await gateway.tick() for _ in range(100)]
        assert "web" not in store.data()
        assert sum(writes) == 1


class TestLeaving:
    async def test_it_writes_what_is_left_and_takes_its_name_away(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        await gateway.tick()
        last = gateway.writer.receive(web)
        await gateway.writer.leave()
        assert set(store.data()) == {"web"}
        assert parse_heartbeat(store.data()["web"]) == last

    async def test_run_does_all_that(self, store: FakeHeartbeatStore) -> None:
        web = heartbeat_instance()
        gateway = Gateway(store, web)
        running = asyncio.create_task(gateway.writer.run())
        await asyncio.wait_for(store.written.wait(), 5)
        assert set(store.data()) == {gateway.key}
        gateway.writer.receive(web)
        running.cancel()
        await asyncio.wait([running])
        assert set(store.data()) == {"web"}
