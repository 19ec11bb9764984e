"""Intake: what the watch tells, and what it has missed, into registry and queue."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from hopper.api.resources import NamespacedName
from hopper.controller.fanout import affected_relatives
from hopper.controller.queue import KeyedQueue
from hopper.ports import Lister
from hopper.registry import InstanceChange, InstanceIndex
from hopper.watch import Feed, InstanceReader, Resync, instance_feed

logger = logging.getLogger(__name__)


class Intake:
    """Keeps registry and queue in step with the cluster.

    `synced` is set once everything that existed at the start is known.
    """

    def __init__(
        self,
        registry: InstanceIndex,
        reader: InstanceReader,
        queue: KeyedQueue[NamespacedName],
        lister: Lister,
        namespaces: Collection[str],
        *,
        feeds: Sequence[Feed] = (),
        listeners: Sequence[Callable[[InstanceChange], None]] = (),
        resync_seconds: float = 600.0,
    ) -> None:
        self._registry = registry
        self._queue = queue
        self._listeners = listeners
        self.feeds = (instance_feed(registry, reader, self._note, namespaces), *feeds)
        self.resync = Resync(self.feeds, lister, seconds=resync_seconds, on_done=self.look_at_everybody)
        self.synced = asyncio.Event()

    def _note(self, change: InstanceChange) -> None:
        self.on_change(change)
        if change.new:
            self._queue.add((change.new.namespace, change.new.name))

    def on_change(self, change: InstanceChange) -> None:
        """Have the relatives of a changed instance look again, and tell the listeners."""
        for listener in self._listeners:
            listener(change)
        if not self.synced.is_set():
            return  # everybody is in the queue already
        namespace = change.subject.namespace
        for name, delay in affected_relatives(change, self._registry.namespace(namespace)):
            self._queue.add((namespace, name), delay)

    async def sync(self) -> None:
        """Wait until all that exists is known."""
        await self.resync.wait_for_first_lists()
        self.synced.set()
        logger.info("synced: %d instances", len(self._registry))

    def look_at_everybody(self) -> None:
        """Have every known instance reconciled."""
        for instance in self._registry:
            self._queue.add((instance.namespace, instance.name))
