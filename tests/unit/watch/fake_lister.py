"""Objects of an API server in memory, and the lists and watches of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hopper.api.resources import Manifest, Resource
from hopper.ports import ListChunk, WatchEvent


def instance_manifest(
    name: str, version: int = 1, *, namespace: str = "default", uid: str = "", **spec: Any
) -> Manifest:
    """Return an instance as the API server sends it."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-03-01T11:00:00Z",
        },
        "spec": {"scope": "Project", **spec},
    }


class FakeLister:
    """`ports.Lister` over objects in memory.

    A list raises `error` if that is set, and takes `seconds` per object. A watch raises `watch_error` if that is set.
    Otherwise it provides what the test puts into `events`: an event, an error to raise, or None for the end.
    """

    def __init__(self, *objects: Manifest) -> None:
        self.objects = list(objects)
        self.error: Exception | None = None
        self.watch_error: Exception | None = None
        self.seconds = 0.0
        self.lists = 0
        self.watched_versions: list[str] = []
        self.events: asyncio.Queue[WatchEvent | Exception | None] = asyncio.Queue()
        self.open_watches = 0

    def put(self, *objects: Manifest) -> None:
        names = {manifest["metadata"]["name"] for manifest in objects}
        kept = [manifest for manifest in self.objects if manifest["metadata"]["name"] not in names]
        self.objects = [*kept, *objects]

    def delete(self, name: str) -> None:
        self.objects = [manifest for manifest in self.objects if manifest["metadata"]["name"] != name]

    async def serves(self, resource: Resource) -> bool:
        return True

    async def chunks(
        self, resource: Resource, namespace: str | None, selector: str = ""
    ) -> AsyncGenerator[ListChunk, None]:
        self.lists += 1
        if self.error:
            raise self.error
        listed = [manifest for manifest in self.objects if namespace in (None, manifest["metadata"]["namespace"])]
        version = str(max((int(manifest["metadata"]["resourceVersion"]) for manifest in listed), default=1))
        for manifest in listed:  # the smallest possible chunks
            await asyncio.sleep(self.seconds)
            yield ListChunk([manifest])
        yield ListChunk([], version)

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        self.watched_versions.append(version)
        if self.watch_error:
            raise self.watch_error
        self.open_watches += 1
        try:
            yield self._read_events()
        finally:
            self.open_watches -= 1

    async def _read_events(self) -> AsyncGenerator[WatchEvent, None]:
        while event := await self.events.get():
            if isinstance(event, Exception):
                raise event
            yield event


class DictIndex:
    """Index that keeps the latest put of each object, without comparing versions."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}

    def put(self, manifest: Manifest) -> bool:
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        changed = self.objects.get(key) != manifest
        self.objects[key] = manifest
        return changed

    def remove(self, manifest: Manifest) -> bool:
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        return self.objects.pop(key, None) is not None

    def uids(self) -> dict[tuple[str, str], str]:
        return {key: manifest["metadata"]["uid"] for key, manifest in self.objects.items()}

    @property
    def versions(self) -> dict[str, str]:
        """The resourceVersions by name."""
        return {name: manifest["metadata"]["resourceVersion"] for (_, name), manifest in self.objects.items()}
