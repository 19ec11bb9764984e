"""Health: one word and why, for everything that can be observed of an instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Health, Phase
from hopper.api.heartbeat import StoredHeartbeat
from hopper.api.instance import Heartbeat, HopperInstance
from hopper.domain.health import health_of, worst
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord
from tests.unit.domain.sample_instances import NOW, condition, instance, seconds

BEATS = HeartbeatRecord(NOW, NOW - seconds(900), NOW)
OVERDUE = HeartbeatRecord(NOW - seconds(15), NOW - seconds(900), NOW)
LOST = HeartbeatRecord(NOW - seconds(500), NOW - seconds(900), NOW)


def it(phase: Phase = Phase.RUNNING, ready: str = "True", reason: str = "", **said: Any) -> HopperInstance:
    """Build an instance in a phase; `stalled` and `heartbeat` give further conditions."""
    conditions = [condition(ConditionType.READY, ready, reason or phase.value)]
    if stalled := said.pop("stalled", None):
        conditions.append(condition(ConditionType.STALLED, "True", stalled))
    if status := said.pop("heartbeat", None):
        conditions.append(condition(ConditionType.HEARTBEAT, status, "HeartbeatOverdue"))
    expected = said.pop("expected", None)
    return instance(
        phase=phase,
        since=600,
        heartbeat=Heartbeat(timeout_seconds=10) if expected else None,
        status={"conditions": tuple(conditions)},
        **said,
    )


@pytest.mark.parametrize(
    ("subject", "heard", "expected", "reason"),
    [
        (instance(), NO_HEARTBEATS, Health.UNKNOWN, "NotObserved"),
        (it(), NO_HEARTBEATS, Health.HEALTHY, "Running"),
        (it(Phase.PAUSED), NO_HEARTBEATS, Health.HEALTHY, "Paused"),
        (it(Phase.STOPPED), NO_HEARTBEATS, Health.INACTIVE, "Stopped"),
        (it(Phase.ARCHIVED), NO_HEARTBEATS, Health.INACTIVE, "Archived"),
        (it(Phase.TERMINATED), NO_HEARTBEATS, Health.INACTIVE, "Terminated"),
        (it(Phase.CREATED, "False", "ParentNotFound"), NO_HEARTBEATS, Health.PROGRESSING, "ParentNotFound"),
        (it(Phase.STARTING, "False", "Starting"), NO_HEARTBEATS, Health.PROGRESSING, "Starting"),
        (it(Phase.STOPPING, "False", "Stopping"), NO_HEARTBEATS, Health.PROGRESSING, "Stopping"),
        (it(Phase.RUNNING, "False", "RollingOut"), NO_HEARTBEATS, Health.PROGRESSING, "RollingOut"),
        (it(Phase.RUNNING, "False", "Orphaned"), NO_HEARTBEATS, Health.DEGRADED, "Orphaned"),
        (
            it(Phase.RUNNING, "False", "ConfigInvalid", stalled="ConfigInvalid"),
            NO_HEARTBEATS,
            Health.DEGRADED,
            "ConfigInvalid",
        ),
        (
            it(Phase.CREATED, "False", "ConfigInvalid", stalled="ConfigInvalid"),
            NO_HEARTBEATS,
            Health.UNHEALTHY,
            "ConfigInvalid",
        ),
        (it(Phase.ERROR, "False", "BackOff"), NO_HEARTBEATS, Health.UNHEALTHY, "BackOff"),
        (it(expected=True), BEATS, Health.HEALTHY, "Running"),
        (it(expected=True), NO_HEARTBEATS, Health.HEALTHY, "Running"),
        (it(expected=True), OVERDUE, Health.UNKNOWN, "HeartbeatOverdue"),
        (it(expected=True), LOST, Health.UNHEALTHY, "HeartbeatLost"),
        (it(expected=True, heartbeat="Unknown"), NO_HEARTBEATS, Health.UNKNOWN, "HeartbeatOverdue"),
        (it(expected=True, heartbeat="Unknown"), BEATS, Health.HEALTHY, "Running"),
        (it(Phase.PAUSED, expected=True), LOST, Health.HEALTHY, "Paused"),
        (it(), LOST, Health.HEALTHY, "Running"),
    ],
)
def test_health(subject: HopperInstance, heard: HeartbeatRecord, expected: Health, reason: str) -> None:
    said = health_of(subject, heard)
    assert (said.health, said.reason) == (expected, reason)


class TestReported:
    """What an instance says of itself makes it worse, never better, and only while that is news."""

    @pytest.mark.parametrize("said", [Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY])
    @pytest.mark.parametrize("expected", [True, False])
    def test_is_believed(self, said: Health, expected: bool) -> None:
        assert health_of(it(expected=expected), BEATS, self.beat(said)).health is said

    def test_does_not_hide_what_is_seen(self) -> None:
        seen = health_of(it(Phase.ERROR, "False", "BackOff"), BEATS, self.beat(Health.HEALTHY))
        assert seen.health is Health.UNHEALTHY
        assert health_of(it(expected=True), OVERDUE, self.beat(Health.DEGRADED, 15)).health is Health.UNKNOWN

    def test_is_over_when_it_stops_or_starts_again(self) -> None:
        assert health_of(it(Phase.STOPPED), BEATS, self.beat(Health.UNHEALTHY)).health is Health.INACTIVE
        assert health_of(it(), BEATS, self.beat(Health.UNHEALTHY, 601)).health is Health.HEALTHY

    def beat(self, status: Health, age: float = 0) -> StoredHeartbeat:
        return StoredHeartbeat(uid="uid-web", at=NOW - seconds(age), status=status)


class TestOrder:
    def test_is_published(self) -> None:
        assert [*Health] == ["inactive", "healthy", "progressing", "degraded", "unknown", "unhealthy"]
        assert [it for it in Health if it.is_trouble] == ["degraded", "unknown", "unhealthy"]

    def test_the_worst_counts(self) -> None:
        assert worst([Health.HEALTHY, Health.DEGRADED, Health.INACTIVE]) is Health.DEGRADED
        assert worst([Health.UNKNOWN, Health.DEGRADED]) is Health.UNKNOWN
        assert worst([]) is Health.INACTIVE


def test_every_reason_is_in_the_list() -> None:
    known = {*Reason, *(phase.value for phase in Phase)}
    for subject, heard in ((instance(), NO_HEARTBEATS), (it(expected=True), LOST), (it(expected=True), OVERDUE)):
        assert health_of(subject, heard).reason in known
    assert replace(health_of(it()), message="").reason in known
