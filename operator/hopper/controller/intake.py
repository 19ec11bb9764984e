"""Intake: what the watch tells, into registry and queue, and the resync that checks the watch against the API."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence

from hopper.controller.fanout import affected
from hopper.controller.queue import KeyedQueue
from hopper.controller.reconcile import Key
from hopper.ports import ApiError, Lister
from hopper.registry import Change, Registry
from hopper.watch import Feed, Reader, instance_feed

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_DEAF_SECONDS = 30.0


class Intake:
    """Keeps registry and queue in step with the cluster.

    `synced` is set once everything that existed at the start is known.
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
        self._queue = queue
        self._lister = lister
        self._listeners = listeners
        self._resync_seconds = resync_seconds
        self._now = clock or (lambda: asyncio.get_running_loop().time())
        self._resynced_at: float | None = None
        self.feeds = (instance_feed(registry, reader, self._note, namespaces), *feeds)
        self.synced = asyncio.Event()

    def _note(self, change: Change) -> None:
        self.on_change(change)
        if change.new:
            self._queue.add((change.new.namespace, change.new.name))

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
        """Wait until all that exists is known."""
        await self.until_current()
        self._resynced_at = self._now()
        self.synced.set()
        logger.info("synced: %d instances", len(self._registry))

    async def until_current(self) -> None:
        """Wait while a feed starts over: what is decided meanwhile would be decided on old news.

        The uid of a parent that is gone would be written into ownerReferences, upon which garbage collection deletes
        the children.
        """
        for feed in self.feeds:
            if not feed.current.is_set():
                await feed.current.wait()

    async def run(self) -> None:
        """Resync slowly until cancelled."""
        wait = self._until_next_resync()
        while True:
            await asyncio.sleep(wait)
            try:
                await self.resync()
                wait = self._until_next_resync()
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                wait = _RETRY_SECONDS

    async def resync(self) -> None:
        """Compare what is known with the API server, mend what the watch has missed, and look at everybody again."""
        for feed in self.feeds:
            await feed.resync(self._lister)
        self.look_at_everybody()
        self._resynced_at = self._now()

    def _until_next_resync(self) -> float:
        return self._resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311

    def look_at_everybody(self) -> None:
        """Have every known instance reconciled."""
        for instance in self._registry:
            self._queue.add((instance.namespace, instance.name))

    def problems(self) -> list[str]:
        """Say what is wrong with the flow of events; empty when all is well."""
        found = []
        if self._resynced_at is not None and self._now() - self._resynced_at > 2.5 * self._resync_seconds:
            found.append(f"no resync for {self._now() - self._resynced_at:.0f} s")
        for feed in self.feeds:
            if feed.deaf_seconds > _DEAF_SECONDS:
                what = f"the watch of {feed.resource.plural} has been silent for {feed.deaf_seconds:.0f} s"
                found.append(f"{what} although something changed")
        return found
