"""Answers about everything: made a slice at a time, so that nobody else has to wait, and kept while nothing changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

# What takes a millisecond or so.
_SLICE = 200
_MOST_BYTES = 32 * 2**20
_OVERHEAD = 500


async def in_slices(items: Iterable[Item], render: Callable[[Item], bytes]) -> list[bytes]:
    """Render one after the other; in between, others get their turn."""
    found, left = list[bytes](), iter(items)
    while part := list(islice(left, _SLICE)):
        if found:
            await asyncio.sleep(0)
        found += map(render, part)
    return found


def _size(key: str, answer: bytes) -> int:
    """Return about how much memory an answer takes: what was asked may well be longer than it."""
    return len(key) + len(answer) + _OVERHEAD


class Whole:
    """The last such answers, by what was asked, each with the version of what it was made of.

    Many who ask for the same at once wait for one answer.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: OrderedDict[str, tuple[Hashable, bytes]] = OrderedDict()
        self._making: dict[tuple[str, Hashable], asyncio.Task[bytes]] = {}

    async def get(self, key: str, version: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the answer of that version, made or made before. Raises what `make` raises."""
        known = self._known.get(key)
        if known is not None and known[0] == version:
            self._known.move_to_end(key)
            return known[1]
        task = self._making.get((key, version))
        if task is None:
            task = self._making[key, version] = asyncio.create_task(self._make(key, version, make))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked for, if by nobody else
        # Whoever goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _make(self, key: str, version: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            answer = await make()
        finally:
            del self._making[key, version]
        if key in self._known:
            self._forget(key)
        self._known[key] = version, answer
        self._bytes += _size(key, answer)
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._known)))
        return answer

    def _forget(self, key: str) -> None:
        _, answer = self._known.pop(key)
        self._bytes -= _size(key, answer)

    def __len__(self) -> int:
        return len(self._known)
