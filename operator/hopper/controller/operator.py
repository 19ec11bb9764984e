"""The operator: all parts connected, and run in one event loop."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from hopper.adapters.connection import Connection
from hopper.adapters.coordination import KubeLease
from hopper.adapters.custom_resources import KubeInstances, KubeTemplates
from hopper.adapters.events import KubeEventRecorder
from hopper.adapters.kube import KubeClient
from hopper.adapters.lists import KubeLister
from hopper.adapters.owned_objects import KubeOwnedObjects
from hopper.api.instance import HopperInstance
from hopper.api.names import DEFAULT_PREFIX, LEASE_NAME
from hopper.api.resources import INSTANCES, TEMPLATES, NamespacedName
from hopper.api.template import ResourceAmounts
from hopper.controller.election import Election
from hopper.controller.fanout import OWNED_OBJECT_DELAY, SUMMARY_DELAY, waiting_successors
from hopper.controller.hooks import Hook, Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.intake import Intake
from hopper.controller.monitoring import OperatorMetrics, StatusServer
from hopper.controller.queue import KeyedQueue
from hopper.controller.reconcile import Reconciler
from hopper.controller.template_reconciler import TemplateReconciler
from hopper.domain.service.blueprint import NO_LIMITS
from hopper.domain.service.domains import NO_SUFFIXES, DomainPolicy
from hopper.ports import ApiError, ConflictError, UnavailableError
from hopper.process.process import Process
from hopper.process.system import exempt_loaded_objects_from_gc
from hopper.registry import InstanceChange
from hopper.watch import WatchHealth, until_served, watch_all

logger = logging.getLogger(__name__)

Work = Callable[[NamespacedName], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """Options of the operator.

    No `namespaces` stands for all namespaces. `metrics_port` None starts no HTTP server, and 0 picks a free port. With
    `lease_namespace`, the operator works only while it holds the Lease in that namespace; None stands for a single
    replica. `prefix` begins the names of owned objects. `domain_policy` says which domains instances may claim.
    `default_limits` are the limits of containers whose service sets none.
    """

    namespaces: Collection[str] = ()
    metrics_port: int | None = None
    concurrency: int = 16
    resync_seconds: float = 600.0
    hooks: Sequence[Hook] = ()
    lease_namespace: str | None = None
    prefix: str = DEFAULT_PREFIX
    domain_policy: DomainPolicy = NO_SUFFIXES
    default_limits: ResourceAmounts = NO_LIMITS


def run_operator(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    leader_elect: bool,
    options: OperatorOptions,
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the operator as this process until it is stopped, and return the exit code, which is 1 after a failure.

    `leader_elect` without a `lease_namespace` in `options` puts the Lease into the operator's own namespace.
    """
    process = Process("operator", namespaces, all_namespaces, verbose, json_logs)
    process.set_up()
    exempt_loaded_objects_from_gc()

    def create(connection: Connection, served: tuple[str, ...]) -> Operator:
        lease_namespace = (options.lease_namespace or connection.namespace) if leader_elect else None
        return Operator(connection, replace(options, namespaces=served, lease_namespace=lease_namespace))

    return process.run(create, port=options.metrics_port, port_option="--metrics-port")


class Operator:
    """The operator. It runs until `stop()` is called or a part of it fails for good."""

    def __init__(self, connection: Connection, options: OperatorOptions = OperatorOptions()) -> None:
        self._connection = connection
        self._options = options
        self.metrics = OperatorMetrics()
        self.indexes = Indexes()
        self.instances = self.indexes.instances
        host = os.environ.get("HOSTNAME") or socket.gethostname()
        # The Lease has connections of its own, because a renewal must not queue behind other requests.
        self._lease_kube = KubeClient(connection.client(), self._count_request)
        self._election = self._candidate(options.lease_namespace, host) if options.lease_namespace else None
        self._kube = KubeClient(connection.client(), self._count_request, self._may_write)
        # Watches have connections of their own, because there may be more of them than a pool holds.
        self._watch_kube = KubeClient(connection.client(unlimited=True), self._count_request)
        self._lister = KubeLister(self._watch_kube)
        self.queue = self._new_queue(self._reconcile, concurrency=options.concurrency)
        self.events = KubeEventRecorder(
            self._kube,
            reporter=host,
            quiet_seconds=lambda: self.queue.quiet_seconds,
            on_drop=self.metrics.events_dropped.inc,
        )
        self.intake = Intake(
            self.instances,
            self.indexes.reader,
            self.queue,
            self._lister,
            options.namespaces,
            feeds=self.indexes.feeds(
                options.namespaces, on_instance=self._requeue_owner, on_template=self._requeue_template_and_users
            ),
            listeners=[self._requeue_templates_of],
            resync_seconds=options.resync_seconds,
        )
        self._reconciler = Reconciler(
            self.indexes,
            KubeInstances(self._kube),
            KubeOwnedObjects(self._kube),
            self.events,
            Hooks.installed(options.hooks, without_slot=self.queue.without_slot),
            self.metrics,
            on_change=self.intake.on_change,
            prefix=options.prefix,
            domain_policy=options.domain_policy,
            default_limits=options.default_limits,
        )
        templates = TemplateReconciler(self.indexes, KubeTemplates(self._kube))
        self._template_queue = self._new_queue(templates.reconcile, concurrency=2)
        self.metrics.watch_instances(self.instances)
        self.metrics.watch_queue(lambda: len(self.queue), lambda: self.queue.age)
        self.metrics.watch_leadership(self._may_write)
        self.status_server = StatusServer(self.metrics, self.intake.resync.problems, self._readiness_problems)
        self._watch_health = WatchHealth(connection.configuration.host)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run the operator until it is stopped.

        Raises an exception group with the failure of the watch, or with `LeadershipLostError`.
        """
        try:
            if self._options.metrics_port is not None:
                await self.status_server.start(self._options.metrics_port)
                logger.info("serving /metrics, /healthz and /readyz on port %d", self.status_server.port)
            await until_served(self._lister, (INSTANCES, TEMPLATES), self._stop)
            if self._stop.is_set():
                return
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(job) for job in (self._reconcile_all(), self.events.run())]

                def cancel_background() -> None:
                    for task in background:
                        task.cancel()

                try:
                    await watch_all(
                        self._connection,
                        self.intake.feeds,
                        self._lister,
                        stop=self._stop,
                        on_stop=cancel_background,
                        health=self._watch_health,
                    )
                finally:
                    cancel_background()
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
        """Wait for the Lease, then requeue everything, because nothing was reconciled while standing by."""
        await election.acquire()
        self.intake.requeue_all()
        for template in self.indexes.templates:
            self._template_queue.add((template.namespace, template.name))
        await election.keep()

    def _candidate(self, namespace: str, host: str) -> Election:
        store = KubeLease(self._lease_kube, namespace, LEASE_NAME)
        return Election(store, f"{host}_{uuid.uuid4()}")

    def _may_write(self) -> bool:
        return self._election is None or self._election.is_leader

    def _new_queue(self, work: Work, *, concurrency: int) -> KeyedQueue[NamespacedName]:
        return KeyedQueue(
            self._only_when_leading(work),
            concurrency=concurrency,
            longest_delay=_longest_delay,
            on_error=self._log_failure,
        )

    def _only_when_leading(self, work: Work) -> Work:
        """Return `work` that does nothing while standing by, and waits while a feed lists its kind again."""

        async def guarded(key: NamespacedName) -> float | None:
            await self.intake.resync.until_current()
            return await work(key) if self._may_write() else None

        return guarded

    def _requeue_owner(self, namespace: str, name: str) -> None:
        """Requeue an instance whose owned objects or heartbeats changed, and its successors."""
        self.queue.add((namespace, name), OWNED_OBJECT_DELAY)
        for successor in waiting_successors(name, self.instances.namespace(namespace)):
            self.queue.add((namespace, successor), OWNED_OBJECT_DELAY)

    def _requeue_template_and_users(self, namespace: str, template: str) -> None:
        self._template_queue.add((namespace, template))
        for user in self.instances.namespace(namespace).users(template):
            self.queue.add((namespace, user.name))

    def _requeue_templates_of(self, change: InstanceChange) -> None:
        """Requeue the templates that gained or lost the instance as a user."""
        old, new = _template_name(change.old), _template_name(change.new)
        if old != new:
            for template in filter(None, (old, new)):
                self._template_queue.add((change.instance.namespace, template), SUMMARY_DELAY)

    async def _reconcile(self, key: NamespacedName) -> float | None:
        """Reconcile one instance, and count the result."""
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

    def _log_failure(self, key: NamespacedName, error: Exception, delay: float) -> None:
        name = "/".join(key)
        if isinstance(error, ConflictError):
            logger.debug("%s: an object changed meanwhile, trying again", name)
        elif isinstance(error, ApiError):
            logger.warning("%s: %s; trying again in %.1f s", name, error, delay)
        else:
            logger.error("%s: failed; trying again in %.1f s", name, delay, exc_info=error)

    def _count_request(self, verb: str, resource: str, code: int) -> None:
        self.metrics.api_requests.labels(verb, resource, code or "none").inc()

    def _readiness_problems(self) -> list[str]:
        unsynced = [] if self.intake.synced.is_set() else ["the initial list is not complete"]
        return unsynced + self._watch_health.problems()


def _template_name(instance: HopperInstance | None) -> str | None:
    return instance.spec.template_ref.name if instance and instance.spec.template_ref else None


def _longest_delay(error: Exception) -> float:
    """Return the longest retry delay in seconds.

    It is short for an unavailable API server, so that work resumes soon after a long outage. Other errors usually last
    until an object or a permission changes.
    """
    return 10.0 if isinstance(error, UnavailableError) else 60.0
