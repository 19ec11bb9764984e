"""What the API server said a moment ago: bounded in number and time, and asked only once by many at the same time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Answers are kept for as many seconds as `keeps` says of them; errors are not kept. The oldest make room."""

    def __init__(
        self, keeps: Callable[[Value], float], most: int = 4096, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keeps = keeps
        self._most = most
        self._now = clock
        self._known: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._asked: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Return what is known, or ask. Raises what `ask` raises."""
        found = self._known.get(key)
        if found and found[0] > self._now():
            return found[1]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key, ask))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked for, if by nobody else
        # Whoever goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await ask()
        finally:
            del self._asked[key]
        self._known.pop(key, None)
        self._known[key] = self._now() + self._keeps(value), value
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._known)
