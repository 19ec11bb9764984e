"""Feed: keeps one index in step with all objects of one kind."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing

from hopper.api.resources import Manifest, NamespacedName, Resource
from hopper.ports import Lister

logger = logging.getLogger(__name__)


class Feed:
    """Objects of one kind, read into an index from lists and watch events. No namespaces stands for all namespaces.

    `put` stores a version of an object in the index and `remove` deletes an object from it. Both return whether the
    index has changed. `uids` returns the uids of all objects in the index.

    `current` is set while decisions may rely on the index. It is unset until the first list is complete, because a
    parent that is not listed yet looks like one that does not exist. It is unset while the kind is listed again,
    because a parent that was deleted in the meantime looks like one that exists.
    """

    def __init__(
        self,
        resource: Resource,
        selector: str = "",
        *,
        put: Callable[[Manifest], bool],
        remove: Callable[[Manifest], bool],
        uids: Callable[[], Mapping[NamespacedName, str]],
        namespaces: Collection[str] = (),
    ) -> None:
        self.resource = resource
        self.selector = selector
        self.namespaces: Collection[str | None] = namespaces or (None,)
        self.current = asyncio.Event()
        self._put = put
        self._remove = remove
        self._uids = uids
        self._unlisted = set(self.namespaces)
        self._stalled_since: float | None = None
        self._running_lists = 0
        # The versions that the watch has reported while a list is running.
        self._watched_versions: dict[NamespacedName, int] = {}

    def handle_event(self, event_type: str, manifest: Manifest) -> None:
        """Apply one watch event to the index."""
        self._stalled_since = None
        if self._running_lists:
            self._watched_versions[_key(manifest)] = _version(manifest)
        self._apply(self._remove if event_type == "DELETED" else self._put, manifest)

    async def relist(self, lister: Lister, namespace: str | None) -> str:
        """List a namespace before a watch starts; return the resourceVersion to watch from. Raises `ApiError`."""
        self._unlisted.add(namespace)
        self.current.clear()
        version, _ = await self._list(lister, namespace)
        self._unlisted.discard(namespace)
        if not self._unlisted:
            self.current.set()
        return version

    async def resync(self, lister: Lister) -> None:
        """List all namespaces beside the watch, and apply the changes that the watch has missed. Raises `ApiError`."""
        missed = 0
        for namespace in self.namespaces:
            if namespace not in self._unlisted:  # otherwise `relist` is about to do the same
                missed += (await self._list(lister, namespace))[1]
        if missed:
            self._stalled_since = self._stalled_since or asyncio.get_running_loop().time()
            logger.info("resync found %d changes of %s that the watch has missed", missed, self.resource.plural)

    def _apply(self, change: Callable[[Manifest], bool], manifest: Manifest) -> bool:
        """Change the index; return whether it has changed. An error concerns this object only, and is logged."""
        try:
            return change(manifest)
        except Exception as error:
            kind, (namespace, name) = self.resource.kind, _key(manifest)
            # Not the message of the error, which may contain a value of a Secret.
            place = f"{type(error).__name__} in {traceback.extract_tb(error.__traceback__)[-1].name}"
            logger.error("%s %s/%s cannot be processed: correct or delete it (%s)", kind, namespace, name, place)
            return False

    @property
    def stalled_seconds(self) -> float:
        """Seconds without a watch event since a resync found missed changes; 0 if the watch works."""
        return 0.0 if self._stalled_since is None else asyncio.get_running_loop().time() - self._stalled_since

    async def _list(self, lister: Lister, namespace: str | None) -> tuple[str, int]:
        """Read a list into the index; return its resourceVersion and the number of changes."""
        self._running_lists += 1
        try:
            return await self._read_list(lister, namespace)
        finally:
            self._running_lists -= 1
            if not self._running_lists:
                self._watched_versions.clear()

    async def _read_list(self, lister: Lister, namespace: str | None) -> tuple[str, int]:
        unseen = {key: uid for key, uid in self._uids().items() if namespace in (None, key[0])}
        version, changes = "", 0
        async with aclosing(lister.chunks(self.resource, namespace, self.selector)) as chunks:
            async for chunk in chunks:
                version = chunk.version
                for manifest in chunk.items:
                    key = _key(manifest)
                    unseen.pop(key, None)
                    # The list may be older than the watch events: it must not restore an object deleted since.
                    if self._watched_versions.get(key, 0) <= _version(manifest):
                        changes += self._apply(self._put, manifest)
        for (object_namespace, name), uid in unseen.items():
            changes += self._remove({"metadata": {"namespace": object_namespace, "name": name, "uid": uid}})
        return version, changes


def _key(manifest: Manifest) -> NamespacedName:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _version(manifest: Manifest) -> int:
    return int(manifest["metadata"]["resourceVersion"])
