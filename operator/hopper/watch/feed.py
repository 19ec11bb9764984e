"""A feed: one kind of object, listed and watched into one index, and kept complete against the API server."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing

from hopper.api.resources import Manifest, NamespacedName, Resource
from hopper.ports import Lister

logger = logging.getLogger(__name__)


class Feed:
    """One kind, flowing into one index.

    `take` stores a version of an object, `drop` forgets one that is gone; each tells whether that was news. `known`
    answers what is stored: uids by namespace and name. No namespaces means all.

    `current` is set while all that exists is known. It is not before the first list is complete, when a parent that is
    merely not listed yet would be taken for one that does not exist; nor while the watch has to start over, when one
    that was deleted meanwhile would be taken for one that exists.
    """

    def __init__(
        self,
        resource: Resource,
        selector: str = "",
        *,
        take: Callable[[Manifest], bool],
        drop: Callable[[Manifest], bool],
        known: Callable[[], Mapping[NamespacedName, str]],
        namespaces: Collection[str] = (),
    ) -> None:
        self.resource = resource
        self.selector = selector
        self.namespaces: Collection[str | None] = namespaces or (None,)
        self.current = asyncio.Event()
        self._take = take
        self._drop = drop
        self._known = known
        self._unlisted = set(self.namespaces)
        self._missed_at: float | None = None
        self._lists = 0  # that are on their way
        self._told: dict[NamespacedName, int] = {}  # what the watch has told of meanwhile, and in which version

    def on_event(self, kind: str, raw: Manifest) -> None:
        """Take in one watch event."""
        self._missed_at = None  # the watch speaks
        if self._lists:
            self._told[_key(raw)] = _version(raw)
        if kind == "DELETED":
            self._drop(raw)
        else:
            self._take(raw)

    async def refill(self, lister: Lister, namespace: str | None) -> str:
        """List a namespace from the beginning; return the version to watch it from. Raises `ApiError`."""
        self._unlisted.add(namespace)
        self.current.clear()
        version, _ = await self._list(lister, namespace)
        self._unlisted.discard(namespace)
        if not self._unlisted:
            self.current.set()
        return version

    async def resync(self, lister: Lister) -> None:
        """Mend what the watch has missed. Raises `ApiError`."""
        missed = 0
        for namespace in self.namespaces:
            if namespace not in self._unlisted:  # else the watch starts over, and misses nothing by that
                missed += (await self._list(lister, namespace))[1]
        if missed:
            self._missed_at = self._missed_at or asyncio.get_running_loop().time()
            logger.info("found %d changes of %s that the watch has not told of", missed, self.resource.plural)

    @property
    def deaf_seconds(self) -> float:
        """For how long the watch has told nothing although something was missed; 0 where all is well."""
        return 0.0 if self._missed_at is None else asyncio.get_running_loop().time() - self._missed_at

    async def _list(self, lister: Lister, namespace: str | None) -> tuple[str, int]:
        """Take in a whole list; return its version, and how much of it was news."""
        self._lists += 1
        try:
            return await self._take_list(lister, namespace)
        finally:
            self._lists -= 1
            if not self._lists:
                self._told.clear()

    async def _take_list(self, lister: Lister, namespace: str | None) -> tuple[str, int]:
        gone = {key: uid for key, uid in self._known().items() if namespace in (None, key[0])}
        version, news = "", 0
        async with aclosing(lister.chunks(self.resource, namespace, self.selector)) as parts:
            async for part in parts:
                version = part.version
                for raw in part.items:
                    key = _key(raw)
                    gone.pop(key, None)
                    # The list may be older than what the watch has told since: what is gone must not come back by it.
                    if self._told.get(key, 0) <= _version(raw):
                        news += self._take(raw)
        for (where, name), uid in gone.items():
            news += self._drop({"metadata": {"namespace": where, "name": name, "uid": uid}})
        return version, news


def _key(raw: Manifest) -> NamespacedName:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def _version(raw: Manifest) -> int:
    return int(raw["metadata"]["resourceVersion"])
