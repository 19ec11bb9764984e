"""Health of instances: kept up to date by changes and heartbeats, and rolled up the tree."""

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

STATE_BY_HEALTH = {
    Health.INACTIVE: (Phase.STOPPED, "True"),
    Health.HEALTHY: (Phase.RUNNING, "True"),
    Health.PROGRESSING: (Phase.STARTING, "False"),
    Health.DEGRADED: (Phase.RUNNING, "False"),
    Health.UNHEALTHY: (Phase.ERROR, "False"),
}


class CatalogueFeed:
    """Feed of a catalogue, as the watch does it."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.catalogue.journal.open()
        self._version = 0

    def put(self, instance: HopperInstance) -> None:
        self._version += 1
        instance = replace(instance, metadata=replace(instance.metadata, resource_version=str(self._version)))
        if change := self.catalogue.instances.put(instance):
            self.catalogue.on_change(change)

    def remove(self, instance: HopperInstance) -> None:
        if change := self.catalogue.instances.remove("default", instance.name, instance.metadata.uid):
            self.catalogue.on_change(change)

    def receive_shard(self, *heartbeats: Any, until: float, since: float = -500, shard: int | None = None) -> None:
        self._version += 1
        raw = shard_configmap(self._version, *heartbeats, gateways={"a": (since, until)}, shard=shard)
        if change := self.catalogue.heartbeats.put(raw):
            self.catalogue.on_heartbeats(change)

    def of(self, name: str) -> Health:
        instance = self.catalogue.instances.namespace("default").get(name)
        assert instance
        return self.catalogue.health.of(instance).health

    def rolled_up(self, name: str) -> HealthRollUp:
        instance = self.catalogue.instances.namespace("default").get(name)
        assert instance
        return self.catalogue.health.rolled_up(instance)

    def health_events(self) -> list[str]:
        entries = self.catalogue.journal.since(0) or ()
        return [
            f"{entry.name} {entry.detail['from']} → {entry.detail['to']}" for entry in entries if entry.kind == "health"
        ]


def instance_with_health(
    name: str, health: Health, parent: str | None = None, scope: Scope = Scope.PROJECT
) -> HopperInstance:
    phase, ready = STATE_BY_HEALTH[health]
    reason = "Starting" if health is Health.PROGRESSING else phase.value
    conditions = (condition(ConditionType.READY, ready, reason),)
    return instance(name, scope, parent=parent, phase=phase, status={"conditions": conditions})


class TestHeartbeats:
    def test_heartbeats_time_out_by_the_time_of_the_gateways(self) -> None:
        feed, (first, second) = CatalogueFeed(), names_in_same_shard(2)
        feed.put(heartbeat_instance(first))
        feed.put(heartbeat_instance(second))
        heartbeats = ((first, heartbeat(first, 0)), (second, heartbeat(second, 0)))
        feed.receive_shard(*heartbeats, until=5)
        assert (feed.of(first), feed.of(second)) == (Health.HEALTHY, Health.HEALTHY)
        feed.receive_shard((first, heartbeat(first, 12)), heartbeats[1], until=15)
        assert (feed.of(first), feed.of(second)) == (Health.HEALTHY, Health.UNKNOWN)
        feed.receive_shard((first, heartbeat(first, 28)), heartbeats[1], until=30)
        assert (feed.of(first), feed.of(second)) == (Health.HEALTHY, Health.UNHEALTHY)
        feed.receive_shard((first, heartbeat(first, 28)), (second, heartbeat(second, 31)), until=32)
        assert feed.of(second) is Health.HEALTHY
        assert feed.health_events() == [
            f"{second} healthy → unknown",
            f"{second} unknown → unhealthy",
            f"{second} unhealthy → healthy",
        ]

    def test_a_reported_status_counts_without_a_timeout(self) -> None:
        feed = CatalogueFeed()
        feed.put(heartbeat_instance(timeout=None))
        feed.receive_shard(("web", heartbeat(at=0, status=Health.DEGRADED)), until=1)
        assert feed.of("web") is Health.DEGRADED

    def test_a_received_heartbeat_counts_when_it_is_written(self) -> None:
        feed = CatalogueFeed()
        feed.put(heartbeat_instance(timeout=None))
        degraded = heartbeat(at=0, status=Health.DEGRADED)
        feed.catalogue.heartbeats.add("default", "web", degraded)
        feed.receive_shard(("web", degraded), until=1)
        assert feed.of("web") is Health.DEGRADED

    def test_metrics_come_from_the_last_heartbeat(self) -> None:
        feed = CatalogueFeed()
        feed.put(heartbeat_instance(status={"started_at": NOW - seconds(90)}))
        instance = feed.catalogue.instances.namespace("default").get("web")
        assert instance
        metrics = feed.catalogue.health.metrics(instance, NOW)
        assert (metrics.vitals, metrics.uptime_seconds, metrics.last_heartbeat) == (Vitals(), 90, None)
        feed.receive_shard(
            ("web", heartbeat(at=3, active_tasks=2, queue_depth=7, response_time_ms=1.5, error_rate=0.25)), until=4
        )
        metrics = feed.catalogue.health.metrics(instance, NOW)
        vitals = metrics.vitals
        assert (vitals.active_tasks, vitals.queue_depth, vitals.response_time_ms, vitals.error_rate) == (
            2,
            7,
            1.5,
            0.25,
        )
        assert metrics.last_heartbeat == later(3)

    def test_a_stopped_instance_has_no_uptime(self) -> None:
        feed, subject = CatalogueFeed(), instance(phase=Phase.STOPPED, status={"started_at": NOW})
        feed.put(subject)
        assert feed.catalogue.health.metrics(subject, NOW).uptime_seconds is None


class TestRollUp:
    def test_an_ancestor_reports_the_worst_health_and_its_source(self) -> None:
        feed = CatalogueFeed()
        feed.put(instance_with_health("global", Health.HEALTHY, scope=Scope.GLOBAL))
        feed.put(instance_with_health("web", Health.HEALTHY, "global"))
        feed.put(instance_with_health("worker", Health.DEGRADED, "web"))
        feed.put(instance_with_health("mail", Health.HEALTHY, "global"))
        assert feed.rolled_up("global") == feed.rolled_up("web") == HealthRollUp(Health.DEGRADED, "worker")
        assert feed.rolled_up("mail") == HealthRollUp(Health.HEALTHY, "mail")
        assert feed.of("global") is Health.HEALTHY
        feed.put(instance_with_health("worker", Health.DEGRADED, "mail"))
        assert (feed.rolled_up("web").health, feed.rolled_up("mail").health) == (Health.HEALTHY, Health.DEGRADED)
        feed.remove(instance_with_health("worker", Health.DEGRADED))
        assert feed.rolled_up("global").health is Health.HEALTHY

    def test_an_unknown_instance_has_unknown_health(self) -> None:
        feed, stranger = CatalogueFeed(), instance("stranger")
        assert feed.catalogue.health.of(stranger).health is Health.UNKNOWN
        assert feed.catalogue.health.rolled_up(stranger) == HealthRollUp(Health.UNKNOWN, "stranger")

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.sampled_from([None, *"abcdef", "x"]),
                st.sampled_from([None, *STATE_BY_HEALTH]),
            ),
            max_size=30,
        )
    )
    def test_roll_ups_match_a_walk_over_all_descendants(
        self, changes: list[tuple[str, str | None, Health | None]]
    ) -> None:
        """After any changes, also with cycles and missing parents."""
        feed, expected = CatalogueFeed(), {}
        for name, parent, health in changes:
            if health is not None:
                feed.put(instance_with_health(name, health, parent))
                expected[name] = health
            elif name in expected:
                instance = feed.catalogue.instances.namespace("default").get(name)
                assert instance
                feed.remove(instance)
                del expected[name]
                break  # a uid is never reused
            index = feed.catalogue.instances.namespace("default")
            for each, own in expected.items():
                assert feed.of(each) is own
                below = [expected[instance.name] for instance in descendants(each, index)]
                assert feed.rolled_up(each).health is worst([own, *below])
                assert expected[feed.rolled_up(each).source] is feed.rolled_up(each).health
        for health in STATE_BY_HEALTH:
            names = {name for name, own in expected.items() if own is health}
            assert feed.catalogue.health.names("default", health) == names


def test_memory_per_instance() -> None:
    """Memory for the index by labels, capabilities, owners and health, without the instance itself."""
    catalogue, figures = fill_catalogue(3000)
    assert len(catalogue.instances) == 3000
    assert [figure.value <= 2048 for figure in figures if figure.name == INDEX_MEMORY] == [True]


class TestCriteria:
    def test_healthy_excludes_inactive_instances(self) -> None:
        feed = CatalogueFeed()
        for health in STATE_BY_HEALTH:
            feed.put(instance_with_health(health.value, health))
        good, bad, any_ = (
            [instance.name for instance in feed.catalogue.find("default", Criteria(healthy=healthy))]
            for healthy in (True, False, None)
        )
        assert (good, bad) == (["healthy"], ["degraded", "unhealthy"])
        assert len(any_) == len(STATE_BY_HEALTH)
        assert feed.catalogue.find("default", Criteria(healthy=False, phases={Phase.ERROR}))[0].name == "unhealthy"

    def test_a_deleted_instance_leaves_no_verdict(self) -> None:
        feed, instance = CatalogueFeed(), instance_with_health("web", Health.HEALTHY)
        feed.put(instance)
        feed.remove(instance)
        assert feed.catalogue.find("default", Criteria(healthy=True)) == []
        assert len(feed.catalogue.health) == 0
