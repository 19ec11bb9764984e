"""Gather: collect everything that one decision needs from memory into one frozen record."""

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

# Finalizers of the operator, and those that garbage collection removes by itself.
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
        children=_summarise_children(instance, tree),
        heartbeats=heartbeats,
        spec_problems=spec_problems,
        config_problems=config_problems(instance),
    )
    gathered = runtimes.gather(instance, link.ancestors, tree, now)
    if gathered is None:
        return observed
    runtime, workload = gathered
    return replace(observed, runtime=runtime, workload=workload)


def _summarise_children(instance: HopperInstance, tree: Tree) -> ChildSummary:
    claimed, accepted = tree.children(instance.name), tree.dependents(instance.metadata.uid)
    if not claimed and not accepted:
        return ChildSummary()
    scopes = allowed_children(instance.spec.scope)
    finalizers_by_child = ((child.name, _foreign_finalizers(child)) for child in accepted)
    return ChildSummary(
        total=len(accepted),
        ready=sum(child.status.is_ready for child in accepted),
        active=tuple(child.name for child in accepted if child.status.phase in ACTIVE),
        protected=tuple(
            child.name for child in accepted if child.spec.deletion_protection and not _is_being_deleted(child)
        ),
        blocked=tuple(child.name for child in accepted if _is_deletion_blocked(child)),
        held=tuple(
            f"{name} (finalizer {join_names(finalizers)})" for name, finalizers in finalizers_by_child if finalizers
        ),
        expected=any(child.spec.scope in scopes for child in claimed),
    )


def _is_being_deleted(child: HopperInstance) -> bool:
    return child.metadata.deletion_timestamp is not None


def _is_deletion_blocked(child: HopperInstance) -> bool:
    """Whether the status of a child explains why it is not deleted.

    Either its own children block the deletion, or the API server refuses it.
    """
    stalled = child.status.reason(ConditionType.STALLED)
    if _is_being_deleted(child):
        return stalled == Reason.DELETION_BLOCKED
    return stalled == Reason.WRITE_REFUSED and not child.spec.deletion_protection


def _foreign_finalizers(child: HopperInstance) -> tuple[str, ...]:
    """Return the finalizers of other controllers on a child that is being deleted."""
    if not _is_being_deleted(child):
        return ()
    return tuple(finalizer for finalizer in child.metadata.finalizers if finalizer not in _ORDINARY_FINALIZERS)
