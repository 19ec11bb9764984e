"""The keyed queue: order, concurrency, delays and retries. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from hopper.controller.queue import KeyedQueue

pytestmark = pytest.mark.looptime


class Work:
    """Work that takes `seconds`. It records when each key was begun and ended, and the greatest concurrency."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.begun: list[tuple[float, str]] = []
        self.ended: list[tuple[float, str]] = []
        self.in_work: set[str] = set()
        self.most = 0
        self.answer: Callable[[str], float | None] = lambda key: None

    async def __call__(self, key: str) -> float | None:
        assert key not in self.in_work, "a key is worked on twice at once"
        self.in_work.add(key)
        self.most = max(self.most, len(self.in_work))
        self.begun.append((_now(), key))
        try:
            await asyncio.sleep(self.seconds)
            return self.answer(key)
        finally:
            self.in_work.remove(key)
            self.ended.append((_now(), key))

    def times(self, key: str) -> list[float]:
        return [moment for moment, begun in self.begun if begun == key]


class Failing(Work):
    """Work that fails for the first `failures` calls."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        super().__init__(seconds=0)
        self.failures = failures
        self.error = error or ValueError("no")
        self.answer = self._fail

    def _fail(self, key: str) -> float | None:
        if len(self.begun) <= self.failures:
            raise self.error
        return None

    @property
    def gaps(self) -> list[float]:
        times = [moment for moment, _ in self.begun]
        return [round(later - earlier, 3) for earlier, later in pairwise(times)]


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(queue: KeyedQueue[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_key_added_several_times_is_worked_on_once() -> None:
    work = Work()
    queue = KeyedQueue(work)
    for _ in range(10):
        queue.add("a")
    async with running(queue):
        await asyncio.sleep(10)
    assert work.begun == [(0, "a")]


async def test_keys_are_worked_on_in_the_order_of_their_addition() -> None:
    work = Work()
    queue = KeyedQueue(work, concurrency=1)
    for key in "cabcab":
        queue.add(key)
    async with running(queue):
        await asyncio.sleep(10)
    assert work.begun == [(0, "c"), (1, "a"), (2, "b")]


async def test_concurrency_is_bounded_and_used() -> None:
    work = Work()
    queue = KeyedQueue(work, concurrency=3)
    async with running(queue):
        for n in range(10):
            queue.add(str(n))
        await asyncio.sleep(100)
    assert work.most == 3
    assert work.ended[-1][0] == 4


async def test_a_worker_without_a_slot_makes_room_and_still_excludes_its_key() -> None:
    async def wait_without_slot(key: str) -> None:
        begun.append((_now(), key))
        if key.startswith("hangs"):
            with queue.without_slot():
                await asyncio.sleep(5)
        await asyncio.sleep(1)

    begun: list[tuple[float, str]] = []
    queue = KeyedQueue(wait_without_slot, concurrency=1)
    async with running(queue):
        for key in ("hangs-1", "hangs-2", "fine-1", "fine-2"):
            queue.add(key)
        await asyncio.sleep(0.5)
        queue.add("hangs-1")
        await asyncio.sleep(30)
    assert begun == [(0, "hangs-1"), (0, "hangs-2"), (0, "fine-1"), (1, "fine-2"), (6, "hangs-1")]


async def test_a_key_added_during_its_work_is_worked_on_once_more() -> None:
    work = Work()
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(10)
    assert work.times("a") == [0, 1]


async def test_a_failing_key_added_during_its_work_is_retried_at_once_and_its_failures_count() -> None:
    delays: list[float] = []
    work = Failing(failures=2)
    work.seconds = 1
    queue = KeyedQueue(work, on_error=lambda key, error, delay: delays.append(delay), jitter=lambda: 1.0)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        await asyncio.sleep(10)
    assert work.times("a") == pytest.approx([0, 1, 2.2])
    assert delays == [0.1, 0.2]


async def test_work_can_requeue_its_key() -> None:
    work = Work(seconds=0)
    work.answer = lambda key: 5.0 if len(work.begun) < 3 else None
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(100)
    assert work.times("a") == [0, 5, 10]


async def test_an_earlier_delay_wins() -> None:
    work = Work(seconds=0)
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a", 10)
        queue.add("a", 3)
        queue.add("a", 20)
        await asyncio.sleep(100)
    assert work.times("a") == [3]


async def test_a_key_without_a_delay_overrides_its_delay() -> None:
    work = Work(seconds=0)
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a", 10)
        queue.add("a")
        await asyncio.sleep(100)
    assert work.times("a") == [0]


async def test_a_delay_for_a_ready_key_is_ignored() -> None:
    work = Work()
    queue = KeyedQueue(work, concurrency=1)
    async with running(queue):
        queue.add("busy")
        queue.add("a")
        queue.add("a", 0.5)
        await asyncio.sleep(100)
    assert work.times("a") == [1]


async def test_a_key_whose_delay_ends_during_its_work_is_worked_on_once_more() -> None:
    work = Work()
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(0.1)
        queue.add("a", 0.5)
        await asyncio.sleep(100)
    assert work.times("a") == [0, 1]


async def test_a_delay_for_a_key_that_was_added_during_its_work_is_ignored() -> None:
    work = Work()
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a", 5)
        await asyncio.sleep(100)
    assert work.times("a") == [0, 1]


async def test_a_failing_key_is_retried_after_a_delay_that_doubles_up_to_a_limit() -> None:
    work = Failing(failures=8)
    queue = KeyedQueue(work, first_delay=1, longest_delay=lambda error: 20, jitter=lambda: 1.0)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(1000)
    assert work.gaps == [1, 2, 4, 8, 16, 20, 20, 20]


async def test_the_longest_delay_depends_on_the_error() -> None:
    work = Failing(failures=6, error=OSError("away"))
    queue = KeyedQueue(
        work, first_delay=1, longest_delay=lambda error: 3 if isinstance(error, OSError) else 60, jitter=lambda: 1.0
    )
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(1000)
    assert work.gaps == [1, 2, 3, 3, 3, 3]


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
async def test_jitter_shortens_a_delay_by_up_to_half(jitter: float, least: float) -> None:
    work = Failing(failures=1)
    queue = KeyedQueue(work, first_delay=8, jitter=lambda: jitter)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(100)
    assert work.gaps == [8 * least]


async def test_success_resets_the_delay() -> None:
    work = Failing(failures=4)
    queue = KeyedQueue(work, first_delay=1, jitter=lambda: 1.0)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(1000)
        work.failures = len(work.begun) + 1
        queue.add("a")
        await asyncio.sleep(1000)
    assert work.gaps[:4] == [1, 2, 4, 8]
    assert work.gaps[-1] == 1


async def test_failures_are_reported_with_key_error_and_delay() -> None:
    reported: list[tuple[str, str, float]] = []
    queue = KeyedQueue(
        Failing(failures=1),
        on_error=lambda key, error, delay: reported.append((key, str(error), delay)),
        jitter=lambda: 1.0,
    )
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(10)
    assert reported == [("a", "no", 0.1)]


async def test_a_failing_key_does_not_delay_the_others() -> None:
    work = Work(seconds=0)
    queue = KeyedQueue(_fails_for("bad", work), concurrency=1)
    async with running(queue):
        queue.add("bad")
        for n in range(10):
            queue.add(str(n))
        await asyncio.sleep(0.01)
        assert len(work.begun) == 10


def _fails_for(bad: str, work: Work) -> Callable[[str], asyncio.Future[float | None]]:
    async def guarded(key: str) -> float | None:
        if key == bad:
            raise ValueError(key)
        return await work(key)

    return guarded  # type: ignore[return-value]


async def test_a_failing_key_that_is_added_is_retried_without_its_delay() -> None:
    work = Failing(failures=1)
    queue = KeyedQueue(work, first_delay=60, jitter=lambda: 1.0)
    async with running(queue):
        queue.add("a")
        await asyncio.sleep(1)
        queue.add("a")
        await asyncio.sleep(1000)
    assert work.times("a") == [0, 1]


async def test_length_age_and_quiet_time() -> None:
    work = Work(seconds=2)
    queue = KeyedQueue(work, concurrency=1)
    assert (len(queue), queue.age) == (0, 0)
    async with running(queue):
        for key in "abc":
            queue.add(key)
        queue.add("later", 100)
        await asyncio.sleep(1)
        assert (len(queue), queue.age, queue.quiet_seconds) == (3, 1, 0)
        await asyncio.sleep(4)
        assert (len(queue), queue.age) == (1, 0)
        await asyncio.sleep(5)
        assert (len(queue), queue.age, queue.quiet_seconds) == (0, 0, 4)


async def test_keys_added_before_the_start_are_worked_on() -> None:
    work = Work(seconds=0)
    queue = KeyedQueue(work)
    queue.add("a")
    queue.add("b", 5)
    await asyncio.sleep(10)
    assert queue.age == 10
    async with running(queue):
        await asyncio.sleep(1)
    assert work.begun == [(10, "a"), (10, "b")]


async def test_a_cancelled_queue_ends_its_work_and_its_timers() -> None:
    work = Work(seconds=10)
    queue = KeyedQueue(work)
    async with running(queue):
        queue.add("a")
        queue.add("b", 5)
        await asyncio.sleep(1)
    assert not work.in_work
    assert work.ended == [(1, "a")]
    await asyncio.sleep(100)
    assert work.begun == [(0, "a")]
