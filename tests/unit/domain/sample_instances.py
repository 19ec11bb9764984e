"""Readable instances and observations: `instance("web", parent="global", phase=Phase.RUNNING)`.

What a test does not say has an unremarkable value: an hour old, Running wanted, status up to date with the spec.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, Phase, RestartMode, Scope
from hopper.api.instance import (
    HistoryEntry,
    HopperInstance,
    InstanceSpec,
    InstanceStatus,
    RestartPolicy,
    parse_instance,
)
from hopper.api.model import Condition, Metadata, NameRef, OwnerReference
from hopper.api.names import API_VERSION, INSTANCE_KIND
from hopper.api.scopes import allowed_children
from hopper.domain.config import config_problems
from hopper.domain.dependencies import may_wait_for_sibling
from hopper.domain.hierarchy import is_owned_by, parent_link
from hopper.domain.lifecycle import ACTIVE, effective_state
from hopper.domain.observed import ChildSummary, Observed
from hopper.domain.plan import Plan
from hopper.domain.renaming import state_while_replaced, successor_of, takeover_of
from hopper.domain.tree import Tree

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGE = 3600.0


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def instance(
    name: str = "web",
    scope: Scope = Scope.PROJECT,
    *,
    parent: str | HopperInstance | None = None,
    phase: Phase | None = None,
    desired: DesiredState = DesiredState.RUNNING,
    generation: int = 1,
    seen: int | None = None,
    age: float = AGE,
    deleted: bool = False,
    finalizers: tuple[str, ...] = (),
    owners: tuple[OwnerReference, ...] = (),
    since: float = 60.0,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> HopperInstance:
    """Build an instance.

    A parent given as an instance is one that has accepted it (there is an ownerReference); given by name, it has not.
    Without a phase, no status was ever written. `seen` is the generation that the status answers, by default the
    present one; `since` says for how many seconds it has been in its phase.
    """
    accepted = (owned_by(parent),) if isinstance(parent, HopperInstance) else ()
    parent_name = parent.name if isinstance(parent, HopperInstance) else parent
    known: dict[str, Any] = {}
    if phase is not None:
        known = {
            "phase": phase,
            "observed_generation": generation if seen is None else seen,
            "last_transition_time": NOW - seconds(since),
        }
    return HopperInstance(
        metadata=Metadata(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            generation=generation,
            creation_timestamp=NOW - seconds(age),
            deletion_timestamp=NOW if deleted else None,
            finalizers=finalizers,
            owner_references=(*owners, *accepted),
        ),
        spec=InstanceSpec(
            scope=scope,
            parent_ref=NameRef(name=parent_name) if parent_name else None,
            desired_state=desired,
            **spec,
        ),
        status=InstanceStatus(**(known | (status or {}))),
    )


def owned_by(parent: HopperInstance, *, uid: str = "") -> OwnerReference:
    """Build the ownerReference that the operator sets on the children of `parent`."""
    return OwnerReference(
        api_version=API_VERSION,
        kind=INSTANCE_KIND,
        name=parent.name,
        uid=uid or parent.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def foreign_owner(*, controller: bool | None = None) -> OwnerReference:
    """Build a reference to something that is not Hopper's."""
    return OwnerReference(
        api_version="example.org/v1", kind="HopperInstance", name="app", uid="uid-app", controller=controller
    )


def policy(mode: RestartMode = RestartMode.ON_FAILURE, **fields: int) -> RestartPolicy:
    return RestartPolicy(policy=mode, **fields)


def condition(
    kind: ConditionType, status: str, reason: str, *, message: str = "before", since: float = 60.0
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=NOW - seconds(since),
        observed_generation=1,
    )


def transition_entry(source: Phase, target: Phase, *, message: str = "", reason: str = "DesiredState") -> HistoryEntry:
    return HistoryEntry(from_=source, to=target, time=NOW - seconds(60), reason=reason, message=message)


def ready(subject: HopperInstance) -> HopperInstance:
    """Return the same instance with Ready=True."""
    conditions = (condition(ConditionType.READY, "True", subject.status.phase.value),)
    return replace(subject, status=replace(subject.status, conditions=conditions))


class Forest:
    """Some instances of one namespace. Implements `domain.tree.Tree`."""

    def __init__(self, instances: Iterable[HopperInstance] = ()) -> None:
        self.instances = {one.name: one for one in instances}

    def get(self, name: str) -> HopperInstance | None:
        return self.instances.get(name)

    def children(self, name: str) -> Collection[HopperInstance]:
        return [one for one in self.instances.values() if one.parent_name == name]

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        owners = ((one, {r.uid for r in one.metadata.owner_references}) for one in self.instances.values())
        return [one for one, uids in owners if uid in uids]

    def waiting_services(self, name: str | None) -> Collection[HopperInstance]:
        services = (one for one in self.instances.values() if one.parent_name == name and one.spec.template_ref)
        return [one for one in services if may_wait_for_sibling(one)]

    def successors(self, name: str) -> Collection[HopperInstance]:
        renamed = ((one, one.spec.renamed_from) for one in self.instances.values())
        return [one for one, before in renamed if before and before.name == name]

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        return False


def observe(subject: HopperInstance, *others: HopperInstance, now: datetime = NOW, **seen: Any) -> Observed:
    """Observe an instance among others; whatever else the planner is to see is given by field name."""
    return replace(look(subject, Forest((subject, *others)), now), **seen)


def look(subject: HopperInstance, tree: Tree, now: datetime) -> Observed:
    """Observe a logical instance within its tree, as the controller does before it plans."""
    link, successor = parent_link(subject, tree), successor_of(subject, tree)
    owned = [child for child in tree.children(subject.name) if is_owned_by(child, subject)]
    return Observed(
        now=now,
        instance=subject,
        link=link,
        effective=state_while_replaced(effective_state(subject, link.ancestors), subject, successor),
        successor=successor,
        takeover=takeover_of(subject, tree),
        children=ChildSummary(
            total=len(owned),
            ready=sum(child.status.is_ready for child in owned),
            active=tuple(child.name for child in owned if child.status.phase in ACTIVE),
            protected=tuple(
                child.name
                for child in owned
                if child.spec.deletion_protection and child.metadata.deletion_timestamp is None
            ),
            expected=any(
                child.spec.scope in allowed_children(subject.spec.scope) for child in tree.children(subject.name)
            ),
        ),
        config_problems=config_problems(subject),
    )


def from_wire(spec: dict[str, Any], *, name: str = "web", **rest: Any) -> HopperInstance:
    """Read an instance as the API server would send it."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-03-01T11:00:00Z"}
    return parse_instance({"metadata": metadata, "spec": spec, **rest})


def phases(decided: Plan) -> str:
    """Return the phases that a plan goes through, the present one first, such as `Created Starting Running`."""
    assert all(before.target is after.source for before, after in pairwise(decided.transitions))
    return " ".join([step.source for step in decided.transitions[:1]] + [step.target for step in decided.transitions])
