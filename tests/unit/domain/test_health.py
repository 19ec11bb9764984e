"""Health of an instance: the word and the reason for each state."""

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

ON_TIME = HeartbeatRecord(NOW, NOW - seconds(900), NOW)
OVERDUE = HeartbeatRecord(NOW - seconds(15), NOW - seconds(900), NOW)
LOST = HeartbeatRecord(NOW - seconds(500), NOW - seconds(900), NOW)


def sample(phase: Phase = Phase.RUNNING, ready: str = "True", reason: str = "", **fields: Any) -> HopperInstance:
    """Build an instance in a phase; `stalled` and `heartbeat` add conditions."""
    conditions = [condition(ConditionType.READY, ready, reason or phase.value)]
    if stalled := fields.pop("stalled", None):
        conditions.append(condition(ConditionType.STALLED, "True", stalled))
    if status := fields.pop("heartbeat", None):
        conditions.append(condition(ConditionType.HEARTBEAT, status, "HeartbeatOverdue"))
    expected = fields.pop("expected", None)
    return instance(
        phase=phase,
        since=600,
        heartbeat=Heartbeat(timeout_seconds=10) if expected else None,
        status={"conditions": tuple(conditions)},
        **fields,
    )


@pytest.mark.parametrize(
    ("subject", "record", "expected", "reason"),
    [
        (instance(), NO_HEARTBEATS, Health.UNKNOWN, "NotObserved"),
        (sample(), NO_HEARTBEATS, Health.HEALTHY, "Running"),
        (sample(Phase.PAUSED), NO_HEARTBEATS, Health.HEALTHY, "Paused"),
        (sample(Phase.STOPPED), NO_HEARTBEATS, Health.INACTIVE, "Stopped"),
        (sample(Phase.ARCHIVED), NO_HEARTBEATS, Health.INACTIVE, "Archived"),
        (sample(Phase.TERMINATED), NO_HEARTBEATS, Health.INACTIVE, "Terminated"),
        (sample(Phase.CREATED, "False", "ParentNotFound"), NO_HEARTBEATS, Health.PROGRESSING, "ParentNotFound"),
        (sample(Phase.STARTING, "False", "Starting"), NO_HEARTBEATS, Health.PROGRESSING, "Starting"),
        (sample(Phase.STOPPING, "False", "Stopping"), NO_HEARTBEATS, Health.PROGRESSING, "Stopping"),
        (sample(Phase.RUNNING, "False", "RollingOut"), NO_HEARTBEATS, Health.PROGRESSING, "RollingOut"),
        (sample(Phase.RUNNING, "False", "Orphaned"), NO_HEARTBEATS, Health.DEGRADED, "Orphaned"),
        (
            sample(Phase.RUNNING, "False", "ConfigInvalid", stalled="ConfigInvalid"),
            NO_HEARTBEATS,
            Health.DEGRADED,
            "ConfigInvalid",
        ),
        (
            sample(Phase.CREATED, "False", "ConfigInvalid", stalled="ConfigInvalid"),
            NO_HEARTBEATS,
            Health.UNHEALTHY,
            "ConfigInvalid",
        ),
        (sample(Phase.ERROR, "False", "BackOff"), NO_HEARTBEATS, Health.UNHEALTHY, "BackOff"),
        (sample(expected=True), ON_TIME, Health.HEALTHY, "Running"),
        (sample(expected=True), NO_HEARTBEATS, Health.HEALTHY, "Running"),
        (sample(expected=True), OVERDUE, Health.UNKNOWN, "HeartbeatOverdue"),
        (sample(expected=True), LOST, Health.UNHEALTHY, "HeartbeatLost"),
        (sample(expected=True, heartbeat="Unknown"), NO_HEARTBEATS, Health.UNKNOWN, "HeartbeatOverdue"),
        (sample(expected=True, heartbeat="Unknown"), ON_TIME, Health.HEALTHY, "Running"),
        (sample(Phase.PAUSED, expected=True), LOST, Health.HEALTHY, "Paused"),
        (sample(), LOST, Health.HEALTHY, "Running"),
    ],
)
def test_health_and_reason_of_each_state(
    subject: HopperInstance, record: HeartbeatRecord, expected: Health, reason: str
) -> None:
    verdict = health_of(subject, record)
    assert (verdict.health, verdict.reason) == (expected, reason)


class TestReported:
    """Health in the last heartbeat: it can make the health worse, never better, and only during the same run."""

    @pytest.mark.parametrize("reported", [Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY])
    @pytest.mark.parametrize("expected", [True, False])
    def test_becomes_the_health_of_a_running_instance(self, reported: Health, expected: bool) -> None:
        assert health_of(sample(expected=expected), ON_TIME, self.heartbeat(reported)).health is reported

    def test_does_not_hide_an_error_or_an_overdue_heartbeat(self) -> None:
        seen = health_of(sample(Phase.ERROR, "False", "BackOff"), ON_TIME, self.heartbeat(Health.HEALTHY))
        assert seen.health is Health.UNHEALTHY
        assert health_of(sample(expected=True), OVERDUE, self.heartbeat(Health.DEGRADED, 15)).health is Health.UNKNOWN

    def test_ends_when_the_instance_stops_or_restarts(self) -> None:
        assert health_of(sample(Phase.STOPPED), ON_TIME, self.heartbeat(Health.UNHEALTHY)).health is Health.INACTIVE
        assert health_of(sample(), ON_TIME, self.heartbeat(Health.UNHEALTHY, 601)).health is Health.HEALTHY

    def heartbeat(self, status: Health, age: float = 0) -> StoredHeartbeat:
        return StoredHeartbeat(uid="uid-web", at=NOW - seconds(age), status=status)


class TestOrder:
    def test_is_part_of_the_api(self) -> None:
        assert [*Health] == ["inactive", "healthy", "progressing", "degraded", "unknown", "unhealthy"]
        assert [health for health in Health if health.is_trouble] == ["degraded", "unknown", "unhealthy"]

    def test_worst_follows_the_order(self) -> None:
        assert worst([Health.HEALTHY, Health.DEGRADED, Health.INACTIVE]) is Health.DEGRADED
        assert worst([Health.UNKNOWN, Health.DEGRADED]) is Health.UNKNOWN
        assert worst([]) is Health.INACTIVE


def test_every_reason_is_a_known_reason_or_a_phase() -> None:
    known = {*Reason, *(phase.value for phase in Phase)}
    for subject, record in (
        (instance(), NO_HEARTBEATS),
        (sample(expected=True), LOST),
        (sample(expected=True), OVERDUE),
    ):
        assert health_of(subject, record).reason in known
    assert replace(health_of(sample()), message="").reason in known
