"""Limits for each caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.gateway.http.bodies import depth_of
from hopper.gateway.http.errors import TooManyRequestsError
from hopper.gateway.http.limits import ConcurrencyLimit, RateLimiter


class TestRateLimiter:
    @given(
        steps=st.lists(st.floats(0, 3), min_size=1, max_size=200),
        rate=st.floats(0.5, 20),
        burst=st.integers(1, 20),
    )
    def test_burst_and_rate_are_never_exceeded(self, steps: list[float], rate: float, burst: int) -> None:
        now, taken = [0.0], 0
        limiter = RateLimiter(rate, burst, clock=lambda: now[0])
        for step in steps:
            now[0] += step
            try:
                limiter.acquire("alice")
                taken += 1
            except TooManyRequestsError as error:
                now[0] += int((error.headers or {})["Retry-After"])
                limiter.acquire("alice")  # after Retry-After seconds
                taken += 1
        assert taken <= burst + now[0] * rate + 1e-6

    def test_callers_have_separate_limits(self) -> None:
        limiter = RateLimiter(1.0, 1, clock=lambda: 0.0)
        limiter.acquire("alice")
        limiter.acquire("bob")
        with pytest.raises(TooManyRequestsError):
            limiter.acquire("alice")

    def test_the_number_of_buckets_is_bounded(self) -> None:
        limiter = RateLimiter(1.0, 1, clock=lambda: 0.0)
        for number in range(20_000):
            limiter.acquire(str(number))
        assert len(limiter) == 10_000

    def test_a_rate_below_one_per_second(self) -> None:
        """The burst, twice the rate, would be zero requests."""
        now = [0.0]
        limiter = RateLimiter(0.25, int(2 * 0.25), clock=lambda: now[0])
        for _ in range(3):
            limiter.acquire("alice")
            with pytest.raises(TooManyRequestsError):
                limiter.acquire("alice")
            now[0] += 4

    def test_no_rate_means_no_limit(self) -> None:
        limiter = RateLimiter(None, 0)
        for _ in range(1000):
            limiter.acquire("alice")


def test_the_total_of_streams_is_limited() -> None:
    streams = ConcurrencyLimit("streams", 2, 1)
    with streams.acquire(), streams.acquire():
        assert streams.open == 2
        with pytest.raises(TooManyRequestsError), streams.acquire():
            pass
    assert streams.open == 0


def test_the_streams_of_one_caller_are_limited() -> None:
    streams = ConcurrencyLimit("streams", 3, 2)
    with streams.acquire("alice"), streams.acquire("alice"):
        with pytest.raises(TooManyRequestsError, match="alice already has 2 streams"), streams.acquire("alice"):
            pass
        with streams.acquire("bob"):
            assert streams.open == 3
    assert streams.open == 0
    with streams.acquire(), streams.acquire(), streams.acquire():
        assert streams.open == 3


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 1), ([], 1), ({}, 1), ([1], 2), ({"a": [1]}, 3), ([[[]]], 3), ([1, [2, {"a": 3}]], 4)]
)
def test_depth_of_json_values(value: object, depth: int) -> None:
    assert depth_of(value, 32) == depth
    assert depth_of(value, 2) == min(depth, 3)
