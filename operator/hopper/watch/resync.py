"""Resync: the feeds, compared with the API server now and then, for what the watch may have missed."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from hopper.ports import ApiError, Lister
from hopper.watch.feed import Feed

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_DEAF_SECONDS = 30.0
# So many times the usual pause without a resync are too long.
_STALE_AFTER = 2.5


class Resync:
    """Mends what the watch has missed, about every `seconds`, and tells when it is not to be relied upon.

    `then` is called after each time.
    """

    def __init__(
        self, feeds: Sequence[Feed], lister: Lister, *, seconds: float, then: Callable[[], None] = lambda: None
    ) -> None:
        self._feeds = feeds
        self._lister = lister
        self._seconds = seconds
        self._then = then
        self._done_at: float | None = None
        self._unanswered_at = 0.0

    async def begin(self) -> None:
        """Wait until all that exists is known: from then on it is to be compared."""
        await self.until_current()
        self._done_at = _now()

    async def until_current(self) -> None:
        """Wait while a feed starts over: what is decided meanwhile would be decided on old news.

        The uid of a parent that is gone would be written into ownerReferences, upon which garbage collection deletes
        the children.
        """
        for feed in self._feeds:
            if not feed.current.is_set():
                await feed.current.wait()

    async def run(self) -> None:
        """Compare slowly until cancelled."""
        wait = self._pause()
        while True:
            await asyncio.sleep(wait)
            try:
                await self.once()
                wait = self._pause()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                wait = _RETRY_SECONDS
                if not error.code:  # nobody is there: a process that starts anew would know nothing at all
                    self._unanswered_at = _now()

    async def once(self) -> None:
        """Compare what is known with the API server. Raises `ApiError`."""
        for feed in self._feeds:
            await feed.resync(self._lister)
        self._then()
        self._done_at = _now()

    def problems(self) -> list[str]:
        """Say what is wrong with the flow of events; empty when all is well."""
        found = []
        now, tried_at = _now(), max(self._done_at or 0.0, self._unanswered_at)
        if self._done_at is not None and (since := now - tried_at) > _STALE_AFTER * self._seconds:
            found.append(f"no resync for {since:.0f} s")
        for feed in self._feeds:
            if feed.deaf_seconds > _DEAF_SECONDS:
                what = f"the watch of {feed.resource.plural} has been silent for {feed.deaf_seconds:.0f} s"
                found.append(f"{what} although something changed")
        return found

    def _pause(self) -> float:
        return self._seconds * random.uniform(0.9, 1.1)  # noqa: S311


def _now() -> float:
    return asyncio.get_running_loop().time()
