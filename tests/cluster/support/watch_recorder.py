"""What a watch tells: the objects of one path as they are now, and every change in the order of the API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from hopper.adapters.kube import abort_connection

Object = dict[str, Any]


class RecordedVersion(NamedTuple):
    """One watch event; `kind` is ADDED, MODIFIED or DELETED."""

    kind: str
    object: Object

    @property
    def name(self) -> str:
        name: str = self.object["metadata"]["name"]
        return name


class WatchRecorder:
    """Follows one collection. `now` holds the objects by name, `log` every change since the start."""

    def __init__(self, session: aiohttp.ClientSession, path: str, changed: Callable[[], None]) -> None:
        self._session = session
        self._path = path
        self._changed = changed
        self.now: dict[str, Object] = {}
        self.log: list[RecordedVersion] = []
        self.version = 0  # the newest resourceVersion seen
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled; where the watch breaks off, list again."""
        while True:
            try:
                await self._list_and_watch()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.2)

    async def _list_and_watch(self) -> None:
        async with self._session.get(self._path) as response:
            response.raise_for_status()
            listed = await response.json()
        self._take_list(listed["items"])
        query = f"watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self._session.get(f"{self._path}?{query}", timeout=unlimited) as response:
            response.raise_for_status()
            try:
                await self._watch(response)
            finally:
                abort_connection(response)

    async def _watch(self, response: aiohttp.ClientResponse) -> None:
        async for line in response.content:
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            self._take(RecordedVersion(event["type"], event["object"]))

    def _take_list(self, items: list[Object]) -> None:
        found = {item["metadata"]["name"]: item for item in items}
        for name in self.now.keys() - found.keys():
            self._take(RecordedVersion("DELETED", self.now[name]))
        for name, item in found.items():
            if item != self.now.get(name):
                self._take(RecordedVersion("MODIFIED" if name in self.now else "ADDED", item))
        self.listed.set()

    def _take(self, seen: RecordedVersion) -> None:
        self.log.append(seen)
        self.version = max(self.version, version(seen.object))
        if seen.kind == "DELETED":
            self.now.pop(seen.name, None)
        else:
            self.now[seen.name] = seen.object
        self._changed()


def version(found: Object) -> int:
    """Return the resourceVersion; of objects of one API server, the greater one is the newer."""
    return int(found["metadata"]["resourceVersion"])
