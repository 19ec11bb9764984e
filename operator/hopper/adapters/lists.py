"""Lists and watches of any kind, read while they arrive.

A list is requested as a whole, not in pages. The API server answers a whole list from its watch cache. It reads the
later pages of a list that has not changed for some minutes from etcd, which takes several times as long.
"""

import asyncio
import random
import re
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from urllib.parse import urlencode

from hopper.adapters.kube import KubeClient
from hopper.api.bounded_json import decode_json, decode_json_at
from hopper.api.resources import Manifest, Resource
from hopper.ports import ExpiredError, ListChunk, NotFoundError, UnavailableError, WatchEvent

# The API server ends a watch after a random time in this range, so that the watches of one process do not end together.
_WATCH_SECONDS = (300, 600)
# Only metadata precedes the items. Go encodes an empty list as null.
_ITEMS = re.compile(r'"items"\s*:\s*(\[|null)')
_SEPARATOR = re.compile(r"[\s,]*")


class KubeLister:
    """`ports.Lister` on an API server."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def serves(self, resource: Resource) -> bool:
        if resource.group:  # because the API server announces a new group slightly later than it serves its kinds
            groups = await self._kube.request("GET", "/apis", resource="apis")
            if resource.group not in (group["name"] for group in groups["groups"]):
                return False
        root = f"/apis/{resource.group}" if resource.group else "/api"
        try:
            served = await self._kube.request("GET", f"{root}/{resource.version}", resource="apis")
        except NotFoundError:
            return False
        return resource.plural in (kind["name"] for kind in served["resources"])

    async def chunks(
        self, resource: Resource, namespace: str | None, selector: str = ""
    ) -> AsyncGenerator[ListChunk, None]:
        path, query = resource.path(namespace), urlencode({"labelSelector": selector}) if selector else ""
        reader = ListReader()
        try:
            async with aclosing(self._kube.stream(path, resource=resource.plural, query=query)) as stream:
                async for data in stream:
                    yield ListChunk(reader.feed(data))
                    await asyncio.sleep(0)  # let other tasks run during a long list
            yield ListChunk([], reader.resource_version())
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
            self._kube.watch(path, resource=resource.plural, query=urlencode(query)) as stream,
            aclosing(_read_events(path, stream)) as events,
        ):
            yield events


async def _read_events(path: str, stream: AsyncIterator[bytes]) -> AsyncGenerator[WatchEvent, None]:
    """Yield the events of a watch, which sends one JSON object per line."""
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                event = decode_json(line)
            except ValueError as error:
                raise UnavailableError(f"GET {path}: {error}") from error
            if event["type"] == "ERROR":
                raise ExpiredError(f"GET {path}: {event['object'].get('message')}", code=event["object"].get("code", 0))
            yield event["type"], event["object"]
        await asyncio.sleep(0)  # let other tasks run during a burst of events


class ListReader:
    """Incremental parser of a Kubernetes list, fed with JSON in chunks of any size.

    Only the incomplete tail is kept as text, so a list needs no more memory than its objects.
    """

    def __init__(self) -> None:
        self._utf8 = getincrementaldecoder("utf-8")()
        self._text = ""  # received but not parsed yet
        self._head = ""  # everything before the items, once the items have begun
        self._ended = False

    def feed(self, data: bytes) -> list[Manifest]:
        """Return the objects that this chunk completes. Raises `ValueError` if the text is not UTF-8."""
        self._text += self._utf8.decode(data)
        if not self._head:
            self._find_items()
        return list(self._complete_objects()) if self._head and not self._ended else []

    def resource_version(self) -> str:
        """Return the resourceVersion of the list. Raises `ValueError` if the list is incomplete or not a list."""
        with suppress(ValueError, LookupError, TypeError):
            version: str = decode_json(f"{self._head}[{self._text}")["metadata"]["resourceVersion"]
            if self._ended:
                return version
        raise ValueError(f"the list is incomplete or invalid: {(self._head + self._text)[:200]}")

    def _find_items(self) -> None:
        match = _ITEMS.search(self._text)
        if match is None:
            return
        self._head, rest = self._text[: match.start(1)], self._text[match.end() :]
        self._ended = match[1] == "null"
        self._text = f"]{rest}" if self._ended else rest

    def _complete_objects(self) -> Iterator[Manifest]:
        position = 0
        while True:
            position = _SEPARATOR.match(self._text, position).end()  # type: ignore[union-attr]  # it may match nothing
            if self._text.startswith("]", position):
                self._ended = True
                break
            try:
                manifest, end = decode_json_at(self._text, position)
            except ValueError:
                break  # the rest of this object has not arrived yet
            yield manifest
            position = end
        self._text = self._text[position:]
