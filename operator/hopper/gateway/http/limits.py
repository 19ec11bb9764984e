"""What one caller may ask of the gateway: request rate, streams, and waiting."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hopper.gateway.http.errors import TooManyError

_CALLERS = 10_000
_LATER = {"Retry-After": "5"}


class Rates:
    """A token bucket a caller: `burst` requests at once, one at least, then `per_second`.

    Those longest silent are forgotten. Without a rate there is no limit.
    """

    def __init__(self, per_second: float | None, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))  # or nobody could ever send one
        self._now = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and since when

    def take(self, caller: str) -> None:
        """Count one request. Raises `TooManyError`, which says when to come back."""
        if self._per_second is None:
            return
        now = self._now()
        left, since = self._buckets.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        if left < 1:
            wait = math.ceil((1 - left) / self._per_second)
            detail = f"more than {self._per_second:g} requests a second; come back in {wait} s"
            raise TooManyError(detail, headers={"Retry-After": str(wait)})
        self._buckets[caller] = (left - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)


class Ongoing:
    """How many answers of a kind are on their way for long: to all together, and to one who is known by name.

    `what` names the kind: event streams, say.
    """

    def __init__(self, what: str, most: int, most_of_one: int) -> None:
        self._what = what
        self._most = most
        self._most_of_one = most_of_one
        self._of = Counter[str]()
        self.open = 0

    @contextmanager
    def one(self, caller: str | None = None) -> Iterator[None]:
        """Count one while it lasts. Raises `TooManyError`."""
        if self.open >= self._most:
            raise TooManyError(
                f"there are {self._most} {self._what} already; end one, or come back later", headers=_LATER
            )
        if caller is not None and self._of[caller] >= self._most_of_one:
            raise TooManyError(
                f"{caller} has {self._most_of_one} {self._what} already; end one, or come back later", headers=_LATER
            )
        self.open += 1
        if caller is not None:
            self._of[caller] += 1
        try:
            yield
        finally:
            self.open -= 1
            if caller is not None:
                self._of[caller] -= 1
                if not self._of[caller]:
                    del self._of[caller]
