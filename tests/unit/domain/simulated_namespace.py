"""Simulation of one namespace in memory: API server, garbage collection, pods and the operator.

Nothing happens by itself. A user acts through `apply`, `edit` and `delete`. `reconcile` runs the operator for one
instance, `collect_garbage` runs garbage collection, and `run_pods` advances the pods. `settle` runs all of them in any
order until nothing changes any more, and moves the clock to the next requeue.

The operator is the real one: `parent_link`, `effective_state` and `plan`. The rest follows the documentation of
Kubernetes: finalizers, generations, uids, and background, foreground and orphaning deletion.
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
from tests.unit.domain.sample_instances import NOW, InMemoryTree, observe_in_tree

Cascade = Literal["background", "foreground", "orphan"]
FOREGROUND_FINALIZER = "foregroundDeletion"
# Returns the reason for refusing a transition; None to allow it.
Hook = Callable[[Transition, HopperInstance], str | None]
# Called after each reconcile with the instance as it was before, and its plan.
StepCheck = Callable[["SimulatedNamespace", HopperInstance, Plan], None]


class NeverSettlesError(AssertionError):
    """The namespace keeps changing although no time passes."""


@dataclass
class Pods:
    """Pods of one instance, and the number of starts that will still fail."""

    state: Literal["absent", "starting", "up", "failed", "stopping"] = "absent"
    failures_left: int = 0

    def on_transition(self, transition: Transition) -> None:
        """Handle a transition of the instance: a start replaces failed pods."""
        if transition.target is Phase.STARTING and self.state == "failed":
            self.state = "starting"

    def step(self, phase: Phase) -> bool:
        """Advance one step towards the phase of the instance; return whether anything changed."""
        before = self.state
        match phase, self.state:
            case Phase.ERROR, _:
                pass  # failed pods stay for inspection
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "absent" | "stopping":
                self.state = "starting"
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "starting" if self.failures_left:
                self.state, self.failures_left = "failed", self.failures_left - 1
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, "starting":
                self.state = "up"
            case Phase.STARTING | Phase.RUNNING | Phase.PAUSED, _:
                pass
            case _, "starting" | "up" | "failed":
                self.state = "stopping"
            case _, "stopping":
                self.state = "absent"
        return self.state != before

    def workload(self) -> Workload:
        failure = Failure(Reason.BACK_OFF, "crash loop") if self.state == "failed" else None
        return Workload(available=self.state == "up", gone=self.state == "absent", failure=failure)


class SimulatedNamespace(InMemoryTree):
    """Instances of one namespace, with everything that acts on them."""

    def __init__(self, *instances: HopperInstance, hook: Hook | None = None) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.pods: dict[str, Pods] = {}  # by instance; none for a logical instance
        self.foreign_owners: set[str] = set()  # uids of existing owners of other kinds
        self.hook = hook
        self.step_checks: list[StepCheck] = []
        self.writes: Counter[tuple[str, str]] = Counter()  # writes of the operator by instance and kind
        self._due: dict[str, datetime] = {}
        self._uids = 0
        for instance in instances:
            self.apply(instance)

    def __getitem__(self, name: str) -> HopperInstance:
        return self.instances[name]

    # User.

    def apply(self, wanted: HopperInstance) -> None:
        """Create the instance, or replace the spec of the existing one; other metadata is ignored."""
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
        """Request a deletion; return whether it was admitted, which deletion protection prevents."""
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

    def strip_owner_references(self, name: str) -> None:
        """Remove the ownerReferences, as a user with an editor might."""
        self._write_metadata(name, owner_references=())

    # Operator.

    def observe(self, name: str) -> Observed:
        """Return the observation of an instance."""
        observed = observe_in_tree(self[name], self, self.now)
        return replace(observed, workload=self.pods[name].workload()) if name in self.pods else observed

    def reconcile(self, name: str) -> bool:
        """Reconcile one instance once; return whether anything was written."""
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
            # The operator's clock has whole seconds, like Kubernetes timestamps.
            self._due[name] = self.now + timedelta(seconds=math.ceil(max(decided.requeue_after, 0)))
        for step_check in self.step_checks:
            step_check(self, before, decided)
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
                    self.pods[name].on_transition(transition)
        return wrote

    def _write_references(self, name: str, change: MetadataChange) -> None:
        self.writes[name, "metadata"] += 1
        added = set(change.finalizers) - set(self[name].metadata.finalizers)
        assert not (added and self[name].metadata.deletion_timestamp), "no finalizer may be added during deletion"
        self._write_metadata(name, owner_references=change.owner_references, finalizers=change.finalizers)

    # Garbage collection.

    def collect_garbage(self, name: str) -> bool:
        """Run garbage collection for one instance; return whether anything changed."""
        if name not in self.instances:
            return False
        metadata = self[name].metadata
        if metadata.deletion_timestamp:
            if ORPHAN_FINALIZER in metadata.finalizers:
                return self._orphan_dependents(name)
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

    def _orphan_dependents(self, owner: str) -> bool:
        uid = self[owner].metadata.uid
        for name, references in self._dependents(owner):
            self._write_metadata(
                name, owner_references=tuple(reference for reference in references if reference.uid != uid)
            )
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
        every = [(member.name, member.metadata.owner_references) for member in self.instances.values()]
        return [
            (name, references) for name, references in every if any(reference.uid == uid for reference in references)
        ]

    def _exists(self, reference: OwnerReference) -> bool:
        owner = self.get(reference.name)
        return reference.uid in self.foreign_owners or (owner is not None and owner.metadata.uid == reference.uid)

    # Pods and time.

    def run_pods(self, name: str) -> bool:
        """Advance the pods of an instance; return whether anything changed."""
        return name in self.instances and name in self.pods and self.pods[name].step(self[name].status.phase)

    def act_once(self, order: Random | None = None) -> bool:
        """Run every actor once for every instance, by name or in a random order; return whether anything changed."""
        actors = [
            (act, name)
            for name in sorted(self.instances)
            for act in (self.reconcile, self.collect_garbage, self.run_pods)
        ]
        if order is not None:
            order.shuffle(actors)
        return sum(act(name) for act, name in actors) > 0

    def settle(self, order: Random | None = None, *, within: float = 3600, rounds: int = 200) -> None:
        """Run all actors until nothing changes any more and no requeue is due `within` so many seconds.

        Raises `NeverSettlesError` if changes continue without time passing.
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

    # State for assertions.

    def outcome(self) -> dict[str, dict[str, Any]]:
        """Return the state of all instances without what depends on history: times, counts, uids and messages."""
        return {name: _outcome_of(self[name]) for name in sorted(self.instances)}

    def phases(self) -> dict[str, Phase]:
        return {name: self[name].status.phase for name in sorted(self.instances)}

    def describe(self) -> str:
        return "\n".join(f"{name}: {state}" for name, state in self.outcome().items())

    # API server.

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
        self._write_metadata(
            name, finalizers=tuple(reference for reference in self[name].metadata.finalizers if reference != finalizer)
        )

    def _put(self, instance: HopperInstance) -> None:
        old = self.get(instance.name)
        self.instances[instance.name] = instance
        self.on_change(old, instance)

    def _drop(self, name: str) -> None:
        old = self.instances.pop(name)
        self._due.pop(name, None)
        self.on_change(old, None)

    def on_change(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        """Handle a change, as a watch would; for subclasses."""


def _outcome_of(instance: HopperInstance) -> dict[str, Any]:
    status, metadata = instance.status, instance.metadata
    return {
        "phase": status.phase.value,
        "effectiveState": status.effective_state and status.effective_state.value,
        "conditions": sorted(
            f"{reference.type}={reference.status} {reference.reason}" for reference in status.conditions
        ),
        "owners": sorted(reference.name for reference in metadata.owner_references),
        "finalizers": sorted(metadata.finalizers),
        "path": status.path,
        "depth": status.depth,
        "children": status.children and (status.children.total, status.children.ready),
        "deleted": metadata.deletion_timestamp is not None,
    }


def settled_namespace(instances: Iterable[HopperInstance]) -> SimulatedNamespace:
    """Return a namespace in which these specs were applied in order and have settled."""
    namespace = SimulatedNamespace(*instances)
    namespace.settle()
    return namespace
