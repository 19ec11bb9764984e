"""One reconcile: gather → plan → apply → report."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.names import ANNOTATION_REVISION, DEFAULT_PREFIX, FIELD_MANAGER, LABEL_INSTANCE
from hopper.api.resources import Manifest, NamespacedName
from hopper.controller.gather import gather
from hopper.controller.hooks import Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.metrics import OperatorMetrics
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.objects import object_key
from hopper.domain.observed import Observed
from hopper.domain.plan import ObjectChanges, Plan, Transition
from hopper.domain.planner import plan
from hopper.domain.renaming import takeover_of
from hopper.domain.service.drift import foreign_field_patch
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

# Deletions that nobody has asked for by name.
_WORTH_AN_EVENT = {
    Reason.TTL_EXPIRED: "deleted, as its time to live is over (spec.ttlSecondsAfterFinished)",
    Reason.RENAMED: "deleted, as another instance has replaced it (spec.renamedFrom there)",
}


class Reconciler:
    """Brings one instance at a time closer to its effective state."""

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
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._registry = indexes.instances
        self._children = indexes.owned_objects
        self._beats = indexes.heartbeats
        self._reader = indexes.reader
        self._runtimes = RuntimeGatherer(indexes.templates, indexes.owned_objects, prefix)
        self._store = store
        self._owned = owned
        self._events = events
        self._hooks = hooks
        self._metrics = metrics
        self._on_change = on_change
        self._clock = clock

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Do what is to be done for one instance; return when to look again (seconds), None for at the next change.

        Raises `ports.ApiError` where the API server does not play along; the queue then comes back later.
        """
        namespace, name = key
        tree = self._registry.namespace(namespace)
        instance = tree.get(name)
        if instance is None:
            return None
        problems = self._reader.problems(instance)
        heard = self._beats.heard(instance)
        now = self._clock().replace(microsecond=0)  # Kubernetes timestamps have whole seconds
        observed = gather(instance, tree, self._runtimes, now, heard=heard, spec_problems=problems)
        with self._metrics.reconcile_seconds.time():
            try:
                return await self._apply(observed, self._plan(observed))
            except NotFoundError:
                logger.debug("%s/%s is gone", namespace, name)
                return None

    def _plan(self, observed: Observed) -> Plan:
        try:
            return plan(observed)
        except IllegalTransitionError:
            self._metrics.illegal_transitions.inc()
            raise

    async def _apply(self, observed: Observed, decided: Plan) -> float | None:
        if decided.delete is None:
            return await self._live_on(observed, decided)
        try:
            await self._store.delete(observed.instance)
        except RefusedError as error:
            observed = replace(observed, refusal=f"its deletion ({decided.delete}): {error}")
            await self._live_on(observed, self._plan(observed))
            raise
        _log(observed.instance, observed.instance.name, f"deleting ({decided.delete})", decided.delete)
        if decided.delete in _WORTH_AN_EVENT:
            self._events.record(observed.instance, reason=decided.delete, message=_WORTH_AN_EVENT[decided.delete])
        return None

    async def _live_on(self, observed: Observed, decided: Plan) -> float | None:
        try:
            observed = await self._apply_metadata(observed, decided)
            observed, decided = await self._ask_hooks(observed, decided)
            await self._apply_objects(decided.objects)
        except RefusedError as error:
            await self._go_on_without(observed, error)
            raise
        except NameInUseError as error:
            observed = replace(observed, name_conflict=str(error))
            await self._apply_status(observed, self._plan(observed))
            raise
        return await self._apply_status(observed, decided)

    async def _go_on_without(self, observed: Observed, error: RefusedError) -> None:
        """Do what can be done although the API server refuses some of it, and report that."""
        observed = replace(observed, refusal=str(error))
        while isinstance(error, _ObjectRefusedError) and error.key not in observed.refused:
            observed = self._runtimes.look_again(replace(observed, refused=observed.refused | {error.key}))
            try:
                await self._apply_objects(self._plan(observed).objects)
                break
            except RefusedError as another:
                error = another
                observed = replace(observed, refusal=f"{observed.refusal}; {another}")
        await self._apply_status(observed, self._plan(observed))

    async def _apply_metadata(self, observed: Observed, decided: Plan) -> Observed:
        if decided.metadata is None:
            return observed
        with self._seat_taken(observed):
            raw = await self._store.write_metadata(observed.instance, decided.metadata)
            written = self._take_in(observed.instance, raw)
        self._announce_all(written, decided)
        return replace(observed, instance=written)

    async def _ask_hooks(self, observed: Observed, decided: Plan) -> tuple[Observed, Plan]:
        failure = await self._hooks.before(decided.transitions, observed.instance)
        if failure is None:
            return observed, decided
        observed = replace(observed, hook_failure=failure)
        return observed, self._plan(observed)

    async def _apply_objects(self, changes: ObjectChanges) -> None:
        for live, change in changes.patch:
            with _naming(live):
                self._children.put(live["kind"], await self._owned.patch(live, change))
        taken_back = []
        for manifest, force in changes.apply:
            with _naming(manifest):
                answer = await self._apply_object(manifest, force)
                self._children.put(manifest["kind"], answer)
                if not force and _was_there(answer):
                    taken_back.append(manifest["kind"])
                if foreign := foreign_field_patch(manifest, answer):
                    self._children.put(manifest["kind"], await self._owned.json_patch(answer, foreign))
        for live in changes.delete:
            with _naming(live):
                await self._owned.delete(live)
        if taken_back:  # what was decided, was decided without knowing of them
            raise ConflictError(f"took back {', '.join(taken_back)}")

    async def _apply_object(self, manifest: Manifest, force: bool) -> Manifest:
        """Apply one object. What somebody has put there that excludes ours, such as another kind of volume, has to go.

        Only where nothing new is to be rolled out: of a change that is refused, no part may be carried out.
        """
        try:
            return await self._owned.apply(manifest, force=force)
        except RefusedError:
            metadata = manifest["metadata"]
            owned = self._children.of(metadata["namespace"], metadata["labels"][LABEL_INSTANCE])
            live = owned.get((manifest["kind"], metadata["name"]))
            if (
                live is None
                or _revision(live) != _revision(manifest)
                or not (foreign := foreign_field_patch(manifest, live))
            ):
                raise
            self._children.put(manifest["kind"], await self._owned.json_patch(live, foreign))
            return await self._owned.apply(manifest, force=force)

    def _seat_taken(self, observed: Observed) -> AbstractContextManager[None]:
        if observed.link.parent is None:
            return nullcontext()
        tree = self._registry.namespace(observed.instance.namespace)
        return tree.reserve_slot(observed.instance, observed.link.parent)

    def _place_taken(self, observed: Observed, status: InstanceStatus) -> AbstractContextManager[None]:
        """Let one newcomer at a time begin to take over: what is there would be divided between two.

        Raises `ConflictError` where another one was faster.
        """
        predecessor = observed.takeover.predecessor if observed.takeover else None
        if predecessor is None or status.predecessor == observed.instance.status.predecessor:
            return nullcontext()
        tree = self._registry.namespace(observed.instance.namespace)
        now = takeover_of(observed.instance, tree)
        if now and now.refusal:
            raise ConflictError(now.refusal)
        return tree.reserve_slot(observed.instance, predecessor)

    async def _apply_status(self, observed: Observed, decided: Plan) -> float | None:
        if decided.status is None or decided.status == observed.instance.status:
            return decided.requeue_after
        with self._place_taken(observed, decided.status):
            raw = await self._store.write_status(observed.instance, decided.status)
            written = self._take_in(observed.instance, raw)
        if decided.metadata is None:  # else announced when that was written
            self._announce_all(written, decided)
        for transition in decided.transitions:
            self._report(written, transition)
        await self._hooks.after(decided.transitions, written)
        return decided.requeue_after

    def _take_in(self, before: HopperInstance, raw: dict[str, object]) -> HopperInstance:
        """Remember what was written, so that the next look does not see the past."""
        written = self._reader.read(raw)
        if written is None:
            return before
        metadata = written.metadata
        if metadata.deletion_timestamp and not metadata.finalizers:  # nothing held it any more: it is gone
            change = self._registry.remove(metadata.namespace, metadata.name, metadata.uid)
        else:
            change = self._registry.put(written)
        if change:
            self._on_change(change)
        return written

    def _report(self, instance: HopperInstance, transition: Transition) -> None:
        self._metrics.transitions.labels(transition.source, transition.target, transition.reason).inc()
        because = f": {transition.message}" if transition.message else ""
        message = f"{transition.source} → {transition.target} ({transition.reason}){because}"
        failed = transition.target is Phase.ERROR
        _log(instance, instance.name, message, transition.reason, warning=failed)
        self._events.record(instance, reason=transition.target, message=message, warning=failed)

    def _announce_all(self, instance: HopperInstance, decided: Plan) -> None:
        for it in decided.hierarchy_events:
            _log(instance, it.subject, f"{it.message} ({it.reason})", it.reason, warning=it.warning)
            if subject := self._registry.namespace(instance.namespace).get(it.subject):
                self._events.record(subject, reason=it.reason, message=it.message, warning=it.warning)


class _ObjectRefusedError(RefusedError):
    """The API server refuses a change to one of the objects that an instance owns."""

    def __init__(self, manifest: Manifest, error: RefusedError) -> None:
        kind, name = self.key = object_key(manifest)
        message = str(error)
        super().__init__(message if name in message else f"{kind} {name}: {message}", code=error.code)


@contextmanager
def _naming(manifest: Manifest) -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise _ObjectRefusedError(manifest, error) from error


def _revision(manifest: Manifest) -> str | None:
    found: str | None = manifest["metadata"].get("annotations", {}).get(ANNOTATION_REVISION)
    return found


def _was_there(applied: Manifest) -> bool:
    """Tell whether others have had to do with an object before it was applied."""
    return any(entry["manager"] != FIELD_MANAGER for entry in applied["metadata"].get("managedFields", ()))


def _log(instance: HopperInstance, subject: str, message: str, reason: str, *, warning: bool = False) -> None:
    """Log about `subject`, an instance in the same namespace."""
    fields = {"namespace": instance.namespace, "instance": subject, "reason": reason}
    level = logging.WARNING if warning else logging.INFO
    logger.log(level, "%s/%s: %s", instance.namespace, subject, message, extra={"fields": fields})
