"""Leader election: of several replicas, the one that holds the Lease works, the others stand by.

The election that comes with the client (`kubernetes.aio.leaderelection`, 37.0) would not do: a refused connection ends
it with the work going on, a request that hangs outlives the renew deadline, it cannot release the Lease, and it writes
local time as UTC.

Clocks are never compared: a Lease has run out when it has not changed for its duration by the watch of the one who
looks at it. The holder, in turn, counts from before it asked for the renewal, and stops earlier.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from hopper.ports import ApiError, ConflictError, FatalError, LeaseRecord, LeaseStore, NotFoundError
from hopper.process.system import wall_clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. After a crash another replica takes over within `lease` + `retry`."""

    lease: int = 15
    renew: float = 10.0  # the holder gives up when it has not been able to renew for so long
    retry: float = 2.0
    request: float = 4.0  # a request that takes longer is given up, so that another fits before the deadline


class LeadershipLostError(FatalError):
    """This process does not hold the Lease any more and must not write."""


class Election:
    """One candidate for the Lease in `store`."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        *,
        timing: Timing = Timing(),
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._held_until = float("-inf")
        self._mine: LeaseRecord | None = None  # as we wrote it last, if nothing has gone wrong since
        self._others: LeaseRecord | None = None
        self._others_since = 0.0
        self._complaint = ""

    @property
    def held(self) -> bool:
        """Whether this process may write now."""
        return _now() < self._held_until

    async def acquire(self) -> None:
        """Return when this process holds the Lease."""
        while not await self._try():
            left = self._others_since + self._others.duration_seconds - _now() if self._others else 0.0
            await asyncio.sleep(left if 0 < left < self._timing.retry else self._timing.retry)
        logger.info("holding the lease as %s", self._identity)

    async def keep(self) -> None:
        """Renew until cancelled. Raises `LeadershipLostError`."""
        while True:
            await asyncio.sleep(self._timing.retry)
            try:
                async with asyncio.timeout_at(self._held_until):
                    while not await self._try():
                        if self._others:
                            self._held_until = _now()
                            raise LeadershipLostError(
                                f"lost the lease to {self._others.holder}, who alone may write now"
                            )
                        await asyncio.sleep(self._timing.retry)
            except TimeoutError:
                message = f"lost the lease: not renewed for {self._timing.renew:.0f} s ({self._complaint or 'paused'})"
                raise LeadershipLostError(message) from None

    async def release(self) -> None:
        """Let another replica take over at once; call it when nothing will be written any more."""
        if not self.held:
            return
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.request):
                known = self._mine or await self._store.read()
                if known is not None and known.holder == self._identity:
                    await self._store.write(replace(known, holder="", duration_seconds=1, renewed=self._clock()))
                    logger.info("released the lease")
        except (ApiError, TimeoutError) as error:
            logger.warning("the lease is not released, it will run out: %s", error or "no answer")

    async def _try(self) -> bool:
        """Acquire or renew once; answer whether that went well. Where others hold it, `_others` tells."""
        known, self._mine = self._mine, None
        try:
            async with asyncio.timeout(self._timing.request):
                if known is None:
                    known = await self._store.read()
                    if self._is_taken(known):
                        return False
                begun = _now()
                self._mine = await self._store.write(self._claim(known))
        except (ConflictError, NotFoundError):
            return False  # somebody was faster, or it was deleted: read again
        except (ApiError, TimeoutError) as error:
            self._complain(str(error) or f"no answer within {self._timing.request:.0f} s")
            return False
        self._held_until = begun + self._timing.renew
        self._complaint = ""
        return True

    def _is_taken(self, known: LeaseRecord | None) -> bool:
        """Tell whether somebody else holds the Lease. It runs out when it has not changed for its duration."""
        if known is None or known.holder in ("", self._identity):
            self._others = None
            return False
        if self._others is None or replace(known, version="") != replace(self._others, version=""):
            if self._others is None or self._others.holder != known.holder:
                logger.info("standing by: %s holds the lease", known.holder)
            self._others, self._others_since = known, _now()
        if _now() - self._others_since < known.duration_seconds:
            return True
        self._others = None
        return False

    def _claim(self, known: LeaseRecord | None) -> LeaseRecord:
        now = self._clock()
        if known is not None and known.holder == self._identity:
            return replace(known, duration_seconds=self._timing.lease, renewed=now)
        return LeaseRecord(
            holder=self._identity,
            duration_seconds=self._timing.lease,
            acquired=now,
            renewed=now,
            transitions=known.transitions + 1 if known else 0,
            version=known.version if known else "",
        )

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.warning("cannot get at the lease: %s", complaint)
        self._complaint = complaint


def _now() -> float:
    return asyncio.get_running_loop().time()
