"""Whether an instance beats: silence counts only while somebody listened, and says nothing where none is expected."""

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


def heard(last: float | None, *, since: float = -2000, until: float = 0) -> HeartbeatRecord:
    return HeartbeatRecord(None if last is None else NOW + seconds(last), NOW + seconds(since), NOW + seconds(until))


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(0, "OnTime"), (9.9, "OnTime"), (10, "Overdue"), (29.9, "Overdue"), (30, "Lost"), (900, "Lost"), (-1, "OnTime")],
)
def test_silence(silence: float, expected: str) -> None:
    assert heartbeat_state(running(), heard(-silence)) == expected


class TestSilenceCounts:
    """Not for longer than it was listened to, than the instance has been running, and than gateways have told."""

    @pytest.mark.parametrize(("since", "expected"), [(5, "Inconclusive"), (10, "Overdue"), (30, "Lost")])
    def test_from_when_the_gateways_began_to_listen(self, since: float, expected: str) -> None:
        assert heartbeat_state(running(), heard(-900, since=-since)) == expected
        assert heartbeat_state(running(), heard(None, since=-since)) == expected

    @pytest.mark.parametrize(("since", "expected"), [(5, "Inconclusive"), (10, "Overdue"), (30, "Lost")])
    def test_from_when_the_instance_began_to_run(self, since: float, expected: str) -> None:
        """Also after a pause, in which nobody has to beat."""
        assert heartbeat_state(running(since=since), heard(-900)) == expected
        assert heartbeat_state(running(since=since), heard(None)) == expected

    def test_up_to_what_the_gateways_have_told(self) -> None:
        assert heartbeat_state(running(), heard(-900, until=-895)) is HeartbeatState.ON_TIME

    def test_not_at_all_while_nobody_listens(self) -> None:
        assert heartbeat_state(running(), NO_HEARTBEATS) is HeartbeatState.INCONCLUSIVE

    @given(last=st.one_of(st.none(), st.floats(-500, 500)), outage=st.floats(0, 10_000), heard_for=st.floats(0, 29.9))
    def test_no_outage_of_the_gateways_makes_a_loss(self, last: float | None, outage: float, heard_for: float) -> None:
        back = (last or 0.0) + outage
        said = heartbeat_state(running(since=2000), heard(last, since=back, until=back + heard_for))
        assert said is not HeartbeatState.LOST


class TestExpectation:
    @pytest.mark.parametrize("phase", [it for it in Phase if it not in (Phase.RUNNING, Phase.ERROR)])
    def test_only_of_those_that_run(self, phase: Phase) -> None:
        assert heartbeat_state(running(phase=phase), heard(None)) is None

    def test_only_where_the_spec_asks(self) -> None:
        plain = running()
        assert heartbeat_state(replace(plain, spec=replace(plain.spec, heartbeat=None)), heard(None)) is None

    @pytest.mark.parametrize(
        ("last", "expected"), [(None, "Inconclusive"), (-70, "Inconclusive"), (-5, "OnTime"), (-20, "Inconclusive")]
    )
    def test_in_error_a_heartbeat_says_that_it_lives(self, last: float | None, expected: str) -> None:
        assert heartbeat_state(running(phase=Phase.ERROR, since=60), heard(last)) == expected

    def test_in_error_one_from_before_says_nothing(self) -> None:
        assert heartbeat_state(running(phase=Phase.ERROR, since=2), heard(-5)) is HeartbeatState.INCONCLUSIVE


@given(silence=st.floats(0, 100))
def test_the_longer_the_worse(silence: float) -> None:
    said = heartbeat_state(running(), heard(-silence))
    assert (said is HeartbeatState.LOST) == (silence >= LOST_AFTER * TIMEOUT)
    assert (said is HeartbeatState.ON_TIME) == (silence < TIMEOUT)
