"""The planner: Observed → Plan. One function decides; actions, status and events all follow from its answer.

Precedence (design: Shape of the code): deletion > invalid hierarchy > inherited state > own desired state.
"""

from datetime import timedelta

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.names import FINALIZER
from hopper.domain.checks import (
    DETAILS_AFTER_SECONDS,
    in_phase_since,
    restart_is_never_wanted,
    restarts_are_exhausted,
    seconds_until,
)
from hopper.domain.hierarchy import is_hopper_reference, is_orphaning, is_owned_by, wanted_references
from hopper.domain.objects import CLAIM, plan_objects
from hopper.domain.observed import Observed
from hopper.domain.plan import HierarchyEvent, MetadataChange, Plan
from hopper.domain.renaming import has_taken_over, status_after_takeover
from hopper.domain.status import compute_status, waiting_deletion_status, was_held_by_an_ancestor
from hopper.domain.walk import walk

# How long a newcomer's first status is held back while it only waits for others: usually they come along.
FIRST_STATUS_DELAY_SECONDS = 2.0


_USUALLY_BRIEF = frozenset(
    {
        Reason.PARENT_NOT_FOUND,
        Reason.PARENT_NOT_READY,
        Reason.TEMPLATE_NOT_FOUND,
        Reason.DEPENDENCY_NOT_READY,
        Reason.NAME_IN_USE,
    }
)


def plan(o: Observed) -> Plan:
    """Decide what to do about one instance."""
    if o.instance.metadata.deletion_timestamp:
        return _finish_deletion(o)
    if o.refusal is not None:  # what the API server does not let us delete lives on
        return _live(o)
    if parent_takes_it_along(o):
        return Plan(delete=Reason.PARENT_IS_BEING_DELETED)
    if time_to_live_is_over(o):
        return Plan(delete=Reason.TTL_EXPIRED)
    if successor_has_everything(o):
        return Plan(delete=Reason.RENAMED)
    return _live(o)


def parent_takes_it_along(o: Observed) -> bool:
    """Whether the parent is being deleted together with this child. Protection holds against that too."""
    parent = o.link.parent
    if parent is None or parent.metadata.deletion_timestamp is None or o.instance.spec.deletion_protection:
        return False
    return is_owned_by(o.instance, parent) and not is_orphaning(parent)


def time_to_live_is_over(o: Observed) -> bool:
    remaining = time_to_live(o)
    return remaining is not None and remaining <= 0


def time_to_live(o: Observed) -> float | None:
    """Return the seconds until the instance is to be deleted because it has finished; None while it has not.

    Being held at Stopped by an ancestor is no end: the instance would go on with its parent. Where that turns into its
    own wish, the time begins once the status says so.
    """
    spec, status = o.instance.spec, o.instance.status
    if spec.ttl_seconds_after_finished is None or spec.deletion_protection or status.last_transition_time is None:
        return None
    since = in_phase_since(o)
    if o.phase is Phase.STOPPED:
        if spec.desired_state is not DesiredState.STOPPED or was_held_by_an_ancestor(status):
            return None
        since = max(since, min(status.stopped_at or since, o.now))
    elif o.phase is not Phase.TERMINATED and not (restart_is_never_wanted(o) or restarts_are_exhausted(o)):
        return None
    return seconds_until(since + timedelta(seconds=spec.ttl_seconds_after_finished), o.now)


def successor_has_everything(o: Observed) -> bool:
    """Whether another instance has taken over from this one, of which nothing is left but the record."""
    if o.successor is None or o.instance.spec.deletion_protection or not o.workload.gone:
        return False
    keeps_data = o.runtime is not None and any(kind == CLAIM for kind, _ in o.runtime.owned)
    return not keeps_data and has_taken_over(o.successor, o.instance)


def _finish_deletion(o: Observed) -> Plan:
    """Let the object go once everything below it is observed gone; this never needs the parent."""
    metadata = o.instance.metadata
    if FINALIZER not in metadata.finalizers:
        return Plan()
    if o.children.total and not is_orphaning(o.instance):
        return _wait_for_children(o)
    kept = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
    return Plan(metadata=MetadataChange(metadata.owner_references, kept))


def _wait_for_children(o: Observed) -> Plan:
    """Tell of a deletion that children hold up, or that takes long: usually they are gone before that."""
    begun = min(o.instance.metadata.deletion_timestamp or o.now, o.now)
    brief = seconds_until(begun + timedelta(seconds=DETAILS_AFTER_SECONDS), o.now)
    told = o.instance.status.reason(ConditionType.STALLED) == Reason.DELETION_BLOCKED
    if o.children.protected or o.children.blocked or told or brief <= 0:
        return Plan(status=waiting_deletion_status(o), requeue_after=brief if brief > 0 else None)
    return Plan(requeue_after=brief)


def _live(o: Observed) -> Plan:
    """Take the steps of the lifecycle that nothing speaks against, and report."""
    metadata, hierarchy_events = _place(o)
    hierarchy_events += _loss_of_parent(o)
    if o.takeover is not None:
        o = o.with_status(status_after_takeover(o.instance.status, o.takeover))
    transitions, status, hold = walk(o)
    if o.is_new and hold and hold.reason in _USUALLY_BRIEF:
        patience = seconds_until(
            o.instance.metadata.creation_timestamp + timedelta(seconds=FIRST_STATUS_DELAY_SECONDS), o.now
        )
        if patience > 0:
            return Plan(metadata=metadata, hierarchy_events=hierarchy_events, requeue_after=patience)
    status = compute_status(o, status, hold)
    after = o.with_status(status)
    ends = time_to_live(after)
    pods = o.runtime.recheck_after if o.runtime else None
    waits = [seconds for seconds in (hold.retry_after if hold else None, ends, pods) if seconds is not None]
    return Plan(
        metadata=metadata,
        hierarchy_events=hierarchy_events,
        transitions=transitions,
        objects=plan_objects(after),
        status=status,
        requeue_after=min(waits, default=None),
    )


def _place(o: Observed) -> tuple[MetadataChange | None, tuple[HierarchyEvent, ...]]:
    """Bring ownerReferences in line with the link, and guard the deletion of those who have children."""
    metadata = o.instance.metadata
    references = wanted_references(o.instance, o.link)
    finalizers = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
    if o.children.expected or o.children.total:
        finalizers = metadata.finalizers if FINALIZER in metadata.finalizers else (*finalizers, FINALIZER)
    if references == metadata.owner_references and finalizers == metadata.finalizers:
        return None, ()
    return MetadataChange(references, finalizers), _hierarchy_events(o)


def _hierarchy_events(o: Observed) -> tuple[HierarchyEvent, ...]:
    name, references = o.instance.name, o.instance.metadata.owner_references
    before = next((r.name for r in references if is_hopper_reference(r)), None)
    after = next((r.name for r in wanted_references(o.instance, o.link) if is_hopper_reference(r)), None)
    if before == after:
        return ()
    changes = []
    if before:
        changes.append(HierarchyEvent(before, Reason.CHILD_REMOVED, f"{name} is no longer a child"))
    if after:
        changes.append(HierarchyEvent(after, Reason.CHILD_ADDED, f"{name} is now a child"))
    if before:
        changes.append(
            HierarchyEvent(name, Reason.PARENT_CHANGED, f"parent changed from {before} to {after or 'none'}")
        )
    return tuple(changes)


def _loss_of_parent(o: Observed) -> tuple[HierarchyEvent, ...]:
    """Announce an orphan, once; one that garbage collection will delete still carries the parent's reference."""
    known = o.instance.status.reason(ConditionType.HIERARCHY_VALID) == Reason.ORPHANED
    if (
        known
        or o.link.reason is not Reason.ORPHANED
        or any(map(is_hopper_reference, o.instance.metadata.owner_references))
    ):
        return ()
    return (HierarchyEvent(o.instance.name, Reason.ORPHANED, o.link.message, warning=True),)
