"""A keyed work queue: at most one worker per key, and one run for any number of calls to `add`."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """Queue that calls `work(key)` for every key added, with bounded concurrency.

    `work` returns the seconds after which the key is requeued; None leaves it until it is added again. If `work`
    raises, the key is requeued after a delay that doubles from `first_delay` to `longest_delay(error)` seconds, with
    jitter, until it succeeds. `on_error(key, error, delay)` is called each time. Times are those of the event loop.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        concurrency: int = 16,
        first_delay: float = 0.1,
        longest_delay: Callable[[Exception], float] = lambda error: 60.0,
        on_error: Callable[[K, Exception, float], None] = lambda key, error, delay: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._concurrency = concurrency
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._on_error = on_error
        self._jitter = jitter
        self._ready: deque[K] = deque()
        self._ready_since: dict[K, float] = {}
        self._working: set[K] = set()
        self._working_without_slot = 0
        self._added_while_working: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wakeup = asyncio.Semaphore(0)
        self._busy_until = 0.0

    def add(self, key: K, delay: float = 0.0) -> None:
        """Queue the key, to be worked on after at most `delay` seconds."""
        if delay <= 0:
            self._cancel_timer(key)
            self._enqueue(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if key in self._ready_since or (timer and timer.when() <= loop.time() + delay):
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(delay, self.add, key)

    def __len__(self) -> int:
        """Return the number of keys that are ready or being worked on, without delayed keys."""
        return len(self._ready_since) + len(self._working)

    @property
    def quiet_seconds(self) -> float:
        """Seconds since the queue became empty and idle; 0 while it is not."""
        return 0.0 if len(self) else asyncio.get_running_loop().time() - self._busy_until

    @property
    def age(self) -> float:
        """Seconds that the first ready key has waited; 0 if none is ready."""
        if not self._ready:
            return 0.0
        return asyncio.get_running_loop().time() - self._ready_since[self._ready[0]]

    @contextlib.contextmanager
    def without_slot(self) -> Iterator[None]:
        """Free the slot of the current worker for another key, during a wait that may take long."""
        self._working_without_slot += 1
        self._wakeup.release()
        try:
            yield
        finally:
            self._working_without_slot -= 1

    async def run(self) -> None:
        """Work until cancelled, also on keys added before."""
        async with asyncio.TaskGroup() as workers:
            try:
                while True:
                    await self._wakeup.acquire()
                    occupied = len(self._working) - self._working_without_slot
                    if occupied < self._concurrency and self._ready:
                        key = self._take()
                        workers.create_task(self._process(key))
            finally:
                for timer in self._timers.values():
                    timer.cancel()
                self._timers.clear()

    def _enqueue(self, key: K) -> None:
        if key in self._working:
            self._added_while_working.add(key)
        elif key not in self._ready_since:
            self._ready_since[key] = asyncio.get_running_loop().time()
            self._ready.append(key)
            self._wakeup.release()

    def _take(self) -> K:
        key = self._ready.popleft()
        del self._ready_since[key]
        self._cancel_timer(key)
        self._working.add(key)
        return key

    async def _process(self, key: K) -> None:
        delay = None
        try:
            delay = await self._work(key)
            self._failures.pop(key, None)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(self._first_delay * 2 ** min(failures - 1, 30), self._longest_delay(error))
            delay *= 0.5 + self._jitter() / 2
            self._on_error(key, error, delay)
        finally:
            self._working.discard(key)
            self._busy_until = asyncio.get_running_loop().time()
        if key in self._added_while_working:
            self._added_while_working.discard(key)
            self._enqueue(key)
        elif delay is not None:
            self.add(key, max(delay, 0.001))
        self._wakeup.release()

    def _cancel_timer(self, key: K) -> None:
        with contextlib.suppress(KeyError):
            self._timers.pop(key).cancel()
