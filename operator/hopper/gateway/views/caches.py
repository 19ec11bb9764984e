"""Caches of rendered JSON, and rendering in slices so that other requests are served in between."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Version = TypeVar("Version")

# Takes about a millisecond to render.
_SLICE = 200
_SPARE_ENTRIES = 1000
_MAX_BYTES = 32 * 2**20
_ENTRY_OVERHEAD = 500


async def render_in_slices(items: Iterable[Item], render: Callable[[Item], bytes]) -> list[bytes]:
    """Render all items in order, and yield to the event loop after each slice."""
    texts, remaining = list[bytes](), iter(items)
    while items_of_slice := list(islice(remaining, _SLICE)):
        if texts:
            await asyncio.sleep(0)
        texts += map(render, items_of_slice)
    return texts


class RenderCache(Generic[Version]):
    """JSON of objects by uid, each with the version that it was rendered from.

    `count` returns the number of objects that exist. The cache is cleared when it holds more than twice as many.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._entries: dict[str, tuple[Version, bytes]] = {}

    def get(self, uid: str, version: Version, render: Callable[[], bytes]) -> bytes:
        """Return the JSON of this version, from the cache or from `render`."""
        entry = self._entries.get(uid)
        if entry is not None and entry[0] == version:
            return entry[1]
        text = render()
        self._entries[uid] = version, text
        if len(self._entries) > 2 * self._count() + _SPARE_ENTRIES:
            self._entries.clear()  # most entries belong to deleted objects
        return text

    def __len__(self) -> int:
        return len(self._entries)


class ResponseCache:
    """Recent response bodies about a whole namespace, each with the version that it was made from.

    Concurrent requests for the same body share one rendering. Beyond `max_bytes`, the least recently used body is
    removed.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[Hashable, bytes]] = OrderedDict()
        self._rendering: dict[tuple[str, Hashable], asyncio.Task[bytes]] = {}

    async def get(self, key: str, version: Hashable, render: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the body of this version, from the cache or from `render`. Raises the errors of `render`."""
        entry = self._entries.get(key)
        if entry is not None and entry[0] == version:
            self._entries.move_to_end(key)
            return entry[1]
        task = self._rendering.get((key, version))
        if task is None:
            task = self._rendering[key, version] = asyncio.create_task(self._render(key, version, render))
            # Retrieve the exception, because asyncio logs an error if no request is left to do so.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A request that is cancelled must not cancel the rendering for the others.
        return await asyncio.shield(task)

    async def _render(self, key: str, version: Hashable, render: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            body = await render()
        finally:
            del self._rendering[key, version]
        if key in self._entries:
            self._remove(key)
        self._entries[key] = version, body
        self._bytes += _memory_size(key, body)
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))
        return body

    def _remove(self, key: str) -> None:
        _, body = self._entries.pop(key)
        self._bytes -= _memory_size(key, body)

    def __len__(self) -> int:
        return len(self._entries)


def _memory_size(key: str, body: bytes) -> int:
    """Return the approximate memory of an entry. A key, made from the query, may be longer than its body."""
    return len(key) + len(body) + _ENTRY_OVERHEAD
