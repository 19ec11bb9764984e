"""Heartbeats in the plan: the Heartbeat condition, the Error after lost heartbeats, and the recovery."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, RestartMode
from hopper.api.instance import Heartbeat, InstanceStatus
from hopper.api.model import Condition
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord, is_condition_outdated
from hopper.domain.observed import Observed
from hopper.domain.planner import plan
from tests.unit.domain.sample_instances import NOW, instance, observe, phases, policy, seconds, transition_entry

TIMEOUT = 10


def record(silence: float | None, at: datetime = NOW) -> HeartbeatRecord:
    """Return the record of an hour in which the last heartbeat came `silence` seconds ago."""
    return HeartbeatRecord(None if silence is None else at - seconds(silence), at - seconds(3600), at)


def running(silence: float | None = 0.0, **fields: Any) -> Observed:
    """Observe an instance that has been Running for long, with a status written while heartbeats arrived."""
    spec = {"heartbeat": Heartbeat(timeout_seconds=TIMEOUT), **fields}
    o = observe(instance(phase=Phase.RUNNING, since=1800, age=3600, **spec), now=NOW - seconds(60))
    o = replace(o.with_status(planned(replace(o, heartbeats=record(0.0)))), now=NOW)
    return replace(o, heartbeats=record(silence))


def planned(o: Observed) -> InstanceStatus:
    status = plan(o).status
    assert status is not None
    return status


def after(o: Observed, wait: float = 0.0, silence: float | None = 1000.0) -> Observed:
    """Return the observation after the plan was written and `wait` seconds have passed."""
    now = o.now + seconds(wait)
    return replace(o.with_status(planned(o)), now=now, heartbeats=record(silence, now))


def heartbeat_condition(status: InstanceStatus) -> tuple[str, str] | None:
    found: Condition | None = status.condition(ConditionType.HEARTBEAT)
    return (found.status, found.reason) if found else None


class TestCondition:
    def test_is_written_at_the_start_and_then_unchanged(self) -> None:
        o = observe(instance(heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=record(None))
        assert phases(plan(o)) == "Created Starting Running"
        assert heartbeat_condition(planned(o)) == ("True", "HeartbeatInTime")
        for silence in (None, 0.0, 9.0):
            following = after(o, wait=5, silence=silence)
            assert planned(following) == following.instance.status

    def test_is_unknown_while_no_gateway_listens(self) -> None:
        o = observe(instance(heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=NO_HEARTBEATS)
        assert heartbeat_condition(planned(o)) == ("Unknown", "NobodyListens")
        waiting = replace(after(o, wait=900), heartbeats=NO_HEARTBEATS)
        assert planned(waiting) == waiting.instance.status
        assert not is_condition_outdated(waiting.instance, NO_HEARTBEATS)
        just_begun = HeartbeatRecord(None, waiting.now, waiting.now)
        assert is_condition_outdated(waiting.instance, just_begun)
        listened_to = replace(waiting, heartbeats=just_begun)
        assert heartbeat_condition(planned(listened_to)) == ("True", "HeartbeatInTime")
        left_again = replace(after(listened_to, wait=5), heartbeats=NO_HEARTBEATS)
        assert planned(left_again) == left_again.instance.status, "the condition is kept during an outage"

    @given(st.lists(st.floats(0, 9.9), max_size=5))
    def test_is_not_rewritten_while_heartbeats_arrive(self, silences: list[float]) -> None:
        o = running()
        for silence in silences:
            o = after(o, wait=100, silence=silence)
            assert planned(o) == o.instance.status
            assert not is_condition_outdated(o.instance, o.heartbeats)

    def test_is_unknown_after_the_timeout(self) -> None:
        o = running(silence=TIMEOUT)
        assert is_condition_outdated(o.instance, o.heartbeats)
        status = planned(o)
        assert (status.phase, heartbeat_condition(status), status.is_ready) == (
            Phase.RUNNING,
            ("Unknown", "HeartbeatOverdue"),
            True,
        )
        following = after(o, wait=5, silence=15)
        assert planned(following) == following.instance.status, "the condition is written once"
        assert not is_condition_outdated(following.instance, following.heartbeats)

    def test_stays_unknown_while_no_gateway_listens(self) -> None:
        overdue = after(running(silence=TIMEOUT), wait=5)
        for record_of_outage in (NO_HEARTBEATS, HeartbeatRecord(NOW - seconds(10), overdue.now, overdue.now)):
            o = replace(overdue, heartbeats=record_of_outage)
            assert planned(o) == o.instance.status
            assert not is_condition_outdated(o.instance, o.heartbeats)

    def test_is_true_again_with_the_next_heartbeat(self) -> None:
        o = after(running(silence=TIMEOUT), wait=5, silence=1)
        assert is_condition_outdated(o.instance, o.heartbeats)
        assert heartbeat_condition(planned(o)) == ("True", "HeartbeatInTime")

    @pytest.mark.parametrize("desired", [DesiredState.PAUSED, DesiredState.STOPPED])
    def test_is_absent_while_no_heartbeats_are_expected(self, desired: DesiredState) -> None:
        o = running(silence=9)
        o = replace(o, effective=replace(o.effective, state=desired))
        assert heartbeat_condition(planned(o)) is None
        assert heartbeat_condition(planned(observe(instance(phase=Phase.RUNNING)))) is None


class TestLoss:
    def test_leads_to_error_and_a_restart_by_the_restart_policy(self) -> None:
        o = running(silence=3 * TIMEOUT)
        assert is_condition_outdated(o.instance, o.heartbeats)
        decided = plan(o)
        assert phases(decided) == "Running Error"
        assert decided.transitions[0].reason == Reason.HEARTBEAT_LOST
        assert "30 s" in decided.transitions[0].message
        assert heartbeat_condition(planned(o)) == ("False", "HeartbeatLost")
        assert decided.requeue_after == 10
        waiting = after(o, wait=5)
        assert planned(waiting) == waiting.instance.status
        restarted = after(o, wait=10)
        assert phases(plan(restarted)) == "Error Starting Running"
        status = planned(restarted)
        assert (status.restarts, status.retries, heartbeat_condition(status)) == (1, 1, ("True", "HeartbeatInTime"))

    def test_the_timeout_starts_again_after_the_restart(self) -> None:
        o = after(after(running(silence=3 * TIMEOUT), wait=10), wait=TIMEOUT - 1)
        assert planned(o) == o.instance.status
        assert heartbeat_condition(planned(after(o, wait=1))) == ("Unknown", "HeartbeatOverdue")
        assert phases(plan(after(o, wait=2 * TIMEOUT + 1))) == "Running Error"

    def test_restarts_end_at_max_retries(self) -> None:
        o = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.ON_FAILURE, max_retries=1))
        o = after(after(o, wait=10), wait=3 * TIMEOUT)
        assert phases(plan(o)) == "Running Error"
        o = after(o, wait=1000)
        assert plan(o).transitions == ()
        stalled = planned(o).condition(ConditionType.STALLED)
        assert stalled is not None
        assert stalled.reason == Reason.RESTARTS_EXHAUSTED

    def test_a_new_heartbeat_recovers_the_instance(self) -> None:
        lost = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.NEVER))
        assert plan(after(lost, wait=100)).transitions == ()
        back = after(lost, wait=100, silence=1)
        assert is_condition_outdated(back.instance, back.heartbeats)
        decided = plan(back)
        assert phases(decided) == "Error Starting Running"
        assert decided.transitions[0].reason == Reason.HEARTBEAT_IS_BACK
        assert (planned(back).restarts, heartbeat_condition(planned(back))) == (0, ("True", "HeartbeatInTime"))

    def test_a_heartbeat_from_before_the_error_does_not_recover_it(self) -> None:
        lost = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.NEVER))
        o = replace(after(lost, wait=5), heartbeats=HeartbeatRecord(NOW - seconds(1), NOW - seconds(3600), NOW))
        assert plan(o).transitions == ()

    def test_nothing_is_lost_while_no_gateway_listens(self) -> None:
        o = replace(running(), now=NOW + seconds(10**6))
        for record_of_outage in (NO_HEARTBEATS, HeartbeatRecord(NOW, NOW - seconds(3600), NOW + seconds(1))):
            assert planned(replace(o, heartbeats=record_of_outage)) == o.instance.status

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RUNNING])
    def test_only_a_running_instance_can_lose_heartbeats(self, phase: Phase) -> None:
        o = observe(
            instance(phase=phase, heartbeat=Heartbeat(timeout_seconds=TIMEOUT), since=5), heartbeats=record(900)
        )
        assert Reason.HEARTBEAT_LOST not in {step.reason for step in plan(o).transitions}

    def test_heartbeats_do_not_recover_from_other_errors(self) -> None:
        o = observe(
            instance(phase=Phase.ERROR, since=5, heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=record(0.0)
        )
        assert plan(o).transitions == ()
        assert heartbeat_condition(planned(o)) is None


RECORDS = {
    "on time": record(0.0),
    "overdue": record(15.0),
    "lost": record(500.0),
    "no heartbeat ever": record(None),
    "no gateway listens": NO_HEARTBEATS,
    "gateways have just started to listen": HeartbeatRecord(NOW - seconds(500), NOW - seconds(5), NOW),
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("desired", DesiredState)
def test_a_second_plan_without_any_change_decides_nothing_new(phase: Phase, desired: DesiredState) -> None:
    """The plan is stable for every record of heartbeats."""
    spec = {"heartbeat": Heartbeat(timeout_seconds=TIMEOUT), "desired": desired}
    for mode, restart, failed_by_silence, name in product(RestartMode, (None, NOW), (True, False), RECORDS):
        entry = transition_entry(Phase.RUNNING, Phase.ERROR, reason="HeartbeatLost" if failed_by_silence else "BackOff")
        history = {"history": (entry,)} if phase is Phase.ERROR else {}
        subject = instance(phase=phase, restarted_at=restart, restart_policy=policy(mode), status=history, **spec)
        first = observe(subject, heartbeats=RECORDS[name])
        status = planned(first)
        again = first.with_status(status)
        assert planned(again) == status, f"{mode}, {restart}, {failed_by_silence}, {name}"
        assert not is_condition_outdated(again.instance, again.heartbeats)
