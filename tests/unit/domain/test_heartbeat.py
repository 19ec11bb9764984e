"""Whether an instance beats: silence counts only while somebody listened, and says nothing where none is expected."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import Phase
from hopper.api.instance import Heartbeat, HopperInstance
from hopper.domain.heartbeat import LOST_AFTER, NOTHING, Heard, Pulse, pulse_of
from tests.unit.domain.builders import NOW, instance, seconds

TIMEOUT = 10


def running(*, since: float = 1000, phase: Phase = Phase.RUNNING) -> HopperInstance:
    return instance(phase=phase, since=since, heartbeat=Heartbeat(timeout_seconds=TIMEOUT))


def heard(last: float | None, *, since: float = -2000, until: float = 0) -> Heard:
    return Heard(None if last is None else NOW + seconds(last), NOW + seconds(since), NOW + seconds(until))


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(0, "Beats"), (9.9, "Beats"), (10, "Overdue"), (29.9, "Overdue"), (30, "Lost"), (900, "Lost"), (-1, "Beats")],
)
def test_silence(silence: float, expected: str) -> None:
    assert pulse_of(running(), heard(-silence)) == expected


class TestSilenceCounts:
    """Not for longer than it was listened to, than the instance has been running, and than gateways have told."""

    @pytest.mark.parametrize(("since", "expected"), [(5, "NoNews"), (10, "Overdue"), (30, "Lost")])
    def test_from_when_the_gateways_began_to_listen(self, since: float, expected: str) -> None:
        assert pulse_of(running(), heard(-900, since=-since)) == expected
        assert pulse_of(running(), heard(None, since=-since)) == expected

    @pytest.mark.parametrize(("since", "expected"), [(5, "NoNews"), (10, "Overdue"), (30, "Lost")])
    def test_from_when_the_instance_began_to_run(self, since: float, expected: str) -> None:
        """Also after a pause, in which nobody has to beat."""
        assert pulse_of(running(since=since), heard(-900)) == expected
        assert pulse_of(running(since=since), heard(None)) == expected

    def test_up_to_what_the_gateways_have_told(self) -> None:
        assert pulse_of(running(), heard(-900, until=-895)) is Pulse.BEATS

    def test_not_at_all_while_nobody_listens(self) -> None:
        assert pulse_of(running(), NOTHING) is Pulse.NO_NEWS

    @given(last=st.one_of(st.none(), st.floats(-500, 500)), outage=st.floats(0, 10_000), heard_for=st.floats(0, 29.9))
    def test_no_outage_of_the_gateways_makes_a_loss(self, last: float | None, outage: float, heard_for: float) -> None:
        back = (last or 0.0) + outage
        said = pulse_of(running(since=2000), heard(last, since=back, until=back + heard_for))
        assert said is not Pulse.LOST


class TestExpectation:
    @pytest.mark.parametrize("phase", [it for it in Phase if it not in (Phase.RUNNING, Phase.ERROR)])
    def test_only_of_those_that_run(self, phase: Phase) -> None:
        assert pulse_of(running(phase=phase), heard(None)) is None

    def test_only_where_the_spec_asks(self) -> None:
        plain = running()
        assert pulse_of(replace(plain, spec=replace(plain.spec, heartbeat=None)), heard(None)) is None

    @pytest.mark.parametrize(("last", "expected"), [(None, "NoNews"), (-70, "NoNews"), (-5, "Beats"), (-20, "NoNews")])
    def test_in_error_a_heartbeat_says_that_it_lives(self, last: float | None, expected: str) -> None:
        assert pulse_of(running(phase=Phase.ERROR, since=60), heard(last)) == expected

    def test_in_error_one_from_before_says_nothing(self) -> None:
        assert pulse_of(running(phase=Phase.ERROR, since=2), heard(-5)) is Pulse.NO_NEWS


@given(silence=st.floats(0, 100))
def test_the_longer_the_worse(silence: float) -> None:
    said = pulse_of(running(), heard(-silence))
    assert (said is Pulse.LOST) == (silence >= LOST_AFTER * TIMEOUT)
    assert (said is Pulse.BEATS) == (silence < TIMEOUT)
