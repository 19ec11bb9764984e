"""Recorder of one watched collection: the current objects, and every watch event in the order of the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

from hopper.adapters.kube import abort_connection
from hopper.api.bounded_json import decode_json
from hopper.api.resources import Manifest


class WatchEvent(NamedTuple):
    """Watch event with the version of the object that it carried; `event_type` is ADDED, MODIFIED or DELETED."""

    event_type: str
    object: Manifest

    @property
    def name(self) -> str:
        name: str = self.object["metadata"]["name"]
        return name


class WatchRecorder:
    """List and watch of one collection; `objects` holds the objects by name, `log` every watch event so far."""

    def __init__(self, session: aiohttp.ClientSession, path: str, on_change: Callable[[], None]) -> None:
        self._session = session
        self._path = path
        self._on_change = on_change
        self.objects: dict[str, Manifest] = {}
        self.log: list[WatchEvent] = []
        self.newest_version = 0  # the highest resourceVersion seen
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """List and watch until cancelled; list again when the watch breaks."""
        while True:
            try:
                await self._list_and_watch()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.2)

    async def _list_and_watch(self) -> None:
        async with self._session.get(self._path) as response:
            response.raise_for_status()
            collection = decode_json(await response.text())
        self._record_list(collection["items"])
        query = f"watch=1&resourceVersion={collection['metadata']['resourceVersion']}"
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self._session.get(f"{self._path}?{query}", timeout=unlimited) as response:
            response.raise_for_status()
            try:
                await self._watch(response)
            finally:
                abort_connection(response)

    async def _watch(self, response: aiohttp.ClientResponse) -> None:
        async for line in response.content:
            event = decode_json(line)
            if event["type"] == "ERROR":
                return
            self._record(WatchEvent(event["type"], event["object"]))

    def _record_list(self, items: list[Manifest]) -> None:
        """Record the differences between the known objects and a list as watch events."""
        listed = {item["metadata"]["name"]: item for item in items}
        for name in self.objects.keys() - listed.keys():
            self._record(WatchEvent("DELETED", self.objects[name]))
        for name, item in listed.items():
            if item != self.objects.get(name):
                self._record(WatchEvent("MODIFIED" if name in self.objects else "ADDED", item))
        self.listed.set()

    def _record(self, event: WatchEvent) -> None:
        self.log.append(event)
        self.newest_version = max(self.newest_version, resource_version(event.object))
        if event.event_type == "DELETED":
            self.objects.pop(event.name, None)
        else:
            self.objects[event.name] = event.object
        self._on_change()


def resource_version(manifest: Manifest) -> int:
    """Return the resourceVersion; among objects of one API server, the greater number is the newer version."""
    return int(manifest["metadata"]["resourceVersion"])


def recorded_versions(recorder: WatchRecorder, name: str) -> list[Manifest]:
    """Return every recorded version of an object."""
    return [event.object for event in recorder.log if event.name == name]
