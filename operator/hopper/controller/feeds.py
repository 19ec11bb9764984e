"""Feeds: watches of everything beside the instances, each kept complete against the API server like the instances."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hopper.api.resources import Resource
from hopper.ports import ApiError, Lister, NotFoundError

logger = logging.getLogger(__name__)

Manifest = dict[str, Any]
_COUNT_SECONDS = 1.0


class Feed:
    """One kind, flowing into one index.

    `take` stores a version of an object, `drop` forgets one that is gone, `known` answers what is stored: uids by
    namespace and name.
    """

    def __init__(
        self,
        resource: Resource,
        selector: str,
        *,
        take: Callable[[Manifest], None],
        drop: Callable[[Manifest], None],
        known: Callable[[], Mapping[tuple[str, str], str]],
    ) -> None:
        self.resource = resource
        self.selector = selector
        self._take = take
        self._drop = drop
        self._known = known
        self._seen: set[str] = set()  # uids, of those too that nobody stores
        self._grew = asyncio.Event()

    def on_event(self, kind: str | None, raw: Manifest) -> None:
        """Take in one watch event; `kind` is None for an object from a list."""
        if kind == "DELETED":
            self._seen.discard(raw["metadata"]["uid"])
            self._drop(raw)
        else:
            self._seen.add(raw["metadata"]["uid"])
            self._take(raw)
        self._grew.set()

    async def sync(self, lister: Lister, namespaces: Collection[str | None]) -> None:
        """Wait until the watch has listed what the API server counts."""
        while True:
            try:
                expected = sum([await self._count(lister, namespace) for namespace in namespaces])
            except ApiError as error:
                logger.warning("cannot list %s: %s", self.resource.plural, error)
                await asyncio.sleep(_COUNT_SECONDS)
                continue
            try:
                async with asyncio.timeout(_COUNT_SECONDS):
                    while len(self._seen) < expected:
                        self._grew.clear()
                        await self._grew.wait()
            except TimeoutError:
                continue  # some of those counted may be gone by now: count again
            return

    async def resync(self, lister: Lister, namespaces: Collection[str | None]) -> None:
        """Mend what the watch has missed."""
        before = dict(self._known())
        for namespace in namespaces:
            async for page in lister.pages(self.resource, namespace, self.selector):
                for raw in page:
                    before.pop((raw["metadata"]["namespace"], raw["metadata"]["name"]), None)
                    self._take(raw)
        for (namespace_, name), uid in before.items():
            self._drop({"metadata": {"namespace": namespace_, "name": name, "uid": uid}})

    async def _count(self, lister: Lister, namespace: str | None) -> int:
        try:
            return await lister.count(self.resource, namespace, self.selector)
        except NotFoundError:
            return 0  # the kind is not installed, so there are none
