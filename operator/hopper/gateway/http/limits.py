"""Limits for callers: request rate, unknown credentials, streams, waiting requests, and memory of request bodies."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hopper.gateway.http.errors import TooManyRequestsError, unavailable

MAX_TRACKED_CALLERS = 10_000
_RETRY_LATER = {"Retry-After": "5"}
# Checks of unknown credentials in total, as a multiple of those of one client address.
_TOTAL_FACTOR = 5


class RateLimiter:
    """A token bucket for each caller: `burst` requests at once (at least one), then `per_second`.

    A rate of None means no limit. Beyond `MAX_TRACKED_CALLERS`, the caller without a request for the longest time is
    forgotten.
    """

    def __init__(self, per_second: float | None, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))  # a bucket of less than one token would never let a request through
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller → tokens, time of the last one

    def acquire(self, caller: str) -> None:
        """Count one request. Raises `TooManyRequestsError` with a Retry-After header."""
        if self._per_second is None:
            return
        now = self._clock()
        tokens, updated = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - updated) * self._per_second)
        if tokens < 1:
            wait = math.ceil((1 - tokens) / self._per_second)
            detail = f"more than {self._per_second:g} requests per second; try again in {wait} s"
            raise TooManyRequestsError(detail, headers={"Retry-After": str(wait)})
        self._buckets[caller] = (tokens - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MAX_TRACKED_CALLERS:
            self._buckets.popitem(last=False)

    def refund(self, caller: str) -> None:
        """Take back the count of one request."""
        if bucket := self._buckets.get(caller):
            self._buckets[caller] = (min(self._burst, bucket[0] + 1), bucket[1])

    def __len__(self) -> int:
        """Return the number of callers with a bucket."""
        return len(self._buckets)


class UnknownCredentialLimit:
    """Limit for checks of credentials that the gateway does not know, for each client address and in total.

    It applies before the check, because a check costs the API server a request. A successful check does not count.
    """

    def __init__(self, per_second: float = 10.0, burst: int = 50, clock: Callable[[], float] = time.monotonic) -> None:
        self._by_address = RateLimiter(per_second, burst, clock)
        self._in_total = RateLimiter(_TOTAL_FACTOR * per_second, _TOTAL_FACTOR * burst, clock)

    @contextmanager
    def acquire(self, address: str) -> Iterator[Callable[[], None]]:
        """Count one check. The caller calls the yielded function if the credentials are valid.

        Raises `TooManyRequestsError`. An error inside the context, such as an outage of the API server, does not count.
        """
        try:
            self._by_address.acquire(address)
            try:
                self._in_total.acquire("")
            except TooManyRequestsError:
                self._by_address.refund(address)
                raise
        except TooManyRequestsError as error:
            detail = "too many requests with unknown credentials; try again later"
            raise TooManyRequestsError(detail, headers=error.headers) from None

        def refund() -> None:
            self._by_address.refund(address)
            self._in_total.refund("")

        try:
            yield refund
        except Exception:
            refund()
            raise


class ConcurrencyLimit:
    """Limit for long responses of one kind, such as "event streams": in total, and for each known caller."""

    def __init__(self, kind: str, limit: int, limit_per_caller: int) -> None:
        self._kind = kind
        self._limit = limit
        self._limit_per_caller = limit_per_caller
        self._open_by_caller = Counter[str]()
        self.open = 0

    @contextmanager
    def acquire(self, caller: str | None = None) -> Iterator[None]:
        """Count one response while the context is open. Raises `TooManyRequestsError`."""
        if self.open >= self._limit:
            raise self._limit_reached("the gateway", self._limit)
        if caller is not None and self._open_by_caller[caller] >= self._limit_per_caller:
            raise self._limit_reached(caller, self._limit_per_caller)
        self.open += 1
        if caller is not None:
            self._open_by_caller[caller] += 1
        try:
            yield
        finally:
            self.open -= 1
            if caller is not None:
                self._open_by_caller[caller] -= 1
                if not self._open_by_caller[caller]:
                    del self._open_by_caller[caller]

    def _limit_reached(self, owner: str, limit: int) -> TooManyRequestsError:
        detail = f"{owner} already has {limit} {self._kind}; end one, or try again later"
        return TooManyRequestsError(detail, headers=_RETRY_LATER)


class PendingBodies:
    """Memory of all request bodies that are not complete yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0

    def __len__(self) -> int:
        """Return the number of bytes in memory."""
        return self._bytes

    def reserve(self, size: int) -> None:
        """Count bytes of a body. Raises `ServiceUnavailableError` at the limit."""
        if self._bytes + size > self._limit:
            raise unavailable("the gateway is receiving too many large bodies; try again later")
        self._bytes += size

    def release(self, size: int) -> None:
        self._bytes -= size
