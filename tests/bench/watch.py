"""Knowing when everything is done, from a watch: polling with LISTs would load the API server under measurement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.bench.client import Client
from tests.bench.objects import Kind, Manifest

STUCK_SECONDS = 60.0


class Names:
    """The names of those objects that match now."""

    def __init__(self) -> None:
        self.present: set[str] = set()
        self._changed = asyncio.Event()

    def seen(self, name: str, *, gone: bool) -> None:
        (self.present.discard if gone else self.present.add)(name)
        self._changed.set()

    async def until(self, fits: Callable[[int], bool]) -> None:
        """Wait until the number of names fits. Raises `TimeoutError` when nothing happens for `STUCK_SECONDS`."""
        while not fits(len(self.present)):
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), STUCK_SECONDS)
            except TimeoutError:
                raise TimeoutError(f"stuck at {len(self.present)} objects") from None


@asynccontextmanager
async def watching(
    client: Client,
    kind: Kind,
    namespace: str,
    selector: str = "",
    accept: Callable[[Manifest], bool] = lambda _: True,
) -> AsyncIterator[Names]:
    """Follow the objects that match a field selector; the API server sends those that come to match, or cease to.

    What no selector can tell, `accept` does, at the cost of seeing everything.
    """
    query = f"fieldSelector={selector}" if selector else ""
    listed = json.loads(await client.list(kind, namespace, query))
    names = Names()
    for item in listed["items"]:
        names.seen(item["metadata"]["name"], gone=not accept(item))
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
    names: Names,
) -> None:
    """Take in watch events. The API server drops those who fall behind, as the bench may: go on from there."""
    while True:
        async for event in client.watch(kind, namespace, f"{query}&resourceVersion={version}"):
            if event["type"] == "ERROR":
                raise RuntimeError(f"the watch of the bench failed: {event['object']}")
            metadata = event["object"]["metadata"]
            version = metadata["resourceVersion"]
            names.seen(metadata["name"], gone=event["type"] == "DELETED" or not accept(event["object"]))
