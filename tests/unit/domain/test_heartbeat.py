"""Judgement of heartbeats: silence counts only while gateways could receive them and the instance had to send them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import Phase
from hopper.api.instance import Heartbeat, HopperInstance
from hopper.domain.heartbeat import LOST_AFTER, NO_HEARTBEATS, HeartbeatRecord, HeartbeatState, heartbeat_state
from tests.unit.domain.sample_instances import NOW, instance, seconds

TIMEOUT = 10


def running(*, since: float = 1000, phase: Phase = Phase.RUNNING) -> HopperInstance:
    return instance(phase=phase, since=since, heartbeat=Heartbeat(timeout_seconds=TIMEOUT))


def record(last: float | None, *, since: float = -2000, until: float = 0) -> HeartbeatRecord:
    return HeartbeatRecord(None if last is None else NOW + seconds(last), NOW + seconds(since), NOW + seconds(until))


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(0, "OnTime"), (9.9, "OnTime"), (10, "Overdue"), (29.9, "Overdue"), (30, "Lost"), (900, "Lost"), (-1, "OnTime")],
)
def test_the_state_follows_from_the_time_since_the_last_heartbeat(silence: float, expected: str) -> None:
    assert heartbeat_state(running(), record(-silence)) == expected


class TestSilenceCounts:
    """Silence counts only within the recorded period and the current run of the instance."""

    @pytest.mark.parametrize(("since", "expected"), [(5, "Inconclusive"), (10, "Overdue"), (30, "Lost")])
    def test_only_from_the_start_of_the_recorded_period(self, since: float, expected: str) -> None:
        assert heartbeat_state(running(), record(-900, since=-since)) == expected
        assert heartbeat_state(running(), record(None, since=-since)) == expected

    @pytest.mark.parametrize(("since", "expected"), [(5, "Inconclusive"), (10, "Overdue"), (30, "Lost")])
    def test_only_from_the_start_of_the_instance(self, since: float, expected: str) -> None:
        """A run begins after a pause too, because a paused instance need not send heartbeats."""
        assert heartbeat_state(running(since=since), record(-900)) == expected
        assert heartbeat_state(running(since=since), record(None)) == expected

    def test_only_until_the_end_of_the_recorded_period(self) -> None:
        assert heartbeat_state(running(), record(-900, until=-895)) is HeartbeatState.ON_TIME

    def test_not_at_all_without_a_record(self) -> None:
        assert heartbeat_state(running(), NO_HEARTBEATS) is HeartbeatState.INCONCLUSIVE

    @given(
        last=st.one_of(st.none(), st.floats(-500, 500)), outage=st.floats(0, 10_000), recorded_for=st.floats(0, 29.9)
    )
    def test_not_during_an_outage_of_the_gateways(self, last: float | None, outage: float, recorded_for: float) -> None:
        back = (last or 0.0) + outage
        state = heartbeat_state(running(since=2000), record(last, since=back, until=back + recorded_for))
        assert state is not HeartbeatState.LOST


class TestWhoIsJudged:
    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.RUNNING, Phase.ERROR)])
    def test_only_running_and_failed_instances_are_judged(self, phase: Phase) -> None:
        assert heartbeat_state(running(phase=phase), record(None)) is None

    def test_only_instances_with_spec_heartbeat_are_judged(self) -> None:
        plain = running()
        assert heartbeat_state(replace(plain, spec=replace(plain.spec, heartbeat=None)), record(None)) is None

    @pytest.mark.parametrize(
        ("last", "expected"), [(None, "Inconclusive"), (-70, "Inconclusive"), (-5, "OnTime"), (-20, "Inconclusive")]
    )
    def test_in_error_only_a_recent_heartbeat_counts(self, last: float | None, expected: str) -> None:
        assert heartbeat_state(running(phase=Phase.ERROR, since=60), record(last)) == expected

    def test_in_error_a_heartbeat_from_before_the_failure_does_not_count(self) -> None:
        assert heartbeat_state(running(phase=Phase.ERROR, since=2), record(-5)) is HeartbeatState.INCONCLUSIVE


@given(silence=st.floats(0, 100))
def test_longer_silence_never_improves_the_state(silence: float) -> None:
    state = heartbeat_state(running(), record(-silence))
    assert (state is HeartbeatState.LOST) == (silence >= LOST_AFTER * TIMEOUT)
    assert (state is HeartbeatState.ON_TIME) == (silence < TIMEOUT)
