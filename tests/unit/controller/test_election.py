"""Leader election of replicas, on virtual time and with a Lease in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from hopper.controller.election import Election, LeadershipLostError, LeaseTiming
from hopper.ports import ConflictError, LeaseRecord, NotFoundError, UnavailableError

pytestmark = pytest.mark.looptime

TIMING = LeaseTiming()


class Lease:
    """A Lease in memory, with the calls of all replicas."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.calls: list[str] = []
        self.holders: list[str] = []
        self._version = 0

    def seen_by(self, name: str) -> Access:
        return Access(self, name)

    def put(self, record: LeaseRecord) -> LeaseRecord:
        current = self.record.version if self.record else ""
        if record.version != current:
            raise ConflictError("409") if current else NotFoundError("404")
        self._version += 1
        self.record = replace(record, version=str(self._version))
        self.holders.append(record.holder)
        return self.record


class Access:
    """A `LeaseStore` of one candidate. `before` and `after` run around each call; they may wait or raise."""

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease = lease
        self._name = name
        self.before: Callable[[], Awaitable[None]] = _nothing
        self.after: Callable[[], Awaitable[None]] = _nothing

    async def read(self) -> LeaseRecord | None:
        self._lease.calls.append(f"{self._name} reads")
        await self.before()
        record = self._lease.record
        await self.after()
        return record

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        self._lease.calls.append(f"{self._name} writes")
        await self.before()
        written = self._lease.put(record)
        await self.after()
        return written


async def _nothing() -> None:
    await asyncio.sleep(0)


async def _refuse() -> None:
    raise UnavailableError("connection refused")


async def _hang() -> None:
    await asyncio.sleep(3600)


class Replica:
    """A candidate that records when it acquired and lost the Lease."""

    def __init__(self, lease: Lease, name: str) -> None:
        self.access = lease.seen_by(name)
        self.election = Election(self.access, name)
        self.acquired_at: float | None = None
        self.lost: LeadershipLostError | None = None
        self.lost_at: float | None = None

    async def run(self) -> None:
        await self.election.acquire()
        self.acquired_at = _time()
        try:
            await self.election.keep()
        except LeadershipLostError as error:
            self.lost, self.lost_at = error, _time()


def _time() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = []
    for replica in replicas:
        tasks.append(asyncio.create_task(replica.run()))
        await asyncio.sleep(0.1)  # so that the first replica acquires the Lease
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_single_candidate_acquires_the_lease_at_once_and_keeps_it() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(100)
        assert a.election.is_leader
        assert a.acquired_at == 0
        assert lease.record is not None
        assert (lease.record.holder, lease.record.transitions) == ("a", 0)
    # One write per period, and no reads in between.
    assert lease.calls == ["a reads"] + ["a writes"] * 51


async def test_only_one_of_two_candidates_leads() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        for _ in range(1000):
            await asyncio.sleep(0.1)
            assert a.election.is_leader
            assert not b.election.is_leader


async def test_after_a_crash_the_other_takes_over_when_the_lease_has_expired() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        await asyncio.sleep(60)
        tasks[0].cancel()
        crashed = _time()
        await asyncio.sleep(TIMING.lease + TIMING.retry)
        assert b.election.is_leader
        assert b.acquired_at is not None
        assert TIMING.lease - TIMING.retry <= b.acquired_at - crashed <= TIMING.lease + TIMING.retry
        assert lease.record is not None
        assert lease.record.transitions == 1


async def test_a_released_lease_is_acquired_within_one_period() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        await asyncio.sleep(60)
        tasks[0].cancel()
        await a.election.release()
        assert not a.election.is_leader
        await asyncio.sleep(TIMING.retry + 0.1)
        assert b.election.is_leader
    changes = [holder for holder, following in pairwise([*lease.holders, "end"]) if holder != following]
    assert changes == ["a", "", "b"]


async def test_a_candidate_without_the_lease_releases_nothing() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await b.election.release()
        assert lease.record is not None
        assert lease.record.holder == "a"


async def test_a_failed_release_ends_the_leadership_without_an_error() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a) as tasks:
        tasks[0].cancel()
        a.access.before = _refuse
        await a.election.release()
        assert not a.election.is_leader


async def test_a_lease_is_released_even_if_shutdown_cancels_a_renewal() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a) as tasks:
        a.access.after = _hang
        await asyncio.sleep(TIMING.retry + 1)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        a.access.after = _nothing
        await a.election.release()
        assert lease.record is not None
        assert lease.record.holder == ""


@pytest.mark.parametrize("failure", [_refuse, _hang])
async def test_a_leader_that_cannot_renew_stops_before_another_leads(
    failure: Callable[[], Awaitable[None]],
) -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await asyncio.sleep(60)
        a.access.before = failure
        while not b.election.is_leader:
            await asyncio.sleep(0.01)
            assert not (a.election.is_leader and b.election.is_leader)
        assert "not renewed for 10 s" in str(a.lost)
        assert a.lost_at is not None
        assert b.acquired_at is not None
        assert b.acquired_at - a.lost_at >= TIMING.lease - TIMING.renew - TIMING.retry


async def test_a_renewal_without_an_answer_does_not_prolong_the_leadership() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await asyncio.sleep(60)
        a.access.after = _refuse
        await asyncio.sleep(TIMING.renew + 2 * TIMING.retry)
        assert a.lost is not None
        assert not b.election.is_leader


@pytest.mark.parametrize("failure", [_refuse, _hang])
async def test_a_leader_survives_a_short_outage(failure: Callable[[], Awaitable[None]]) -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        a.access.after = failure
        await asyncio.sleep(TIMING.renew - TIMING.request)
        a.access.after = _nothing
        await asyncio.sleep(60)
        assert a.lost is None
        assert a.election.is_leader


async def test_candidates_retry_slowly_while_the_api_server_is_down() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    a.access.before = _refuse
    async with running(a):
        await asyncio.sleep(600)
        assert len(lease.calls) <= 600 / TIMING.retry + 1
        a.access.before = _nothing
        await asyncio.sleep(TIMING.retry)
        assert a.election.is_leader


async def test_an_expired_lease_that_cannot_be_written_is_retried_slowly() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        tasks[0].cancel()
        await asyncio.sleep(TIMING.lease / 2)
        b.access.before = _refuse
        lease.calls.clear()
        await asyncio.sleep(600)
        assert len(lease.calls) <= 600 / TIMING.retry + 1


async def test_a_deleted_lease_is_created_again() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        lease.record = None
        await asyncio.sleep(3 * TIMING.retry)
        assert a.election.is_leader
        assert lease.record is not None


async def test_a_leader_that_finds_another_lease_holder_stops_at_once() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        now = datetime.now(UTC)
        lease.record = LeaseRecord("thief", TIMING.lease, now, now, 1, version="stolen")
        await asyncio.sleep(3 * TIMING.retry)
        assert "lost the lease to thief" in str(a.lost)
        assert not a.election.is_leader
        await a.election.release()
        assert lease.record.holder == "thief"


async def test_a_paused_process_loses_the_lease_before_it_writes() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a) as tasks:
        await asyncio.sleep(1)
        # A stopped process runs no event loop, but its clock continues.
        a.access.before = _hang
        await asyncio.sleep(TIMING.renew)
        assert not a.election.is_leader
        await asyncio.sleep(TIMING.retry)
        assert tasks[0].done()


async def test_an_unrelated_write_to_the_lease_does_not_prolong_it() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        tasks[0].cancel()
        for _ in range(TIMING.lease + 2):  # such as a change of its labels
            await asyncio.sleep(1)
            if not b.election.is_leader:
                assert lease.record is not None
                lease.put(lease.record)
        await asyncio.sleep(TIMING.retry)
        assert b.election.is_leader
