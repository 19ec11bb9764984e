"""Resync: compares the feeds with the API server at intervals, in case the watch has missed changes."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from hopper.ports import ApiError, Lister
from hopper.watch.feed import Feed

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_STALLED_SECONDS = 30.0
# Number of resync intervals without a successful resync after which the process is unhealthy.
_OVERDUE_INTERVALS = 2.5


class Resync:
    """Resync of all feeds about every `seconds`. `on_done` is called after each resync."""

    def __init__(
        self, feeds: Sequence[Feed], lister: Lister, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> None:
        self._feeds = feeds
        self._lister = lister
        self._seconds = seconds
        self._on_done = on_done
        self._done_at: float | None = None
        self._unreachable_at = 0.0

    async def wait_for_first_lists(self) -> None:
        """Wait until all feeds are complete. From then on, `problems` expects regular resyncs."""
        await self.until_current()
        self._done_at = _now()

    async def until_current(self) -> None:
        """Wait while a feed lists its kind again, because its index may be outdated.

        A decision in the meantime could write the uid of a deleted parent into ownerReferences, and then garbage
        collection would delete the children.
        """
        for feed in self._feeds:
            if not feed.current.is_set():
                await feed.current.wait()

    async def run(self) -> None:
        """Resync at intervals until cancelled."""
        wait = self._interval()
        while True:
            await asyncio.sleep(wait)
            try:
                await self.run_once()
                wait = self._interval()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                wait = _RETRY_SECONDS
                if not error.code:  # the API server is down, and a restarted process could not even list
                    self._unreachable_at = _now()

    async def run_once(self) -> None:
        """Compare all feeds with the API server. Raises `ApiError`."""
        for feed in self._feeds:
            await feed.resync(self._lister)
        self._on_done()
        self._done_at = _now()

    def problems(self) -> list[str]:
        """Return why the indexes cannot be trusted; empty if they can."""
        problems = []
        now, last_attempt = _now(), max(self._done_at or 0.0, self._unreachable_at)
        if self._done_at is not None and (seconds := now - last_attempt) > _OVERDUE_INTERVALS * self._seconds:
            problems.append(f"no successful resync for {seconds:.0f} s")
        for feed in self._feeds:
            if feed.stalled_seconds > _STALLED_SECONDS:
                plural, seconds = feed.resource.plural, feed.stalled_seconds
                problems.append(f"the watch of {plural} has missed changes and sent no event for {seconds:.0f} s")
        return problems

    def _interval(self) -> float:
        return self._seconds * random.uniform(0.9, 1.1)  # noqa: S311


def _now() -> float:
    return asyncio.get_running_loop().time()
