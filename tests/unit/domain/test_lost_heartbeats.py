"""What the planner makes of heartbeats: nothing while they come, an Error when they are lost, and the way back."""

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


def heard(silence: float | None, at: datetime = NOW) -> HeartbeatRecord:
    """Gateways have listened for an hour, and the last heartbeat was so many seconds ago."""
    return HeartbeatRecord(None if silence is None else at - seconds(silence), at - seconds(3600), at)


def running(silence: float | None = 0.0, **said: Any) -> Observed:
    """Observe an instance that has been Running for long, as its status says after a look while it was beating."""
    spec = {"heartbeat": Heartbeat(timeout_seconds=TIMEOUT), **said}
    o = observe(instance(phase=Phase.RUNNING, since=1800, age=3600, **spec), now=NOW - seconds(60))
    o = replace(o.with_status(planned(replace(o, heartbeats=heard(0.0)))), now=NOW)
    return replace(o, heartbeats=heard(silence))


def planned(o: Observed) -> InstanceStatus:
    status = plan(o).status
    assert status is not None
    return status


def after(o: Observed, wait: float = 0.0, silence: float | None = 1000.0) -> Observed:
    """Return what is observed once the plan is written, and some seconds more have gone by."""
    now = o.now + seconds(wait)
    return replace(o.with_status(planned(o)), now=now, heartbeats=heard(silence, now))


def said(status: InstanceStatus) -> tuple[str, str] | None:
    found: Condition | None = status.condition(ConditionType.HEARTBEAT)
    return (found.status, found.reason) if found else None


class TestCondition:
    def test_is_written_with_the_start_and_then_left_alone(self) -> None:
        o = observe(instance(heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=heard(None))
        assert phases(plan(o)) == "Created Starting Running"
        assert said(planned(o)) == ("True", "HeartbeatInTime")
        for silence in (None, 0.0, 9.0):
            following = after(o, wait=5, silence=silence)
            assert planned(following) == following.instance.status

    def test_says_so_where_nobody_listens(self) -> None:
        o = observe(instance(heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=NO_HEARTBEATS)
        assert said(planned(o)) == ("Unknown", "NobodyListens")
        waiting = replace(after(o, wait=900), heartbeats=NO_HEARTBEATS)
        assert planned(waiting) == waiting.instance.status
        assert not is_condition_outdated(waiting.instance, NO_HEARTBEATS)
        just_begun = HeartbeatRecord(None, waiting.now, waiting.now)
        assert is_condition_outdated(waiting.instance, just_begun)
        listened_to = replace(waiting, heartbeats=just_begun)
        assert said(planned(listened_to)) == ("True", "HeartbeatInTime")
        left_again = replace(after(listened_to, wait=5), heartbeats=NO_HEARTBEATS)
        assert planned(left_again) == left_again.instance.status, "what was known is still known"

    @given(st.lists(st.floats(0, 9.9), max_size=5))
    def test_healthy_heartbeats_cost_no_write(self, silences: list[float]) -> None:
        o = running()
        for silence in silences:
            o = after(o, wait=100, silence=silence)
            assert planned(o) == o.instance.status
            assert not is_condition_outdated(o.instance, o.heartbeats)

    def test_unknown_after_the_timeout(self) -> None:
        o = running(silence=TIMEOUT)
        assert is_condition_outdated(o.instance, o.heartbeats)
        status = planned(o)
        assert (status.phase, said(status), status.is_ready) == (Phase.RUNNING, ("Unknown", "HeartbeatOverdue"), True)
        following = after(o, wait=5, silence=15)
        assert planned(following) == following.instance.status, "once is enough"
        assert not is_condition_outdated(following.instance, following.heartbeats)

    def test_unknown_stays_so_while_nobody_listens(self) -> None:
        overdue = after(running(silence=TIMEOUT), wait=5)
        for nobody in (NO_HEARTBEATS, HeartbeatRecord(NOW - seconds(10), overdue.now, overdue.now)):
            o = replace(overdue, heartbeats=nobody)
            assert planned(o) == o.instance.status
            assert not is_condition_outdated(o.instance, o.heartbeats)

    def test_true_again_with_the_next_one(self) -> None:
        o = after(running(silence=TIMEOUT), wait=5, silence=1)
        assert is_condition_outdated(o.instance, o.heartbeats)
        assert said(planned(o)) == ("True", "HeartbeatInTime")

    @pytest.mark.parametrize("desired", [DesiredState.PAUSED, DesiredState.STOPPED])
    def test_is_gone_where_none_are_expected(self, desired: DesiredState) -> None:
        o = running(silence=9)
        o = replace(o, effective=replace(o.effective, state=desired))
        assert said(planned(o)) is None
        assert said(planned(observe(instance(phase=Phase.RUNNING)))) is None


class TestLoss:
    def test_is_an_error_and_the_restart_policy_takes_over(self) -> None:
        o = running(silence=3 * TIMEOUT)
        assert is_condition_outdated(o.instance, o.heartbeats)
        decided = plan(o)
        assert phases(decided) == "Running Error"
        assert decided.transitions[0].reason == Reason.HEARTBEAT_LOST
        assert "30 s" in decided.transitions[0].message
        assert said(planned(o)) == ("False", "HeartbeatLost")
        assert decided.requeue_after == 10
        waiting = after(o, wait=5)
        assert planned(waiting) == waiting.instance.status
        restarted = after(o, wait=10)
        assert phases(plan(restarted)) == "Error Starting Running"
        status = planned(restarted)
        assert (status.restarts, status.retries, said(status)) == (1, 1, ("True", "HeartbeatInTime"))

    def test_silence_counts_anew_after_the_restart(self) -> None:
        o = after(after(running(silence=3 * TIMEOUT), wait=10), wait=TIMEOUT - 1)
        assert planned(o) == o.instance.status
        assert said(planned(after(o, wait=1))) == ("Unknown", "HeartbeatOverdue")
        assert phases(plan(after(o, wait=2 * TIMEOUT + 1))) == "Running Error"

    def test_it_gives_up_in_the_end(self) -> None:
        o = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.ON_FAILURE, max_retries=1))
        o = after(after(o, wait=10), wait=3 * TIMEOUT)
        assert phases(plan(o)) == "Running Error"
        o = after(o, wait=1000)
        assert plan(o).transitions == ()
        stalled = planned(o).condition(ConditionType.STALLED)
        assert stalled is not None
        assert stalled.reason == Reason.RESTARTS_EXHAUSTED

    def test_it_is_over_when_it_beats_again(self) -> None:
        lost = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.NEVER))
        assert plan(after(lost, wait=100)).transitions == ()
        back = after(lost, wait=100, silence=1)
        assert is_condition_outdated(back.instance, back.heartbeats)
        decided = plan(back)
        assert phases(decided) == "Error Starting Running"
        assert decided.transitions[0].reason == Reason.HEARTBEAT_IS_BACK
        assert (planned(back).restarts, said(planned(back))) == (0, ("True", "HeartbeatInTime"))

    def test_not_by_a_heartbeat_from_before(self) -> None:
        lost = running(silence=3 * TIMEOUT, restart_policy=policy(RestartMode.NEVER))
        o = replace(after(lost, wait=5), heartbeats=HeartbeatRecord(NOW - seconds(1), NOW - seconds(3600), NOW))
        assert plan(o).transitions == ()

    def test_nobody_is_lost_while_nobody_listens(self) -> None:
        o = replace(running(), now=NOW + seconds(10**6))
        for nobody in (NO_HEARTBEATS, HeartbeatRecord(NOW, NOW - seconds(3600), NOW + seconds(1))):
            assert planned(replace(o, heartbeats=nobody)) == o.instance.status

    @pytest.mark.parametrize("phase", [it for it in Phase if it is not Phase.RUNNING])
    def test_only_what_runs_is_lost(self, phase: Phase) -> None:
        o = observe(instance(phase=phase, heartbeat=Heartbeat(timeout_seconds=TIMEOUT), since=5), heartbeats=heard(900))
        assert Reason.HEARTBEAT_LOST not in {it.reason for it in plan(o).transitions}

    def test_after_another_error_heartbeats_say_nothing(self) -> None:
        o = observe(
            instance(phase=Phase.ERROR, since=5, heartbeat=Heartbeat(timeout_seconds=TIMEOUT)), heartbeats=heard(0.0)
        )
        assert plan(o).transitions == ()
        assert said(planned(o)) is None


HEARD = {
    "beats": heard(0.0),
    "overdue": heard(15.0),
    "lost": heard(500.0),
    "never beat": heard(None),
    "nobody listens": NO_HEARTBEATS,
    "nobody listened for long": HeartbeatRecord(NOW - seconds(500), NOW - seconds(5), NOW),
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("desired", DesiredState)
def test_no_second_thought(phase: Phase, desired: DesiredState) -> None:
    """Whatever is heard: what is decided is legal, and while nothing else happens it stays decided."""
    spec = {"heartbeat": Heartbeat(timeout_seconds=TIMEOUT), "desired": desired}
    for mode, restart, silent, what in product(RestartMode, (None, NOW), (True, False), HEARD):
        entry = transition_entry(Phase.RUNNING, Phase.ERROR, reason="HeartbeatLost" if silent else "BackOff")
        history = {"history": (entry,)} if phase is Phase.ERROR else {}
        subject = instance(phase=phase, restarted_at=restart, restart_policy=policy(mode), status=history, **spec)
        first = observe(subject, heartbeats=HEARD[what])
        status = planned(first)
        again = first.with_status(status)
        assert planned(again) == status, f"{mode}, {restart}, {silent}, {what}"
        assert not is_condition_outdated(again.instance, again.heartbeats)
