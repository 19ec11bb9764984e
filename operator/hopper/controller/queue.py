"""A keyed work queue: each key is worked on by one worker at a time, once for any number of calls to `add`."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """Calls `work(key)` for every key added, with bounded concurrency.

    `work` answers after how many seconds to look at the key again (None: not until it is added). Where it raises, the
    key comes back after a delay that doubles from `first_delay` to `longest_delay(error)` seconds, with jitter, until
    it succeeds; `on_error(key, error, delay)` hears of it. Time is the running loop's.
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
        self._waiting: dict[K, float] = {}  # key in _ready → when it came there
        self._working: set[K] = set()
        self._aside = 0  # of those, how many wait for something that takes no slot
        self._again: set[K] = set()  # added while being worked on
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wakeup = asyncio.Semaphore(0)
        self._busy_until = 0.0

    def add(self, key: K, delay: float = 0.0) -> None:
        """Have the key worked on, after `delay` seconds at the latest."""
        if delay <= 0:
            self._cancel_timer(key)
            self._enqueue(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if key in self._waiting or (timer and timer.when() <= loop.time() + delay):
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(delay, self.add, key)

    def __len__(self) -> int:
        """Count the keys that are ready or being worked on; those that wait for a delay do not count."""
        return len(self._waiting) + len(self._working)

    @property
    def quiet_seconds(self) -> float:
        """Seconds since there was last something to do; 0 while there is."""
        return 0.0 if len(self) else asyncio.get_running_loop().time() - self._busy_until

    @property
    def age(self) -> float:
        """Seconds that the first key in line has been waiting; 0 when the queue is empty."""
        if not self._ready:
            return 0.0
        return asyncio.get_running_loop().time() - self._waiting[self._ready[0]]

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let others work in place of this one, while it waits for something that may take long."""
        self._aside += 1
        self._wakeup.release()
        try:
            yield
        finally:
            self._aside -= 1

    async def run(self) -> None:
        """Work until cancelled. Keys added before are worked on then."""
        async with asyncio.TaskGroup() as workers:
            try:
                while True:
                    await self._wakeup.acquire()
                    if len(self._working) - self._aside < self._concurrency and self._ready:
                        key = self._take()
                        workers.create_task(self._process(key))
            finally:
                for timer in self._timers.values():
                    timer.cancel()
                self._timers.clear()

    def _enqueue(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._ready.append(key)
            self._wakeup.release()

    def _take(self) -> K:
        key = self._ready.popleft()
        del self._waiting[key]
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
        if key in self._again:
            self._again.discard(key)
            self._enqueue(key)
        elif delay is not None:
            self.add(key, max(delay, 0.001))
        self._wakeup.release()

    def _cancel_timer(self, key: K) -> None:
        with contextlib.suppress(KeyError):
            self._timers.pop(key).cancel()
