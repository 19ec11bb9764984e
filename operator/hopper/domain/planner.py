"""Planner: the one function that decides what to do about an instance, from one observation.

Writes, status and Events all follow from the plan. Deletion has precedence over an invalid hierarchy, which has
precedence over inherited states, which have precedence over the instance's own desired state.
"""

from datetime import timedelta

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.names import FINALIZER
from hopper.domain.checks import (
    DETAILS_AFTER_SECONDS,
    phase_entered_at,
    restart_is_disabled,
    restarts_are_exhausted,
    seconds_until,
)
from hopper.domain.hierarchy import desired_owner_references, is_hopper_reference, is_orphaning, is_owned_by
from hopper.domain.objects import CLAIM, plan_objects
from hopper.domain.observed import Observed
from hopper.domain.plan import HierarchyEvent, MetadataChange, Plan
from hopper.domain.renaming import has_taken_over, status_after_takeover
from hopper.domain.status import compute_status, is_held_by_ancestor, status_of_blocked_deletion
from hopper.domain.walk import walk

# The first status of an instance that only waits for another object is held back for this long. Usually that object
# follows at once, which saves a write.
FIRST_STATUS_DELAY_SECONDS = 2.0
# Reasons of holds that usually end within that time.
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
    """Return the plan for one instance."""
    if o.instance.metadata.deletion_timestamp:
        return _plan_deletion(o)
    if o.refusal is not None:  # perhaps of the deletion of the instance, which therefore still exists
        return _plan_life(o)
    if is_deleted_with_parent(o):
        return Plan(delete=Reason.PARENT_IS_BEING_DELETED)
    if has_expired(o):
        return Plan(delete=Reason.TTL_EXPIRED)
    if is_replaced(o):
        return Plan(delete=Reason.RENAMED)
    return _plan_life(o)


def is_deleted_with_parent(o: Observed) -> bool:
    """Whether the deletion of the parent deletes the instance too, which deletion protection prevents."""
    parent = o.link.parent
    if parent is None or parent.metadata.deletion_timestamp is None or o.instance.spec.deletion_protection:
        return False
    return is_owned_by(o.instance, parent) and not is_orphaning(parent)


def has_expired(o: Observed) -> bool:
    """Whether the time in `spec.ttlSecondsAfterFinished` has passed."""
    remaining = seconds_until_expiry(o)
    return remaining is not None and remaining <= 0


def seconds_until_expiry(o: Observed) -> float | None:
    """Return the seconds until a finished instance must be deleted; None if it is not finished or has no TTL.

    An instance that only an ancestor holds at Stopped is not finished, because it continues with the ancestor. If it
    becomes stopped by its own spec, the time starts when the status says so.
    """
    spec, status = o.instance.spec, o.instance.status
    if spec.ttl_seconds_after_finished is None or spec.deletion_protection or status.last_transition_time is None:
        return None
    finished_at = phase_entered_at(o)
    if o.phase is Phase.STOPPED:
        if spec.desired_state is not DesiredState.STOPPED or is_held_by_ancestor(status):
            return None
        finished_at = max(finished_at, min(status.stopped_at or finished_at, o.now))
    elif o.phase is not Phase.TERMINATED and not (restart_is_disabled(o) or restarts_are_exhausted(o)):
        return None
    return seconds_until(finished_at + timedelta(seconds=spec.ttl_seconds_after_finished), o.now)


def is_replaced(o: Observed) -> bool:
    """Whether a successor has taken over and the instance owns neither pods nor claims any more."""
    if o.successor is None or o.instance.spec.deletion_protection or not o.workload.gone:
        return False
    owns_claims = o.runtime is not None and any(kind == CLAIM for kind, _ in o.runtime.owned)
    return not owns_claims and has_taken_over(o.successor, o.instance)


def _plan_deletion(o: Observed) -> Plan:
    """Remove the finalizer once all children are gone. This needs neither the parent nor the template."""
    metadata = o.instance.metadata
    if FINALIZER not in metadata.finalizers:
        return Plan()
    if o.children.total and not is_orphaning(o.instance):
        return _plan_blocked_deletion(o)
    remaining = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
    return Plan(metadata=MetadataChange(metadata.owner_references, remaining))


def _plan_blocked_deletion(o: Observed) -> Plan:
    """Report the children that delay the deletion, unless they will probably be gone in a moment."""
    deletion_started = min(o.instance.metadata.deletion_timestamp or o.now, o.now)
    remaining = seconds_until(deletion_started + timedelta(seconds=DETAILS_AFTER_SECONDS), o.now)
    reported = o.instance.status.reason(ConditionType.STALLED) == Reason.DELETION_BLOCKED
    if o.children.protected or o.children.blocked or reported or remaining <= 0:
        return Plan(status=status_of_blocked_deletion(o), requeue_after=remaining if remaining > 0 else None)
    return Plan(requeue_after=remaining)


def _plan_life(o: Observed) -> Plan:
    """Plan for an instance that is not deleted: metadata, transitions, owned objects and status."""
    metadata, hierarchy_events = _plan_metadata(o)
    hierarchy_events += _orphan_event(o)
    if o.takeover is not None:
        o = o.with_status(status_after_takeover(o.instance.status, o.takeover))
    transitions, status, hold = walk(o)
    if o.is_new and hold and hold.reason in _USUALLY_BRIEF:
        due = o.instance.metadata.creation_timestamp + timedelta(seconds=FIRST_STATUS_DELAY_SECONDS)
        delay = seconds_until(due, o.now)
        if delay > 0:
            return Plan(metadata=metadata, hierarchy_events=hierarchy_events, requeue_after=delay)
    status = compute_status(o, status, hold)
    after = o.with_status(status)
    delays = (
        hold.retry_after if hold else None,
        seconds_until_expiry(after),
        o.runtime.recheck_after if o.runtime else None,
    )
    return Plan(
        metadata=metadata,
        hierarchy_events=hierarchy_events,
        transitions=transitions,
        objects=plan_objects(after),
        status=status,
        requeue_after=min((delay for delay in delays if delay is not None), default=None),
    )


def _plan_metadata(o: Observed) -> tuple[MetadataChange | None, tuple[HierarchyEvent, ...]]:
    """Return the change that the parent link and the children require, with the Events that announce it.

    The ownerReferences follow from the link. The finalizer is present while the instance has children.
    """
    metadata = o.instance.metadata
    references = desired_owner_references(o.instance, o.link)
    finalizers = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
    if o.children.expected or o.children.total:
        finalizers = metadata.finalizers if FINALIZER in metadata.finalizers else (*finalizers, FINALIZER)
    if references == metadata.owner_references and finalizers == metadata.finalizers:
        return None, ()
    return MetadataChange(references, finalizers), _parent_change_events(o)


def _parent_change_events(o: Observed) -> tuple[HierarchyEvent, ...]:
    name, references = o.instance.name, o.instance.metadata.owner_references
    before = next((r.name for r in references if is_hopper_reference(r)), None)
    after = next((r.name for r in desired_owner_references(o.instance, o.link) if is_hopper_reference(r)), None)
    if before == after:
        return ()
    events = []
    if before:
        events.append(HierarchyEvent(before, Reason.CHILD_REMOVED, f"{name} is no longer a child"))
    if after:
        events.append(HierarchyEvent(after, Reason.CHILD_ADDED, f"{name} is now a child"))
    if before:
        events.append(HierarchyEvent(name, Reason.PARENT_CHANGED, f"parent changed from {before} to {after or 'none'}"))
    return tuple(events)


def _orphan_event(o: Observed) -> tuple[HierarchyEvent, ...]:
    """Return the Event about a lost parent, once.

    An instance that still has an ownerReference to the parent gets none, because garbage collection will delete it.
    """
    reported = o.instance.status.reason(ConditionType.HIERARCHY_VALID) == Reason.ORPHANED
    has_reference = any(map(is_hopper_reference, o.instance.metadata.owner_references))
    if reported or has_reference or o.link.reason is not Reason.ORPHANED:
        return ()
    return (HierarchyEvent(o.instance.name, Reason.ORPHANED, o.link.message, warning=True),)
