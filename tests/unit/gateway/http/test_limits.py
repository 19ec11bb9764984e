"""Limits of what one caller may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.gateway.http.bodies import depth_of
from hopper.gateway.http.errors import TooManyError
from hopper.gateway.http.limits import Ongoing, Rates


class TestRates:
    @given(
        steps=st.lists(st.floats(0, 3), min_size=1, max_size=200),
        rate=st.floats(0.5, 20),
        burst=st.integers(1, 20),
    )
    def test_never_more_than_the_burst_and_the_rate(self, steps: list[float], rate: float, burst: int) -> None:
        now, taken = [0.0], 0
        rates = Rates(rate, burst, clock=lambda: now[0])
        for step in steps:
            now[0] += step
            try:
                rates.take("alice")
                taken += 1
            except TooManyError as error:
                now[0] += int((error.headers or {})["Retry-After"])
                rates.take("alice")  # it said when
                taken += 1
        assert taken <= burst + now[0] * rate + 1e-6

    def test_callers_do_not_share(self) -> None:
        rates = Rates(1.0, 1, clock=lambda: 0.0)
        rates.take("alice")
        rates.take("bob")
        with pytest.raises(TooManyError):
            rates.take("alice")

    def test_is_bounded(self) -> None:
        rates = Rates(1.0, 1, clock=lambda: 0.0)
        for number in range(20_000):
            rates.take(str(number))
        assert len(rates._buckets) == 10_000

    def test_less_than_one_a_second(self) -> None:
        """Twice that at once would be none at all."""
        now = [0.0]
        rates = Rates(0.25, int(2 * 0.25), clock=lambda: now[0])
        for _ in range(3):
            rates.take("alice")
            with pytest.raises(TooManyError):
                rates.take("alice")
            now[0] += 4

    def test_no_limit(self) -> None:
        rates = Rates(None, 0)
        for _ in range(1000):
            rates.take("alice")


def test_streams_are_counted() -> None:
    streams = Ongoing("streams", 2, 1)
    with streams.one(), streams.one():
        assert streams.open == 2
        with pytest.raises(TooManyError), streams.one():
            pass
    assert streams.open == 0


def test_one_caller_leaves_streams_for_others() -> None:
    streams = Ongoing("streams", 3, 2)
    with streams.one("alice"), streams.one("alice"):
        with pytest.raises(TooManyError, match="alice has 2 streams already"), streams.one("alice"):
            pass
        with streams.one("bob"):
            assert streams.open == 3
    assert streams.open == 0
    with streams.one(), streams.one(), streams.one():
        assert streams.open == 3


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 1), ([], 1), ({}, 1), ([1], 2), ({"a": [1]}, 3), ([[[]]], 3), ([1, [2, {"a": 3}]], 4)]
)
def test_depth(value: object, depth: int) -> None:
    assert depth_of(value, 32) == depth
    assert depth_of(value, 2) == min(depth, 3)
