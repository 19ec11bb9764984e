"""A namespace in memory: what surrounds the planner in a cluster, simulated closely enough to let it run.

Nothing happens by itself. The user acts through `apply`, `edit` and `delete`; `reconcile` is the operator looking at
one instance, `collect` is garbage collection looking at one, `work` is a workload getting on with what it was told.
`settle` lets all of them act, in any order, until nothing changes any more, and the clock run to the next appointment.

The operator's part is the real one: `parent_link`, `effective_state` and `plan`. Everything else is written from the
documentation of Kubernetes: finalizers, generations, uids, deletion in the background, in the foreground and with
orphans.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.model import Metadata, OwnerReference
from hopper.api.names import ORPHAN_FINALIZER
from hopper.domain.observed import HookFailure, Observed
from hopper.domain.plan import MetadataChange, Plan, Transition
from hopper.domain.planner import plan
from hopper.domain.workload import Failure, Workload
from tests.unit.domain.sample_instances import NOW, Forest, look

Cascade = Literal["background", "foreground", "orphan"]
FOREGROUND_FINALIZER = "foregroundDeletion"
# Refuses a transition by answering why; None lets it happen.
Hook = Callable[[Transition, HopperInstance], str | None]
# Sees each instance as it was, and what was planned for it, once that is written.
Witness = Callable[["SimulatedNamespace", HopperInstance, Plan], None]


class NeverSettlesError(AssertionError):
    """The world goes on changing."""


@dataclass
class Pods:
    """The workload of one instance: what is there, and how many starts are still going to fail."""

    are: Literal["absent", "starting", "up", "failed", "stopping"] = "absent"
    failures_left: int = 0

    def told(self, transition: Transition) -> None:
        """Hear of a transition: a start leaves behind what has failed before."""
        if transition.target is Phase.STARTING and self.are == "failed":
            self.are = "starting"

    def work(self, phase: Phase) -> bool:
        """Follow the phase of the instance, one step at a time; return whether anything happened."""
        before = self.are
        match phase, self.are:
            case Phase.ERROR, _:
                pass  # whatever failed is left for people to look at
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "absent" | "stopping":
                self.are = "starting"
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "starting" if self.failures_left:
                self.are, self.failures_left = "failed", self.failures_left - 1
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "starting":
                self.are = "up"
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, _:
                pass
            case _, "starting" | "up" | "failed":
                self.are = "stopping"
            case _, "stopping":
                self.are = "absent"
        return self.are != before

    def seen(self) -> Workload:
        failure = Failure(Reason.BACK_OFF, "crash loop") if self.are == "failed" else None
        return Workload(available=self.are == "up", gone=self.are == "absent", failure=failure)


class SimulatedNamespace(Forest):
    """The instances of one namespace, and everybody who acts on them."""

    def __init__(self, *instances: HopperInstance, hook: Hook | None = None) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.pods: dict[str, Pods] = {}  # of those that are more than logical
        self.strangers: set[str] = set()  # uids of owners that are no instances, and exist
        self.hook = hook
        self.witnesses: list[Witness] = []
        self.writes: Counter[tuple[str, str]] = Counter()  # the operator's own, by instance and kind
        self._due: dict[str, datetime] = {}
        self._uids = 0
        for instance in instances:
            self.apply(instance)

    def __getitem__(self, name: str) -> HopperInstance:
        return self.instances[name]

    # What a user does.

    def apply(self, wanted: HopperInstance) -> None:
        """Create the instance, or give the one of that name this spec; of its metadata only the name counts."""
        if wanted.name in self.instances:
            self._write_spec(wanted.name, wanted.spec)
            return
        self._uids += 1
        metadata = Metadata(
            name=wanted.name, namespace=wanted.namespace, uid=f"uid-{self._uids}", creation_timestamp=self.now
        )
        self._put(HopperInstance(metadata=metadata, spec=wanted.spec, status=InstanceStatus()))

    def edit(self, name: str, **spec: Any) -> None:
        """Change some fields of a spec."""
        self._write_spec(name, replace(self[name].spec, **spec))

    def delete(self, name: str, cascade: Cascade = "background") -> bool:
        """Ask for a deletion; return whether it was admitted, which protection prevents."""
        metadata = self[name].metadata
        if self[name].spec.deletion_protection:
            return False
        if metadata.deletion_timestamp is None:
            added = {"orphan": (ORPHAN_FINALIZER,), "foreground": (FOREGROUND_FINALIZER,)}.get(cascade, ())
            self._write_metadata(
                name,
                deletion_timestamp=self.now,
                generation=metadata.generation + 1,
                finalizers=(*metadata.finalizers, *added),
            )
        return True

    def strip(self, name: str) -> None:
        """Take the ownerReferences away, as somebody with an editor might."""
        self._write_metadata(name, owner_references=())

    # What the operator does.

    def observe(self, name: str) -> Observed:
        """Gather what the planner sees of an instance."""
        observed = look(self[name], self, self.now)
        return replace(observed, workload=self.pods[name].seen()) if name in self.pods else observed

    def reconcile(self, name: str) -> bool:
        """Look at one instance once; return whether anything was written."""
        if name not in self.instances:
            return False
        before = self[name]
        observed = self.observe(name)
        decided = plan(observed)
        if refusal := self._ask_hook(decided, before):
            decided = plan(replace(observed, hook_failure=refusal))
        wrote = self._carry_out(before, decided)
        self._due.pop(name, None)
        if decided.requeue_after is not None and name in self.instances:
            # Timestamps have whole seconds, and so has the operator's clock.
            self._due[name] = self.now + timedelta(seconds=math.ceil(max(decided.requeue_after, 0)))
        for witness in self.witnesses:
            witness(self, before, decided)
        return wrote

    def _ask_hook(self, decided: Plan, instance: HopperInstance) -> HookFailure | None:
        if self.hook is None:
            return None
        for transition in decided.transitions:
            message = self.hook(transition, instance)
            if message is not None and transition.target is not Phase.ERROR:
                return HookFailure(transition.source, transition.target, message)
        return None

    def _carry_out(self, before: HopperInstance, decided: Plan) -> bool:
        name = before.name
        if decided.delete:
            self.writes[name, "delete"] += 1
            assert self.delete(name), f"the operator may not delete {name}: it is protected"
            return True
        wrote = False
        if decided.metadata:
            self._write_references(name, decided.metadata)
            wrote = True
        if decided.status is not None and decided.status != before.status:
            self.writes[name, "status"] += 1
            self._put(replace(self[name], status=decided.status))
            wrote = True
            if name in self.pods:
                for transition in decided.transitions:
                    self.pods[name].told(transition)
        return wrote

    def _write_references(self, name: str, change: MetadataChange) -> None:
        self.writes[name, "metadata"] += 1
        added = set(change.finalizers) - set(self[name].metadata.finalizers)
        assert not (added and self[name].metadata.deletion_timestamp), "no finalizer may be added during deletion"
        self._write_metadata(name, owner_references=change.owner_references, finalizers=change.finalizers)

    # What garbage collection does.

    def collect(self, name: str) -> bool:
        """Look at one instance as garbage collection does; return whether anything happened."""
        if name not in self.instances:
            return False
        metadata = self[name].metadata
        if metadata.deletion_timestamp:
            if ORPHAN_FINALIZER in metadata.finalizers:
                return self._let_go(name)
            if FOREGROUND_FINALIZER in metadata.finalizers:
                return self._delete_dependents_first(name)
            return False
        alive = tuple(reference for reference in metadata.owner_references if self._exists(reference))
        if len(alive) == len(metadata.owner_references):
            return False
        if alive:
            self._write_metadata(name, owner_references=alive)
            return True
        return self.delete(name)

    def _let_go(self, owner: str) -> bool:
        uid = self[owner].metadata.uid
        for name, references in self._dependents(owner):
            self._write_metadata(name, owner_references=tuple(it for it in references if it.uid != uid))
        self._drop_finalizer(owner, ORPHAN_FINALIZER)
        return True

    def _delete_dependents_first(self, owner: str) -> bool:
        blocking = [name for name, _ in self._dependents(owner)]
        if not blocking:
            self._drop_finalizer(owner, FOREGROUND_FINALIZER)
            return True
        deletable = [name for name in blocking if self[name].metadata.deletion_timestamp is None]
        return sum(self.delete(name, "foreground") for name in deletable) > 0

    def _dependents(self, owner: str) -> list[tuple[str, tuple[OwnerReference, ...]]]:
        uid = self[owner].metadata.uid
        every = [(one.name, one.metadata.owner_references) for one in self.instances.values()]
        return [(name, references) for name, references in every if any(it.uid == uid for it in references)]

    def _exists(self, reference: OwnerReference) -> bool:
        owner = self.get(reference.name)
        return reference.uid in self.strangers or (owner is not None and owner.metadata.uid == reference.uid)

    # What time does.

    def work(self, name: str) -> bool:
        """Let the workload of an instance get on; return whether anything happened."""
        return name in self.instances and name in self.pods and self.pods[name].work(self[name].status.phase)

    def act_once(self, order: Random | None = None) -> bool:
        """Let everybody act once; return whether anything happened. Without an order, it is that of the names."""
        actors = [(act, name) for name in sorted(self.instances) for act in (self.reconcile, self.collect, self.work)]
        if order is not None:
            order.shuffle(actors)
        return sum(act(name) for act, name in actors) > 0

    def settle(self, order: Random | None = None, *, within: float = 3600, rounds: int = 200) -> None:
        """Let everybody act until nothing happens any more, and no appointment lies `within` so many seconds.

        Raises `NeverSettlesError` where things go on happening without time passing.
        """
        end = self.now + timedelta(seconds=within)
        while True:
            for _ in range(rounds):
                if not self.act_once(order):
                    break
            else:
                raise NeverSettlesError(f"still changing after {rounds} rounds:\n{self.describe()}")
            due = min(self._due.values(), default=end)
            if due >= end:
                return
            self.now = max(due, self.now + timedelta(seconds=1))

    # What a test looks at.

    def picture(self) -> dict[str, dict[str, Any]]:
        """Return the state of everybody, without what depends on the way there: times, counts, uids, and messages."""
        return {name: _portrait(self[name]) for name in sorted(self.instances)}

    def phases(self) -> dict[str, Phase]:
        return {name: self[name].status.phase for name in sorted(self.instances)}

    def describe(self) -> str:
        return "\n".join(f"{name}: {portrait}" for name, portrait in self.picture().items())

    # The API server.

    def _write_spec(self, name: str, spec: Any) -> None:
        before = self[name]
        if spec != before.spec:
            metadata = replace(before.metadata, generation=before.metadata.generation + 1)
            self._put(replace(before, spec=spec, metadata=metadata))

    def _write_metadata(self, name: str, **changes: Any) -> None:
        metadata = replace(self[name].metadata, **changes)
        if metadata.deletion_timestamp and not metadata.finalizers:
            self._drop(name)
        else:
            self._put(replace(self[name], metadata=metadata))

    def _drop_finalizer(self, name: str, finalizer: str) -> None:
        self._write_metadata(name, finalizers=tuple(it for it in self[name].metadata.finalizers if it != finalizer))

    def _put(self, instance: HopperInstance) -> None:
        old = self.get(instance.name)
        self.instances[instance.name] = instance
        self.changed(old, instance)

    def _drop(self, name: str) -> None:
        old = self.instances.pop(name)
        self._due.pop(name, None)
        self.changed(old, None)

    def changed(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        """Hear of a change, as a watch would."""


def _portrait(instance: HopperInstance) -> dict[str, Any]:
    status, metadata = instance.status, instance.metadata
    return {
        "phase": status.phase.value,
        "effectiveState": status.effective_state and status.effective_state.value,
        "conditions": sorted(f"{it.type}={it.status} {it.reason}" for it in status.conditions),
        "owners": sorted(reference.name for reference in metadata.owner_references),
        "finalizers": sorted(metadata.finalizers),
        "path": status.path,
        "depth": status.depth,
        "children": status.children and (status.children.total, status.children.ready),
        "deleted": metadata.deletion_timestamp is not None,
    }


def fresh(instances: Iterable[HopperInstance]) -> SimulatedNamespace:
    """Return a world in which these specs were applied in order, and everything has settled."""
    world = SimulatedNamespace(*instances)
    world.settle()
    return world
