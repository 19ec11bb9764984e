"""Intake: raw watch events into the registry and the queue, and the resync that checks the watch against the API."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hopper.api.resources import INSTANCES
from hopper.controller.fanout import affected
from hopper.controller.feeds import Feed
from hopper.controller.queue import KeyedQueue
from hopper.controller.reader import Reader
from hopper.controller.reconcile import Key
from hopper.ports import ApiError, Lister
from hopper.registry import Change, Registry

logger = logging.getLogger(__name__)

_COUNT_SECONDS = 1.0
_DEAF_SECONDS = 30.0


class Intake:
    """Keeps registry and queue in step with the cluster.

    `synced` is set once everything that existed at the start is known: to decide earlier would take a parent that
    is merely not listed yet for one that does not exist. `current` is set whenever that is so, and not set while the
    watch had to start over: one that was deleted meanwhile would be taken for one that exists, and its uid written
    into ownerReferences, upon which garbage collection deletes the children.
    """

    def __init__(
        self,
        registry: Registry,
        reader: Reader,
        queue: KeyedQueue[Key],
        lister: Lister,
        namespaces: Collection[str],
        *,
        feeds: Sequence[Feed] = (),
        listeners: Sequence[Callable[[Change], None]] = (),
        resync_seconds: float = 600.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._queue = queue
        self._lister = lister
        self._namespaces: Collection[str | None] = namespaces or (None,)
        self._feeds = feeds
        self._listeners = listeners
        self._resync_seconds = resync_seconds
        self._now = clock or (lambda: asyncio.get_running_loop().time())
        self._resync_due = asyncio.Event()
        self._grew = asyncio.Event()
        self._resynced_at: float | None = None
        self._missed_at: float | None = None
        self._relists = 0
        self.synced = asyncio.Event()
        self.current = asyncio.Event()

    def on_event(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take in one watch event; `kind` is None for an object from a list."""
        if kind is not None:
            self._missed_at = None  # the watch speaks
        if kind == "DELETED":
            metadata = raw["metadata"]
            self._reader.forget(metadata["uid"])
            change = self._registry.remove(metadata["namespace"], metadata["name"], metadata["uid"])
        else:
            change = self._read(raw)
        if change:
            self.on_change(change)
            if change.new:
                self._queue.add((change.new.namespace, change.new.name))
        self._grew.set()

    def on_change(self, change: Change) -> None:
        """Have the relatives of a changed instance look again, and tell the listeners."""
        for listener in self._listeners:
            listener(change)
        if not self.synced.is_set():
            return  # everybody is in the queue already
        namespace = change.subject.namespace
        for name, delay in affected(change, self._registry.namespace(namespace)):
            self._queue.add((namespace, name), delay)

    async def sync(self) -> None:
        """Wait until the watch has listed what the API server counts."""
        while not self.synced.is_set():
            try:
                expected = sum([await self._lister.count(INSTANCES, namespace) for namespace in self._namespaces])
            except ApiError as error:
                logger.warning("cannot list instances: %s", error)
                await asyncio.sleep(_COUNT_SECONDS)
                continue
            while len(self._registry) + self._reader.unreadable < expected:
                self._grew.clear()
                try:
                    async with asyncio.timeout(_COUNT_SECONDS):
                        await self._grew.wait()
                except TimeoutError:
                    break  # some of those counted may be gone by now: count again
            else:
                await asyncio.gather(*(feed.sync(self._lister, self._namespaces) for feed in self._feeds))
                self._resynced_at = self._now()
                self.synced.set()
                self.current.set()
                logger.info("synced: %d instances", expected)

    async def run(self) -> None:
        """Resync slowly, and soon after the watch had to start over, until cancelled."""
        relisted, wait = False, self._until_next_resync()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._resync_due.wait()
            relisted |= self._resync_due.is_set()
            self._resync_due.clear()
            try:
                await self.resync(relisted=relisted)
                relisted, wait = False, self._until_next_resync()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                wait = _COUNT_SECONDS

    async def resync(self, *, relisted: bool = False) -> None:
        """Compare the registry with the API server, mend what the watch has missed, and look at everybody again.

        After the watch had to start over (`relisted`), it is no fault of the watch that it missed something.
        """
        relists = self._relists
        before = {(it.namespace, it.name): it.metadata.uid for it in self._registry}
        missed = 0
        for namespace in self._namespaces:
            async for page in self._lister.pages(INSTANCES, namespace):
                for raw in page:
                    change = self._read(raw)
                    before.pop((raw["metadata"]["namespace"], raw["metadata"]["name"]), None)
                    if change:
                        missed += 1
                        self.on_change(change)
        for (namespace, name), uid in before.items():
            self._reader.forget(uid)
            if change := self._registry.remove(namespace, name, uid):
                missed += 1
                self.on_change(change)
        for feed in self._feeds:
            await feed.resync(self._lister, self._namespaces)
        self.look_at_everybody()
        self._resynced_at = self._now()
        if relists == self._relists and not self._resync_due.is_set():
            self.current.set()
        if missed and not relisted:
            self._missed_at = self._missed_at or self._now()
            logger.info("resync found %d changes that the watch has not reported yet", missed)

    def _until_next_resync(self) -> float:
        return self._resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311

    def look_at_everybody(self) -> None:
        """Have every known instance reconciled."""
        for instance in self._registry:
            self._queue.add((instance.namespace, instance.name))

    def problems(self) -> list[str]:
        """Say what is wrong with the flow of events; empty when all is well."""
        now, found = self._now(), []
        if self._resynced_at is not None and now - self._resynced_at > 2.5 * self._resync_seconds:
            found.append(f"no resync for {now - self._resynced_at:.0f} s")
        if self._missed_at is not None and now - self._missed_at > _DEAF_SECONDS:
            found.append(f"the watch has been silent for {now - self._missed_at:.0f} s although something changed")
        return found

    def relist_begins(self) -> None:
        """Hear that the watch is about to start over: decide nothing until a resync has found the deletions."""
        if self.synced.is_set():
            self._relists += 1
            self.current.clear()

    def relist_ended(self) -> None:
        """Hear that it has: what the API server lists from now on is no older than what the watch starts from."""
        if self.synced.is_set():
            self._resync_due.set()

    def _read(self, raw: dict[str, Any]) -> Change | None:
        instance = self._reader.read(raw)
        return self._registry.put(instance) if instance else None
