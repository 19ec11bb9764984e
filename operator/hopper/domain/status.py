"""The status that follows from an observation: conditions explain the phase, the rest is bookkeeping."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import ChildCounts, InstanceStatus
from hopper.api.model import Condition
from hopper.domain.checks import (
    COMPLAINTS,
    PARENT_IS_AWAY,
    first_hold,
    service_cannot_be_rendered,
    still_brief,
    workload_is_not_available,
)
from hopper.domain.heartbeat import heartbeat_condition
from hopper.domain.lifecycle import ACTIVE, FINAL
from hopper.domain.messages import join_names, truncate
from hopper.domain.objects import larger_than_asked
from hopper.domain.observed import Observed
from hopper.domain.plan import Hold
from hopper.domain.renaming import status_with_predecessor
from hopper.domain.service.naming import pod_selector
from hopper.domain.walk import wanted_because


def compute_status(o: Observed, walked: InstanceStatus, hold: Hold | None) -> InstanceStatus:
    """Return the whole status after a walk; the very same as before where nothing is new."""
    instance = o.instance
    if o.takeover and hold and hold.reason is Reason.TAKING_OVER:
        walked = status_with_predecessor(walked, o.takeover)
    names = (*(ancestor.name for ancestor in reversed(o.link.ancestors)), instance.name)
    return walked.changed(
        effective_state=o.effective.state,
        observed_generation=_answered_generation(o, walked, hold),
        conditions=_conditions(o, walked, hold),
        path="/".join(names),
        depth=len(names) - 1,
        children=_children_summary(o, walked, hold),
        stopped_at=_stopped_since(o, walked),
        override_count=len(instance.spec.overrides) if instance.spec.overrides else None,
        **_runtime_fields(o, walked),
    )


def _stopped_since(o: Observed, walked: InstanceStatus) -> datetime | None:
    """Return when it was stopped; where an ancestor did that, the time of its own wish to be counts from now on."""
    own = walked.phase is Phase.STOPPED and o.effective.source is None and was_held_by_an_ancestor(o.instance.status)
    return o.now if own else walked.stopped_at


def _runtime_fields(o: Observed, walked: InstanceStatus) -> dict[str, Any]:
    """Return what is to be said of the workload; nothing for a logical instance."""
    runtime = o.runtime
    if runtime is None:
        return {"replicas": None, "selector": None, "workload_name": None, "template_generation": None}
    name = runtime.blueprint.names.base if runtime.blueprint else walked.workload_name
    deployment = runtime.owned.get(("Deployment", name or ""))
    workload = o.workload
    settled = workload.available or workload.gone or workload.failure or not still_brief(o.with_status(walked))
    running = runtime.template_generation if runtime.current and o.workload.available else None
    selector = ",".join(f"{label}={value}" for label, value in pod_selector(o.instance.name).items())
    return {
        "replicas": (deployment or {}).get("status", {}).get("replicas", 0) if settled else walked.replicas,
        "selector": selector,
        "workload_name": name,
        "template_generation": (running or walked.template_generation) if o.instance.spec.template_ref else None,
    }


def _children_summary(o: Observed, walked: InstanceStatus, hold: Hold | None) -> ChildCounts | None:
    """While they stop, one after the other, they are not counted: that would be a write for each of them."""
    if hold is not None and hold.reason is Reason.CHILDREN_STOPPING:
        return walked.children
    return ChildCounts(total=o.children.total, ready=o.children.ready) if o.children.total else None


def _answered_generation(o: Observed, walked: InstanceStatus, hold: Hold | None) -> int | None:
    """A change that is to start what is in Error stays unanswered while the start waits for a parent or a sibling.

    It would be forgotten otherwise: from this number alone the planner knows that the user has acted.
    """
    others = (Reason.PARENT_NOT_READY, Reason.DEPENDENCY_NOT_READY, *PARENT_IS_AWAY)
    waits = hold is not None and hold.reason in others and not hold.stalled
    if waits and walked.phase is Phase.ERROR:
        return walked.observed_generation
    return o.instance.metadata.generation


def was_held_by_an_ancestor(status: InstanceStatus) -> bool:
    """Whether the status says that an ancestor, rather than the instance's own wish, holds it where it is."""
    return status.reason(ConditionType.READY) == Reason.INHERITED_FROM


def waiting_deletion_status(o: Observed) -> InstanceStatus:
    """Return the status of an instance whose deletion waits for its children, and what is in the way of theirs."""
    children, waits = o.children, []
    if children.protected:
        do = "set spec.deletionProtection to false there, or move them to another parent"
        waits.append(f"deletion waits for {join_names(children.protected)}: {do}")
    if children.blocked:
        waits.append(f"deletion waits for {join_names(children.blocked)}, whose own deletion is blocked: look there")
    stalled = bool(waits)
    if children.held:
        waits.append(f"deletion waits for {join_names(children.held)}: see who is to remove that")
    message = "; ".join(waits) or "deletion waits for its children, which are being deleted"
    settled = children.total == len(children.protected) + len(children.blocked)  # not a write for each that goes
    return o.instance.status.changed(
        observed_generation=o.instance.metadata.generation,
        children=ChildCounts(total=children.total, ready=children.ready) if settled else o.instance.status.children,
        conditions=_conditions(o, o.instance.status, Hold(Reason.DELETION_BLOCKED, message, stalled=stalled)),
    )


def _conditions(o: Observed, walked: InstanceStatus, hold: Hold | None) -> tuple[Condition, ...]:
    complaint = first_hold(COMPLAINTS, o)
    if complaint and complaint.reason in PARENT_IS_AWAY:
        complaint = None  # the parent being away says nothing against what runs; HierarchyValid tells of it
    if complaint and walked.phase in FINAL and complaint is service_cannot_be_rendered(o):
        complaint = None  # nothing will be rendered for it any more; TemplateResolved tells of it
    refused = complaint if complaint and complaint.reason is Reason.WRITE_REFUSED else None
    blocker = refused or hold or complaint  # what cannot be written is why it waits
    stalled = next((it for it in (refused, hold, complaint) if it and it.stalled), None)
    found: dict[ConditionType, tuple[str, Reason, str]] = {}
    if blocker:
        found[ConditionType.READY] = ("False", blocker.reason, blocker.message)
    else:
        found[ConditionType.READY] = ("True", *_ready_because(o, walked))
    if stalled:
        found[ConditionType.STALLED] = ("True", stalled.reason, stalled.message)
    elif hold:
        found[ConditionType.RECONCILING] = ("True", hold.reason, hold.message)
    if o.instance.parent_name or not o.link.valid:
        found[ConditionType.HIERARCHY_VALID] = ("True" if o.link.valid else "False", o.link.reason, o.link.message)
    found |= _runtime_conditions(o, walked)
    if message := "; ".join(_warnings(o)):
        found[ConditionType.WARNING] = ("True", Reason.RUNS_WITH_WARNINGS, message)
    if o.instance.spec.heartbeat and (beats := heartbeat_condition(o.with_status(walked).instance, o.heard)):
        found[ConditionType.HEARTBEAT] = beats
    generation = o.instance.metadata.generation
    return tuple(_condition(kind, *what, walked, o.now, generation) for kind, what in found.items())


def _runtime_conditions(o: Observed, walked: InstanceStatus) -> dict[ConditionType, tuple[str, Reason, str]]:
    runtime, workload = o.runtime, o.workload
    if runtime is None or o.instance.spec.template_ref is None:
        return {}
    template = o.instance.spec.template_ref.name
    found: dict[ConditionType, tuple[str, Reason, str]] = {}
    if runtime.problem:
        found[ConditionType.TEMPLATE_RESOLVED] = ("False", runtime.problem.reason, runtime.problem.message)
    else:
        found[ConditionType.TEMPLATE_RESOLVED] = ("True", Reason.TEMPLATE_FOUND, f'runs template "{template}"')
    available: tuple[str, Reason, str] = ("True", Reason.WORKLOAD_AVAILABLE, workload.message)
    if walked.phase is Phase.STOPPING:
        available = ("False", Reason.STOPPING, "its pods are stopped")
    elif walked.phase not in ACTIVE:
        available = ("False", Reason.NOTHING_RUNS, f"the instance is {walked.phase}")
    elif workload.failure and walked.restarts == o.instance.status.restarts:  # else it is about pods that go
        available = ("False", workload.failure.reason, workload.failure.message)
    else:
        waits = workload_is_not_available(o.with_status(walked))
        available = ("False", waits.reason, waits.message) if waits else available
    found[ConditionType.WORKLOAD_AVAILABLE] = available
    return found


def _warnings(o: Observed) -> Iterator[str]:
    """Say what is not as it was probably meant; nobody is kept from anything by it."""
    if o.instance.spec.overrides and o.instance.spec.template_ref is None:
        yield "spec.overrides change nothing, as there is no template: set spec.templateRef.name, or remove them"
    elif o.runtime is not None:
        yield from o.runtime.blueprint.warnings if o.runtime.blueprint else ()
        yield from _rivalries(o.runtime.contested_domains)
        for name, (there, asked) in larger_than_asked(o.runtime).items():
            yield f'claim "{name}" keeps its {there}, as none can shrink to the {asked} asked for: set size to {there}'


def _rivalries(contested_domains: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for other in dict.fromkeys(name for _, name in contested_domains):
        domains = join_names(tuple(domain for domain, name in contested_domains if name == other))
        yield f'"{other}" claims {domains} as well, and only one of the two is reached there: remove it from one'


def _ready_because(o: Observed, walked: InstanceStatus) -> tuple[Reason, str]:
    reason, message = wanted_because(o)
    if reason in (Reason.INHERITED_FROM, Reason.RENAMED):
        return reason, message
    return Reason(walked.phase.value), message


def _condition(
    kind: ConditionType, status: str, reason: Reason, message: str, old: InstanceStatus, now: datetime, generation: int
) -> Condition:
    before, message = old.condition(kind), truncate(message)
    said = before and (before.status, before.reason, before.message, before.observed_generation)
    if before and said == (status, reason, message, generation):
        return before
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time if before and before.status == status else now,
        observed_generation=generation,
    )
