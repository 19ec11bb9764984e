"""Health of all instances: kept up to date by changes and heartbeats alone, and passed up the tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType
from hopper.api.enums import Health, Phase, Scope
from hopper.api.heartbeat import Vitals
from hopper.api.instance import HopperInstance
from hopper.domain.health import worst
from hopper.domain.tree import descendants
from hopper.gateway.discovery import Catalogue, Criteria, HealthRollUp
from tests.bench.scenarios.registry import INDEX_MEMORY, fill_catalogue
from tests.unit.domain.sample_instances import NOW, condition, instance, seconds
from tests.unit.registry.sample_heartbeats import (
    heartbeat,
    heartbeat_instance,
    later,
    names_in_same_shard,
    shard_configmap,
)

LOOKS = {
    Health.INACTIVE: (Phase.STOPPED, "True"),
    Health.HEALTHY: (Phase.RUNNING, "True"),
    Health.PROGRESSING: (Phase.STARTING, "False"),
    Health.DEGRADED: (Phase.RUNNING, "False"),
    Health.UNHEALTHY: (Phase.ERROR, "False"),
}


class World:
    """A catalogue that is fed as the watch feeds it."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.catalogue.journal.open()
        self._version = 0

    def put(self, it: HopperInstance) -> None:
        self._version += 1
        it = replace(it, metadata=replace(it.metadata, resource_version=str(self._version)))
        if change := self.catalogue.instances.put(it):
            self.catalogue.on_change(change)

    def remove(self, it: HopperInstance) -> None:
        if change := self.catalogue.instances.remove("default", it.name, it.metadata.uid):
            self.catalogue.on_change(change)

    def hear(self, *beats: Any, until: float, since: float = -500, shard: int | None = None) -> None:
        self._version += 1
        raw = shard_configmap(self._version, *beats, gateways={"a": (since, until)}, shard=shard)
        if news := self.catalogue.heartbeats.put(raw):
            self.catalogue.on_heartbeats(news)

    def of(self, name: str) -> Health:
        it = self.catalogue.instances.namespace("default").get(name)
        assert it
        return self.catalogue.health.of(it).health

    def rolled_up(self, name: str) -> HealthRollUp:
        it = self.catalogue.instances.namespace("default").get(name)
        assert it
        return self.catalogue.health.rolled_up(it)

    def told(self) -> list[str]:
        entries = self.catalogue.journal.since(0) or ()
        return [f"{it.name} {it.detail['from']} → {it.detail['to']}" for it in entries if it.kind == "health"]


def looking(name: str, health: Health, parent: str | None = None, scope: Scope = Scope.PROJECT) -> HopperInstance:
    phase, ready = LOOKS[health]
    reason = "Starting" if health is Health.PROGRESSING else phase.value
    conditions = (condition(ConditionType.READY, ready, reason),)
    return instance(name, scope, parent=parent, phase=phase, status={"conditions": conditions})


class TestHeartbeats:
    def test_time_goes_on_with_what_the_gateways_tell(self) -> None:
        world, (first, second) = World(), names_in_same_shard(2)
        world.put(heartbeat_instance(first))
        world.put(heartbeat_instance(second))
        beats = ((first, heartbeat(first, 0)), (second, heartbeat(second, 0)))
        world.hear(*beats, until=5)
        assert (world.of(first), world.of(second)) == (Health.HEALTHY, Health.HEALTHY)
        world.hear((first, heartbeat(first, 12)), beats[1], until=15)
        assert (world.of(first), world.of(second)) == (Health.HEALTHY, Health.UNKNOWN)
        world.hear((first, heartbeat(first, 28)), beats[1], until=30)
        assert (world.of(first), world.of(second)) == (Health.HEALTHY, Health.UNHEALTHY)
        world.hear((first, heartbeat(first, 28)), (second, heartbeat(second, 31)), until=32)
        assert world.of(second) is Health.HEALTHY
        assert world.told() == [
            f"{second} healthy → unknown",
            f"{second} unknown → unhealthy",
            f"{second} unhealthy → healthy",
        ]

    def test_what_one_says_counts_without_a_timeout_too(self) -> None:
        world = World()
        world.put(heartbeat_instance(timeout=None))
        world.hear(("web", heartbeat(at=0, status=Health.DEGRADED)), until=1)
        assert world.of("web") is Health.DEGRADED

    def test_what_came_in_here_counts_when_it_is_written(self) -> None:
        world = World()
        world.put(heartbeat_instance(timeout=None))
        said = heartbeat(at=0, status=Health.DEGRADED)
        world.catalogue.heartbeats.add("default", "web", said)
        world.hear(("web", said), until=1)
        assert world.of("web") is Health.DEGRADED

    def test_metrics(self) -> None:
        world = World()
        world.put(heartbeat_instance(status={"started_at": NOW - seconds(90)}))
        it = world.catalogue.instances.namespace("default").get("web")
        assert it
        metrics = world.catalogue.health.metrics(it, NOW)
        assert (metrics.vitals, metrics.uptime_seconds, metrics.last_heartbeat) == (Vitals(), 90, None)
        world.hear(
            ("web", heartbeat(at=3, active_tasks=2, queue_depth=7, response_time_ms=1.5, error_rate=0.25)), until=4
        )
        metrics = world.catalogue.health.metrics(it, NOW)
        told = metrics.vitals
        assert (told.active_tasks, told.queue_depth, told.response_time_ms, told.error_rate) == (2, 7, 1.5, 0.25)
        assert metrics.last_heartbeat == later(3)

    def test_there_is_no_uptime_of_what_is_not_up(self) -> None:
        world, it = World(), instance(phase=Phase.STOPPED, status={"started_at": NOW})
        world.put(it)
        assert world.catalogue.health.metrics(it, NOW).uptime_seconds is None


class TestRollUp:
    def test_the_worst_below_counts_and_is_named(self) -> None:
        world = World()
        world.put(looking("global", Health.HEALTHY, scope=Scope.GLOBAL))
        world.put(looking("web", Health.HEALTHY, "global"))
        world.put(looking("worker", Health.DEGRADED, "web"))
        world.put(looking("mail", Health.HEALTHY, "global"))
        assert world.rolled_up("global") == world.rolled_up("web") == HealthRollUp(Health.DEGRADED, "worker")
        assert world.rolled_up("mail") == HealthRollUp(Health.HEALTHY, "mail")
        assert world.of("global") is Health.HEALTHY
        world.put(looking("worker", Health.DEGRADED, "mail"))
        assert (world.rolled_up("web").health, world.rolled_up("mail").health) == (Health.HEALTHY, Health.DEGRADED)
        world.remove(looking("worker", Health.DEGRADED))
        assert world.rolled_up("global").health is Health.HEALTHY

    def test_of_one_that_is_not_known(self) -> None:
        world, stranger = World(), instance("stranger")
        assert world.catalogue.health.of(stranger).health is Health.UNKNOWN
        assert world.catalogue.health.rolled_up(stranger) == HealthRollUp(Health.UNKNOWN, "stranger")

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.sampled_from([None, *"abcdef", "x"]),
                st.sampled_from([None, *LOOKS]),
            ),
            max_size=30,
        )
    )
    def test_agrees_with_a_look_at_all_below(self, changes: list[tuple[str, str | None, Health | None]]) -> None:
        """After any changes, circles and missing parents among them."""
        world, expected = World(), {}
        for name, parent, health in changes:
            if health is not None:
                world.put(looking(name, health, parent))
                expected[name] = health
            elif name in expected:
                it = world.catalogue.instances.namespace("default").get(name)
                assert it
                world.remove(it)
                del expected[name]
                break  # its uid does not come back
            index = world.catalogue.instances.namespace("default")
            for each, own in expected.items():
                assert world.of(each) is own
                below = [expected[it.name] for it in descendants(each, index)]
                assert world.rolled_up(each).health is worst([own, *below])
                assert expected[world.rolled_up(each).source] is world.rolled_up(each).health
        for health in LOOKS:
            there = {name for name, own in expected.items() if own is health}
            assert world.catalogue.health.names("default", health) == there


def test_memory() -> None:
    """Everything that is known of an instance besides itself: by labels, capabilities, owners and health."""
    catalogue, figures = fill_catalogue(3000)
    assert len(catalogue.instances) == 3000
    assert [it.value <= 2048 for it in figures if it.name == INDEX_MEMORY] == [True]


class TestFind:
    def test_by_health(self) -> None:
        world = World()
        for health in LOOKS:
            world.put(looking(health.value, health))
        good, bad, any_ = (
            [it.name for it in world.catalogue.find("default", Criteria(healthy=healthy))]
            for healthy in (True, False, None)
        )
        assert (good, bad) == (["healthy"], ["degraded", "unhealthy"])
        assert len(any_) == len(LOOKS)
        assert world.catalogue.find("default", Criteria(healthy=False, phases={Phase.ERROR}))[0].name == "unhealthy"

    def test_nothing_is_kept_of_what_is_gone(self) -> None:
        world, it = World(), looking("web", Health.HEALTHY)
        world.put(it)
        world.remove(it)
        assert world.catalogue.find("default", Criteria(healthy=True)) == []
        assert len(world.catalogue.health) == 0
