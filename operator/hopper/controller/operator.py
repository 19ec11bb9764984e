"""The operator: everything put together and run in one event loop."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from hopper.adapters.connection import Connection
from hopper.adapters.coordination import KubeLease
from hopper.adapters.custom_resources import KubeInstances, KubeTemplates
from hopper.adapters.events import KubeEventRecorder
from hopper.adapters.kube import KubeClient
from hopper.adapters.lists import KubeLister
from hopper.adapters.owned_objects import KubeOwnedObjects
from hopper.api.names import DEFAULT_PREFIX, LEASE_NAME
from hopper.api.resources import INSTANCES, TEMPLATES, NamespacedName
from hopper.controller.election import Election
from hopper.controller.fanout import OWNED_OBJECT_DELAY, SUMMARY_DELAY, waiting_successors
from hopper.controller.hooks import Hook, Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.intake import Intake
from hopper.controller.monitoring import OperatorMetrics, StatusServer
from hopper.controller.queue import KeyedQueue
from hopper.controller.reconcile import Reconciler
from hopper.controller.template_reconciler import TemplateReconciler
from hopper.ports import ApiError, ConflictError, UnavailableError
from hopper.registry import InstanceChange
from hopper.watch import WatchHealth, until_served, watch_all

logger = logging.getLogger(__name__)

Work = Callable[[NamespacedName], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """How to run. No namespaces means all. `metrics_port` None: no HTTP server; 0: any free port.

    With `lease_namespace`, work only while holding the Lease there; None: this is the only replica. `prefix` begins the
    names of the objects that instances own.
    """

    namespaces: Collection[str] = ()
    metrics_port: int | None = None
    concurrency: int = 16
    resync_seconds: float = 600.0
    hooks: Sequence[Hook] = ()
    lease_namespace: str | None = None
    prefix: str = DEFAULT_PREFIX


class Operator:
    """Runs until `stop()` is called or the watch gives up."""

    def __init__(self, connection: Connection, options: OperatorOptions = OperatorOptions()) -> None:
        self._connection = connection
        self._options = options
        self.metrics = OperatorMetrics()
        self.indexes = Indexes()
        self.registry = self.indexes.instances
        host = os.environ.get("HOSTNAME") or socket.gethostname()
        # The Lease has connections of its own: it must not queue behind the work.
        self._lease_kube = KubeClient(connection.client(), self._count_request)
        self._election = self._candidate(options.lease_namespace, host) if options.lease_namespace else None
        self._kube = KubeClient(connection.client(), self._count_request, self._may_write)
        self.queue: KeyedQueue[NamespacedName] = KeyedQueue(
            self._only_when_leading(self._work),
            concurrency=options.concurrency,
            longest_delay=_longest_delay,
            on_error=self._report_failure,
        )
        self.events = KubeEventRecorder(
            self._kube,
            reporter=host,
            quiet_seconds=lambda: self.queue.quiet_seconds,
            on_drop=self.metrics.events_dropped.inc,
        )
        # Watches have connections of their own: there may be more of them than a pool holds.
        self._watch_kube = KubeClient(connection.client(unlimited=True), self._count_request)
        self._lister = KubeLister(self._watch_kube)
        feeds = self.indexes.feeds(options.namespaces, on_instance=self._look_at, on_template=self._on_template)
        self.intake = Intake(
            self.registry,
            self.indexes.reader,
            self.queue,
            self._lister,
            options.namespaces,
            feeds=feeds,
            listeners=[self._note_users],
            resync_seconds=options.resync_seconds,
        )
        hooks = Hooks.installed(options.hooks, without_slot=self.queue.without_slot)
        self._reconciler = Reconciler(
            self.indexes,
            KubeInstances(self._kube),
            KubeOwnedObjects(self._kube),
            self.events,
            hooks,
            self.metrics,
            on_change=self.intake.on_change,
            prefix=options.prefix,
        )
        templates = TemplateReconciler(self.indexes, KubeTemplates(self._kube))
        self._template_queue: KeyedQueue[NamespacedName] = KeyedQueue(
            self._only_when_leading(templates.reconcile),
            concurrency=2,
            longest_delay=_longest_delay,
            on_error=self._report_failure,
        )
        self.metrics.watch_instances(self.registry)
        self.metrics.watch_queue(lambda: len(self.queue), lambda: self.queue.age)
        self.metrics.watch_leadership(self._may_write)
        self.status_server = StatusServer(self.metrics, self.intake.resync.problems, self._unready)
        self._watch_health = WatchHealth(connection.configuration.host)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run the operator. Raises what the watch gives up on, and `LeadershipLostError`, in a group."""
        try:
            if self._options.metrics_port is not None:
                await self.status_server.start(self._options.metrics_port)
                logger.info("serving /metrics, /healthz and /readyz on port %d", self.status_server.port)
            await until_served(self._lister, (INSTANCES, TEMPLATES), self._stop)
            if self._stop.is_set():
                return
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(job) for job in (self._reconcile_all(), self.events.run())]

                def end_background() -> None:
                    for task in background:
                        task.cancel()

                try:
                    await watch_all(
                        self._connection,
                        self.intake.feeds,
                        self._lister,
                        stop=self._stop,
                        on_stop=end_background,
                        health=self._watch_health,
                    )
                finally:
                    end_background()
        finally:
            if self._election:
                await self._election.release()
            await self.status_server.stop()
            await self._kube.close()
            await self._watch_kube.close()
            await self._lease_kube.close()

    def stop(self) -> None:
        """Ask `run()` to return."""
        self._stop.set()

    async def _reconcile_all(self) -> None:
        await self.intake.sync()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self._template_queue.run())
            group.create_task(self.intake.resync.run())
            if self._election:
                group.create_task(self._lead(self._election))

    async def _lead(self, election: Election) -> None:
        """Stand by, with all instances known and none touched, until it is this replica's turn."""
        await election.acquire()
        self.intake.look_at_everybody()
        for template in self.indexes.templates:
            self._template_queue.add((template.namespace, template.name))
        await election.keep()

    def _candidate(self, namespace: str, host: str) -> Election:
        store = KubeLease(self._lease_kube, namespace, LEASE_NAME)
        return Election(store, f"{host}_{uuid.uuid4()}")

    def _may_write(self) -> bool:
        return self._election is None or self._election.is_leader

    def _look_at(self, namespace: str, name: str) -> None:
        self.queue.add((namespace, name), OWNED_OBJECT_DELAY)
        for successor in waiting_successors(name, self.registry.namespace(namespace)):
            self.queue.add((namespace, successor), OWNED_OBJECT_DELAY)

    def _on_template(self, namespace: str, template: str) -> None:
        self._template_queue.add((namespace, template))
        for user in self.registry.namespace(namespace).users(template):
            self.queue.add((namespace, user.name))

    def _note_users(self, change: InstanceChange) -> None:
        """Have templates count their users again, once for many changes."""
        used = {it.spec.template_ref.name if it and it.spec.template_ref else None for it in (change.old, change.new)}
        if len(used) == 2:  # one of them may be None: begun or ended
            for template in used - {None}:
                self._template_queue.add((change.subject.namespace, str(template)), SUMMARY_DELAY)

    def _only_when_leading(self, work: Work) -> Work:
        """Leave the work alone while standing by: who takes over looks at everybody. Decide nothing on old news."""

        async def guarded(key: NamespacedName) -> float | None:
            await self.intake.resync.until_current()
            return await work(key) if self._may_write() else None

        return guarded

    async def _work(self, key: NamespacedName) -> float | None:
        try:
            delay = await self._reconciler.reconcile(key)
        except ConflictError:
            self.metrics.reconciles.labels("conflict").inc()
            raise
        except Exception:
            self.metrics.reconciles.labels("error").inc()
            raise
        self.metrics.reconciles.labels("ok").inc()
        return delay

    def _report_failure(self, key: NamespacedName, error: Exception, delay: float) -> None:
        name = "/".join(key)
        if isinstance(error, ConflictError):
            logger.debug("%s: changed in between, looking again", name)
        elif isinstance(error, ApiError):
            logger.warning("%s: %s; trying again in %.1f s", name, error, delay)
        else:
            logger.error("%s: failed; trying again in %.1f s", name, delay, exc_info=error)

    def _count_request(self, verb: str, resource: str, code: int) -> None:
        self.metrics.api_requests.labels(verb, resource, code or "none").inc()

    def _unready(self) -> list[str]:
        unknown = [] if self.intake.synced.is_set() else ["the initial list is not complete"]
        return unknown + self._watch_health.problems()


def _longest_delay(error: Exception) -> float:
    """After an outage everything is to go on soon, however long it was; other errors do not pass by waiting."""
    return 10.0 if isinstance(error, UnavailableError) else 60.0
