"""Leader election: of several replicas, only the lease holder works; the others stand by.

The election of the client library (`kubernetes.aio.leaderelection`, 37.0) is not used, for four reasons. After a
refused connection it ends while the work goes on. A request that hangs outlives the renew deadline. It cannot release
the Lease. It writes local time as UTC.

Clocks of different machines are never compared. A candidate considers the Lease expired if it has not changed for its
duration, measured by the candidate's own clock. The lease holder counts from before its renewal request, and stops
earlier than that.
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
class LeaseTiming:
    """Durations in seconds. After a crash another replica takes over within `lease` + `retry`."""

    lease: int = 15
    renew: float = 10.0  # the lease holder stops if it could not renew for this long
    retry: float = 2.0
    request: float = 4.0  # timeout of a request, so that another one fits before the renew deadline


class LeadershipLostError(FatalError):
    """Loss of the Lease, after which this process must not write."""


class Election:
    """A candidate for the Lease in `store`."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        *,
        timing: LeaseTiming = LeaseTiming(),
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._leads_until = float("-inf")
        self._own_record: LeaseRecord | None = None  # as last written; None if the state of the Lease is unknown
        self._other_record: LeaseRecord | None = None  # of another lease holder
        self._other_record_since = 0.0  # loop time at which that record was first read
        self._last_failure = ""

    @property
    def is_leader(self) -> bool:
        """Whether this process holds the Lease and may write now."""
        return _now() < self._leads_until

    async def acquire(self) -> None:
        """Return when this process holds the Lease."""
        while not await self._try():
            other = self._other_record
            remaining = self._other_record_since + other.duration_seconds - _now() if other else 0.0
            await asyncio.sleep(remaining if 0 < remaining < self._timing.retry else self._timing.retry)
        logger.info("acquired the lease as %s", self._identity)

    async def keep(self) -> None:
        """Renew the Lease until cancelled. Raises `LeadershipLostError`."""
        while True:
            await asyncio.sleep(self._timing.retry)
            try:
                async with asyncio.timeout_at(self._leads_until):
                    while not await self._try():
                        if self._other_record:
                            self._leads_until = _now()
                            raise LeadershipLostError(f"lost the lease to {self._other_record.holder}")
                        await asyncio.sleep(self._timing.retry)
            except TimeoutError:
                cause = self._last_failure or "the process was paused"
                message = f"lost the lease: not renewed for {self._timing.renew:.0f} s ({cause})"
                raise LeadershipLostError(message) from None

    async def release(self) -> None:
        """Release the Lease, so that another replica takes over at once. Call this after the last write."""
        if not self.is_leader:
            return
        self._leads_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.request):
                record = self._own_record or await self._store.read()
                if record is not None and record.holder == self._identity:
                    await self._store.write(replace(record, holder="", duration_seconds=1, renewed=self._clock()))
                    logger.info("released the lease")
        except (ApiError, TimeoutError) as error:
            logger.warning("could not release the lease, which will expire: %s", error or "no answer")

    async def _try(self) -> bool:
        """Try once to acquire or renew the Lease, and return whether that succeeded.

        If another process holds the Lease, `_other_record` is set afterwards.
        """
        record, self._own_record = self._own_record, None
        try:
            async with asyncio.timeout(self._timing.request):
                if record is None:
                    record = await self._store.read()
                    if self._is_held_by_another(record):
                        return False
                started_at = _now()
                self._own_record = await self._store.write(self._claim(record))
        except (ConflictError, NotFoundError):
            return False  # the Lease was written or deleted since it was read
        except (ApiError, TimeoutError) as error:
            self._log_failure(str(error) or f"no answer within {self._timing.request:.0f} s")
            return False
        self._leads_until = started_at + self._timing.renew
        self._last_failure = ""
        return True

    def _is_held_by_another(self, record: LeaseRecord | None) -> bool:
        """Whether another process holds the Lease, and it has changed within its duration."""
        if record is None or record.holder in ("", self._identity):
            self._other_record = None
            return False
        before = self._other_record
        if before is None or replace(record, version="") != replace(before, version=""):
            if before is None or before.holder != record.holder:
                logger.info("standing by: %s holds the lease", record.holder)
            self._other_record, self._other_record_since = record, _now()
        if _now() - self._other_record_since < record.duration_seconds:
            return True
        self._other_record = None
        return False

    def _claim(self, record: LeaseRecord | None) -> LeaseRecord:
        """Return the record with which this process acquires or renews the Lease."""
        now = self._clock()
        if record is not None and record.holder == self._identity:
            return replace(record, duration_seconds=self._timing.lease, renewed=now)
        return LeaseRecord(
            holder=self._identity,
            duration_seconds=self._timing.lease,
            acquired=now,
            renewed=now,
            transitions=record.transitions + 1 if record else 0,
            version=record.version if record else "",
        )

    def _log_failure(self, failure: str) -> None:
        """Log a failure unless it is the same as the last one."""
        if failure != self._last_failure:
            logger.warning("cannot read or write the lease: %s", failure)
        self._last_failure = failure


def _now() -> float:
    return asyncio.get_running_loop().time()
