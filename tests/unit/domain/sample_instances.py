"""Builders for instances and observations, such as `instance("web", parent="global", phase=Phase.RUNNING)`.

By default an instance is an hour old, has desired state Running, and its status has observed its generation.
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

    A parent given as an instance has accepted the child, which carries an ownerReference. A parent given by name has
    not. Without a phase, no status was ever written. `seen` is the observed generation, by default the current one.
    `since` is the number of seconds that the instance has been in its phase.
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
    """Build an ownerReference to an object of another API group."""
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


class InMemoryTree:
    """Tree over the given instances. Implements `hopper.domain.tree.Tree`."""

    def __init__(self, instances: Iterable[HopperInstance] = ()) -> None:
        self.instances = {member.name: member for member in instances}

    def get(self, name: str) -> HopperInstance | None:
        return self.instances.get(name)

    def children(self, name: str) -> Collection[HopperInstance]:
        return [member for member in self.instances.values() if member.parent_name == name]

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        owners = ((member, {r.uid for r in member.metadata.owner_references}) for member in self.instances.values())
        return [member for member, uids in owners if uid in uids]

    def waiting_services(self, parent_name: str | None) -> Collection[HopperInstance]:
        services = (
            member
            for member in self.instances.values()
            if member.parent_name == parent_name and member.spec.template_ref
        )
        return [member for member in services if may_wait_for_sibling(member)]

    def successors(self, name: str) -> Collection[HopperInstance]:
        renamed = ((member, member.spec.renamed_from) for member in self.instances.values())
        return [member for member, before in renamed if before and before.name == name]

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        return False


def observe(subject: HopperInstance, *others: HopperInstance, now: datetime = NOW, **seen: Any) -> Observed:
    """Observe an instance among others; `seen` overrides fields of the observation."""
    return replace(observe_in_tree(subject, InMemoryTree((subject, *others)), now), **seen)


def observe_in_tree(subject: HopperInstance, tree: Tree, now: datetime) -> Observed:
    """Observe a logical instance in its tree, as the controller does before it plans."""
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
    """Parse an instance from a manifest of the API server."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-03-01T11:00:00Z"}
    return parse_instance({"metadata": metadata, "spec": spec, **rest})


def phases(decided: Plan) -> str:
    """Return the phases of the transitions in a plan, such as `Created Starting Running`."""
    assert all(before.target is after.source for before, after in pairwise(decided.transitions))
    return " ".join([step.source for step in decided.transitions[:1]] + [step.target for step in decided.transitions])
