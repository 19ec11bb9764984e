"""The reconcile of an instance: gather → plan → apply → status."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.names import DEFAULT_PREFIX
from hopper.api.resources import Manifest, NamespacedName
from hopper.api.template import ResourceAmounts
from hopper.controller.apply import ObjectApplier, ObjectRefusedError
from hopper.controller.gather import gather
from hopper.controller.hooks import Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.monitoring import OperatorMetrics
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.followup import Refusal, can_apply_the_rest, with_refusals
from hopper.domain.observed import Observed
from hopper.domain.plan import Plan, Transition
from hopper.domain.planner import plan
from hopper.domain.renaming import takeover_start
from hopper.domain.service.blueprint import NO_LIMITS
from hopper.domain.service.domains import NO_SUFFIXES, DomainPolicy
from hopper.domain.walk import IllegalTransitionError
from hopper.ports import (
    ConflictError,
    EventRecorder,
    InstanceStore,
    NameInUseError,
    NotFoundError,
    OwnedObjectStore,
    RefusedError,
)
from hopper.process.system import wall_clock
from hopper.registry import InstanceChange

logger = logging.getLogger(__name__)

# Deletions that get an Event, because no user asked for them by name.
_DELETION_EVENTS = {
    Reason.TTL_EXPIRED: "deleted because its time to live is over (spec.ttlSecondsAfterFinished)",
    Reason.RENAMED: "deleted because another instance has replaced it (spec.renamedFrom of that instance)",
}


class Reconciler:
    """Reconciler that brings one instance at a time closer to its effective state."""

    def __init__(
        self,
        indexes: Indexes,
        store: InstanceStore,
        owned: OwnedObjectStore,
        events: EventRecorder,
        hooks: Hooks,
        metrics: OperatorMetrics,
        *,
        on_change: Callable[[InstanceChange], None],
        prefix: str = DEFAULT_PREFIX,
        domain_policy: DomainPolicy = NO_SUFFIXES,
        default_limits: ResourceAmounts = NO_LIMITS,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._instances = indexes.instances
        self._heartbeats = indexes.heartbeats
        self._reader = indexes.reader
        self._runtimes = RuntimeGatherer(
            indexes.templates, indexes.owned_objects, prefix, domain_policy, default_limits
        )
        self._objects = ObjectApplier(indexes.owned_objects, owned)
        self._store = store
        self._events = events
        self._hooks = hooks
        self._metrics = metrics
        self._on_change = on_change
        self._clock = clock

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Reconcile one instance, and return the seconds after which to requeue it; None if only a change requires it.

        Raises `ApiError` if a write fails; the queue then retries.
        """
        namespace, name = key
        tree = self._instances.namespace(namespace)
        instance = tree.get(name)
        if instance is None:
            self._runtimes.forget(namespace, name)
            return None
        problems = self._reader.problems(instance)
        heard = self._heartbeats.record(instance)
        now = self._clock().replace(microsecond=0)  # Kubernetes timestamps have whole seconds
        observed = gather(instance, tree, self._runtimes, now, heartbeats=heard, spec_problems=problems)
        with self._metrics.reconcile_seconds.time():
            try:
                return await self._apply(observed, self._plan(observed))
            except NotFoundError:
                logger.debug("%s/%s no longer exists", namespace, name)
                return None

    def _plan(self, observed: Observed) -> Plan:
        try:
            return plan(observed)
        except IllegalTransitionError:
            self._metrics.illegal_transitions.inc()
            raise

    async def _apply(self, observed: Observed, decided: Plan) -> float | None:
        if decided.delete is None:
            return await self._update(observed, decided)
        try:
            await self._store.delete(observed.instance)
        except RefusedError as error:
            observed = replace(observed, refusal=f"deletion ({decided.delete}): {error}")
            await self._update(observed, self._plan(observed))
            raise
        _log(observed.instance, observed.instance.name, f"deleting ({decided.delete})", decided.delete)
        if decided.delete in _DELETION_EVENTS:
            self._events.record(observed.instance, reason=decided.delete, message=_DELETION_EVENTS[decided.delete])
        return None

    async def _update(self, observed: Observed, decided: Plan) -> float | None:
        """Write metadata, owned objects and status. The status is written even if the API server refuses the rest."""
        try:
            observed = await self._write_metadata(observed, decided)
            observed, decided = await self._run_hooks_before(observed, decided)
            await self._objects.apply(decided.objects)
        except RefusedError as error:
            await self._continue_after(error, observed)
            raise
        except NameInUseError as error:
            observed = replace(observed, name_conflict=str(error))
            await self._write_status(observed, self._plan(observed))
            raise
        return await self._write_status(observed, decided)

    async def _continue_after(self, error: RefusedError, observed: Observed) -> None:
        """Apply plans without the refused objects until one is accepted, and report all refusals in the status."""
        refusals = [_refusal(error)]
        while can_apply_the_rest(refusals):
            observed = self._runtimes.refresh_owned(with_refusals(observed, refusals))
            try:
                await self._objects.apply(self._plan(observed).objects)
                break
            except RefusedError as another:
                refusals.append(_refusal(another))
        observed = with_refusals(observed, refusals)
        await self._write_status(observed, self._plan(observed))

    async def _run_hooks_before(self, observed: Observed, decided: Plan) -> tuple[Observed, Plan]:
        failure = await self._hooks.before(decided.transitions, observed.instance)
        if failure is None:
            return observed, decided
        observed = replace(observed, hook_failure=failure)
        return observed, self._plan(observed)

    async def _write_metadata(self, observed: Observed, decided: Plan) -> Observed:
        if decided.metadata is None:
            return observed
        with self._reserve_child_slot(observed):
            raw = await self._store.write_metadata(observed.instance, decided.metadata)
            written = self._index(observed.instance, raw)
        self._report_hierarchy(written, decided)
        return replace(observed, instance=written)

    async def _write_status(self, observed: Observed, decided: Plan) -> float | None:
        if decided.status is None or decided.status == observed.instance.status:
            return decided.requeue_after
        with self._reserve_predecessor(observed, decided.status):
            raw = await self._store.write_status(observed.instance, decided.status)
            written = self._index(observed.instance, raw)
        if decided.metadata is None:  # otherwise reported when the metadata was written
            self._report_hierarchy(written, decided)
        for transition in decided.transitions:
            self._report_transition(written, transition)
        await self._hooks.after(decided.transitions, written)
        return decided.requeue_after

    def _reserve_child_slot(self, observed: Observed) -> AbstractContextManager[None]:
        """Reserve a child slot during the write; two children may compete for the last one."""
        if observed.link.parent is None:
            return nullcontext()
        tree = self._instances.namespace(observed.instance.namespace)
        return tree.reserve_slot(observed.instance, observed.link.parent)

    def _reserve_predecessor(self, observed: Observed, status: InstanceStatus) -> AbstractContextManager[None]:
        """Reserve the predecessor during the write that begins a takeover.

        Raises `ConflictError` if another successor was faster: two would divide the objects between them.
        """
        tree = self._instances.namespace(observed.instance.namespace)
        start = takeover_start(observed.instance, observed.takeover, status, tree)
        if start is None:
            return nullcontext()
        if start.conflict:
            raise ConflictError(start.conflict)
        return tree.reserve_slot(observed.instance, start.predecessor)

    def _index(self, before: HopperInstance, raw: Manifest) -> HopperInstance:
        """Put a written instance into the index, because the next reconcile may come before the watch event."""
        written = self._reader.read(raw)
        if written is None:
            return before
        metadata = written.metadata
        if metadata.deletion_timestamp and not metadata.finalizers:  # the write removed the last finalizer
            change = self._instances.remove(metadata.namespace, metadata.name, metadata.uid)
        else:
            change = self._instances.put(written)
        if change:
            self._on_change(change)
        return written

    def _report_transition(self, instance: HopperInstance, transition: Transition) -> None:
        self._metrics.transitions.labels(transition.source, transition.target, transition.reason).inc()
        because = f": {transition.message}" if transition.message else ""
        message = f"{transition.source} → {transition.target} ({transition.reason}){because}"
        failed = transition.target is Phase.ERROR
        _log(instance, instance.name, message, transition.reason, warning=failed)
        self._events.record(instance, reason=transition.target, message=message, warning=failed)

    def _report_hierarchy(self, instance: HopperInstance, decided: Plan) -> None:
        for event in decided.hierarchy_events:
            _log(instance, event.subject, f"{event.message} ({event.reason})", event.reason, warning=event.warning)
            if subject := self._instances.namespace(instance.namespace).get(event.subject):
                self._events.record(subject, reason=event.reason, message=event.message, warning=event.warning)


def _refusal(error: RefusedError) -> Refusal:
    return Refusal(str(error), error.key if isinstance(error, ObjectRefusedError) else None)


def _log(instance: HopperInstance, subject: str, message: str, reason: str, *, warning: bool = False) -> None:
    """Log a message about `subject`, an instance in the same namespace."""
    fields = {"namespace": instance.namespace, "instance": subject, "reason": reason}
    level = logging.WARNING if warning else logging.INFO
    logger.log(level, "%s/%s: %s", instance.namespace, subject, message, extra={"fields": fields})
