"""Objects that match a condition, followed by a watch, because polling with LISTs would load the API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hopper.api.resources import Manifest
from tests.bench.client import Client
from tests.bench.manifests import Kind

STUCK_SECONDS = 60.0


class MatchingNames:
    """The names of the objects that match now."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._changed = asyncio.Event()

    def update(self, name: str, *, matches: bool) -> None:
        (self._names.add if matches else self._names.discard)(name)
        self._changed.set()

    async def until_count(self, count: int) -> None:
        """Wait until `count` objects match. Raises `TimeoutError` when nothing changes for `STUCK_SECONDS`."""
        while len(self._names) != count:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), STUCK_SECONDS)
            except TimeoutError:
                raise TimeoutError(f"stuck at {len(self._names)} of {count} objects") from None


@asynccontextmanager
async def watching(
    client: Client,
    kind: Kind,
    namespace: str,
    selector: str = "",
    accept: Callable[[Manifest], bool] = lambda _: True,
) -> AsyncIterator[MatchingNames]:
    """Watch the objects that match a field selector and `accept`.

    Conditions that no field selector can express go into `accept`. They cost a watch event for every change.
    """
    query = f"fieldSelector={selector}" if selector else ""
    listed = json.loads(await client.list(kind, namespace, query))
    names = MatchingNames()
    for item in listed["items"]:
        names.update(item["metadata"]["name"], matches=accept(item))
    version = listed["metadata"]["resourceVersion"]
    async with asyncio.TaskGroup() as group:
        follower = group.create_task(_follow(client, kind, namespace, query, version, accept, names))
        try:
            yield names
        finally:
            follower.cancel()


async def _follow(
    client: Client,
    kind: Kind,
    namespace: str,
    query: str,
    version: str,
    accept: Callable[[Manifest], bool],
    names: MatchingNames,
) -> None:
    """Apply watch events to `names`. The API server closes slow watches, so continue from the last version."""
    while True:
        async for event in client.watch(kind, namespace, f"{query}&resourceVersion={version}"):
            if event["type"] == "ERROR":
                raise RuntimeError(f"the watch of the bench failed: {event['object']}")
            metadata = event["object"]["metadata"]
            version = metadata["resourceVersion"]
            names.update(metadata["name"], matches=event["type"] != "DELETED" and accept(event["object"]))
