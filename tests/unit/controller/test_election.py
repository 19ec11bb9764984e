"""Leader election, on virtual time and a Lease in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from hopper.controller.election import Election, LeadershipLostError, Timing
from hopper.ports import ConflictError, LeaseRecord, NotFoundError, UnavailableError

pytestmark = pytest.mark.looptime

TIMING = Timing()


class Lease:
    """One Lease in memory. `before` and `after` run around each call and may wait or raise, like a bad network."""

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
    """One candidate's way to the Lease."""

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease = lease
        self._name = name
        self.before: Callable[[], Awaitable[None]] = _nothing
        self.after: Callable[[], Awaitable[None]] = _nothing

    async def read(self) -> LeaseRecord | None:
        self._lease.calls.append(f"{self._name} reads")
        await self.before()
        found = self._lease.record
        await self.after()
        return found

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
    """A candidate that acquires, keeps, and notes when it held the Lease."""

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
        await asyncio.sleep(0.1)  # the first one gets it
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_candidate_alone_gets_the_lease_at_once_and_keeps_it() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(100)
        assert a.election.held
        assert a.acquired_at == 0
        assert lease.record is not None
        assert (lease.record.holder, lease.record.transitions) == ("a", 0)
    # One write a period, and no reading in between.
    assert lease.calls == ["a reads"] + ["a writes"] * 51


async def test_only_one_of_two_holds_it() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        for _ in range(1000):
            await asyncio.sleep(0.1)
            assert a.election.held
            assert not b.election.held


async def test_after_a_crash_the_other_takes_over_when_the_lease_has_run_out() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        await asyncio.sleep(60)
        tasks[0].cancel()
        crashed = _time()
        await asyncio.sleep(TIMING.lease + TIMING.retry)
        assert b.election.held
        assert b.acquired_at is not None
        assert TIMING.lease - TIMING.retry <= b.acquired_at - crashed <= TIMING.lease + TIMING.retry
        assert lease.record is not None
        assert lease.record.transitions == 1


async def test_a_released_lease_is_taken_within_one_period() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        await asyncio.sleep(60)
        tasks[0].cancel()
        await a.election.release()
        assert not a.election.held
        await asyncio.sleep(TIMING.retry + 0.1)
        assert b.election.held
    assert [one for one, other in pairwise([*lease.holders, "end"]) if one != other] == ["a", "", "b"]


async def test_who_does_not_hold_the_lease_releases_nothing() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await b.election.release()
        assert lease.record is not None
        assert lease.record.holder == "a"


async def test_a_release_that_fails_is_only_a_pity() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a) as tasks:
        tasks[0].cancel()
        a.access.before = _refuse
        await a.election.release()
        assert not a.election.held


async def test_a_renewal_cut_off_by_the_shutdown_is_released_all_the_same() -> None:
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
async def test_who_cannot_renew_gives_up_before_another_may_take_over(failure: Callable[[], Awaitable[None]]) -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await asyncio.sleep(60)
        a.access.before = failure
        while not b.election.held:
            await asyncio.sleep(0.01)
            assert not (a.election.held and b.election.held)
        assert "not renewed for 10 s" in str(a.lost)
        assert a.lost_at is not None
        assert b.acquired_at is not None
        assert b.acquired_at - a.lost_at >= TIMING.lease - TIMING.renew - TIMING.retry


async def test_a_renewal_whose_answer_is_lost_counts_for_the_others_only() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b):
        await asyncio.sleep(60)
        a.access.after = _refuse
        await asyncio.sleep(TIMING.renew + 2 * TIMING.retry)
        assert a.lost is not None
        assert not b.election.held


@pytest.mark.parametrize("failure", [_refuse, _hang])
async def test_a_short_outage_is_survived(failure: Callable[[], Awaitable[None]]) -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        a.access.after = failure
        await asyncio.sleep(TIMING.renew - TIMING.request)
        a.access.after = _nothing
        await asyncio.sleep(60)
        assert a.lost is None
        assert a.election.held


async def test_candidates_wait_for_an_api_server_that_is_away() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    a.access.before = _refuse
    async with running(a):
        await asyncio.sleep(600)
        assert len(lease.calls) <= 600 / TIMING.retry + 1
        a.access.before = _nothing
        await asyncio.sleep(TIMING.retry)
        assert a.election.held


async def test_no_hurry_when_the_lease_has_run_out_but_cannot_be_written() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        tasks[0].cancel()
        await asyncio.sleep(TIMING.lease / 2)
        b.access.before = _refuse
        lease.calls.clear()
        await asyncio.sleep(600)
        assert len(lease.calls) <= 600 / TIMING.retry + 1


async def test_a_deleted_lease_is_written_again() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        lease.record = None
        await asyncio.sleep(3 * TIMING.retry)
        assert a.election.held
        assert lease.record is not None


async def test_who_finds_another_holder_stops_at_once() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a):
        await asyncio.sleep(60)
        now = datetime.now(UTC)
        lease.record = LeaseRecord("thief", TIMING.lease, now, now, 1, version="stolen")
        await asyncio.sleep(3 * TIMING.retry)
        assert "lost the lease to thief" in str(a.lost)
        assert not a.election.held
        await a.election.release()
        assert lease.record.holder == "thief"


async def test_a_paused_process_finds_out_before_it_writes() -> None:
    lease = Lease()
    a = Replica(lease, "a")
    async with running(a) as tasks:
        await asyncio.sleep(1)
        # While it is stopped, its loop does not run, but time goes on.
        a.access.before = _hang
        await asyncio.sleep(TIMING.renew)
        assert not a.election.held
        await asyncio.sleep(TIMING.retry)
        assert tasks[0].done()


async def test_touching_a_lease_does_not_prolong_it() -> None:
    lease = Lease()
    a, b = Replica(lease, "a"), Replica(lease, "b")
    async with running(a, b) as tasks:
        tasks[0].cancel()
        for _ in range(TIMING.lease + 2):  # somebody sets labels on it, say
            await asyncio.sleep(1)
            if not b.election.held:
                assert lease.record is not None
                lease.put(lease.record)
        await asyncio.sleep(TIMING.retry)
        assert b.election.held
