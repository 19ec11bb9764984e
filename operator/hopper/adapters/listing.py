"""Lists and watches of any kind, read while they arrive.

A list is one answer without pages, because the API server sends that from its cache. It reads later pages of a list
that is some minutes old from etcd, object by object, which takes several times as long.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlencode

from hopper.adapters.kube import Kube
from hopper.adapters.list_reader import ListReader
from hopper.api.resources import Resource
from hopper.ports import ExpiredError, NotFoundError, Part, UnavailableError, WatchEvent

# The API server ends a watch after a random time in this range, so that the watches of one process do not end together.
_WATCH_SECONDS = (300, 600)


class KubeLister:
    """`ports.Lister` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def serves(self, resource: Resource) -> bool:
        if resource.group:  # a new group is announced a moment later than its kinds are served
            groups = await self._kube.request("GET", "/apis", resource="apis")
            if resource.group not in (group["name"] for group in groups["groups"]):
                return False
        root = f"/apis/{resource.group}" if resource.group else "/api"
        try:
            served = await self._kube.request("GET", f"{root}/{resource.version}", resource="apis")
        except NotFoundError:
            return False
        return resource.plural in (kind["name"] for kind in served["resources"])

    async def parts(self, resource: Resource, namespace: str | None, selector: str = "") -> AsyncGenerator[Part, None]:
        path, query = resource.path(namespace), urlencode({"labelSelector": selector}) if selector else ""
        listed = ListReader()
        try:
            async with aclosing(self._kube.stream(path, resource=resource.plural, query=query)) as chunks:
                async for chunk in chunks:
                    yield Part(listed.feed(chunk))
                    await asyncio.sleep(0)  # a long list is not to hold up everything else
            yield Part([], listed.version())
        except ValueError as error:
            raise UnavailableError(f"GET {path}: {error}") from error

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        path = resource.path(namespace)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
            **({"labelSelector": selector} if selector else {}),
        }
        async with (
            self._kube.watch(path, resource=resource.plural, query=urlencode(query)) as chunks,
            aclosing(_read_events(path, chunks)) as events,
        ):
            yield events


async def _read_events(path: str, chunks: AsyncIterator[bytes]) -> AsyncGenerator[WatchEvent, None]:
    """Yield the events of a watch: one JSON object per line."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError as error:
                raise UnavailableError(f"GET {path}: {error}") from error
            if event["type"] == "ERROR":
                raise ExpiredError(f"GET {path}: {event['object'].get('message')}", code=event["object"].get("code", 0))
            yield event["type"], event["object"]
        await asyncio.sleep(0)  # a burst of events must not block the event loop
