"""Gather: everything that one decision needs, from memory into one frozen record."""

from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import ConditionType, Reason
from hopper.api.instance import HopperInstance
from hopper.api.names import FINALIZER, FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from hopper.api.scopes import allowed_children
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.config import config_problems
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import ACTIVE, effective_state
from hopper.domain.messages import join_names
from hopper.domain.observed import ChildSummary, Observed
from hopper.domain.renaming import state_while_replaced, successor_of
from hopper.domain.tree import Tree

# Ours, and those that garbage collection removes by itself.
_ORDINARY_FINALIZERS = frozenset({FINALIZER, FOREGROUND_FINALIZER, ORPHAN_FINALIZER})


def gather(
    instance: HopperInstance,
    tree: Tree,
    runtimes: RuntimeGatherer,
    now: datetime,
    *,
    heartbeats: HeartbeatRecord = NO_HEARTBEATS,
    spec_problems: tuple[str, ...] = (),
) -> Observed:
    """Observe one instance within its namespace."""
    link, successor = parent_link(instance, tree), successor_of(instance, tree)
    observed = Observed(
        now=now,
        instance=instance,
        link=link,
        effective=state_while_replaced(effective_state(instance, link.ancestors), instance, successor),
        successor=successor,
        takeover=runtimes.takeover(instance, tree),
        children=_children(instance, tree),
        heartbeats=heartbeats,
        spec_problems=spec_problems,
        config_problems=config_problems(instance),
    )
    found = runtimes.gather(instance, link.ancestors, tree, now)
    return replace(observed, runtime=found[0], workload=found[1]) if found else observed


def _children(instance: HopperInstance, tree: Tree) -> ChildSummary:
    named, owned = tree.children(instance.name), tree.dependents(instance.metadata.uid)
    if not named and not owned:
        return ChildSummary()
    fitting = allowed_children(instance.spec.scope)
    return ChildSummary(
        total=len(owned),
        ready=sum(child.status.is_ready for child in owned),
        active=tuple(child.name for child in owned if child.status.phase in ACTIVE),
        protected=tuple(child.name for child in owned if child.spec.deletion_protection and not _is_going(child)),
        blocked=tuple(child.name for child in owned if _cannot_go(child)),
        held=tuple(f"{child.name} (finalizer {join_names(found)})" for child in owned if (found := _held_by(child))),
        expected=any(child.spec.scope in fitting for child in named),
    )


def _is_going(child: HopperInstance) -> bool:
    return child.metadata.deletion_timestamp is not None


def _cannot_go(child: HopperInstance) -> bool:
    """Whether the child says itself why it is not deleted: others below are in the way, or the API server refuses."""
    stalled = child.status.reason(ConditionType.STALLED)
    if _is_going(child):
        return stalled == Reason.DELETION_BLOCKED
    return stalled == Reason.WRITE_REFUSED and not child.spec.deletion_protection


def _held_by(child: HopperInstance) -> tuple[str, ...]:
    """Name the finalizers of others that a child which is being deleted still has."""
    if not _is_going(child):
        return ()
    return tuple(it for it in child.metadata.finalizers if it not in _ORDINARY_FINALIZERS)
