"""Intake: changes from lists, watches and resyncs go into the instance index and the queue."""

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
    """The feeds of the operator and their resync. Each change of an instance requeues it and its relatives.

    `synced` is set once all feeds have listed everything that existed at the start. `listeners` are called with each
    change of an instance.
    """

    def __init__(
        self,
        instances: InstanceIndex,
        reader: InstanceReader,
        queue: KeyedQueue[NamespacedName],
        lister: Lister,
        namespaces: Collection[str],
        *,
        feeds: Sequence[Feed] = (),
        listeners: Sequence[Callable[[InstanceChange], None]] = (),
        resync_seconds: float = 600.0,
    ) -> None:
        self._instances = instances
        self._queue = queue
        self._listeners = listeners
        self.feeds = (instance_feed(instances, reader, self._on_watched_change, namespaces), *feeds)
        self.resync = Resync(self.feeds, lister, seconds=resync_seconds, on_done=self.requeue_all)
        self.synced = asyncio.Event()

    def _on_watched_change(self, change: InstanceChange) -> None:
        self.on_change(change)
        if change.new:
            self._queue.add((change.new.namespace, change.new.name))

    def on_change(self, change: InstanceChange) -> None:
        """Call the listeners, and requeue the relatives of a changed instance."""
        for listener in self._listeners:
            listener(change)
        if not self.synced.is_set():
            return  # all instances are in the queue already
        namespace = change.instance.namespace
        for name, delay in affected_relatives(change, self._instances.namespace(namespace)):
            self._queue.add((namespace, name), delay)

    async def sync(self) -> None:
        """Wait for the first complete list of every feed."""
        await self.resync.wait_for_first_lists()
        self.synced.set()
        logger.info("synced: %d instances", len(self._instances))

    def requeue_all(self) -> None:
        """Requeue all instances."""
        for instance in self._instances:
            self._queue.add((instance.namespace, instance.name))
