"""Status that follows from an observation: the conditions, and the fields that summarize children and workload."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import ChildCounts, InstanceStatus
from hopper.api.model import Condition
from hopper.domain.checks import (
    PARENT_IS_ABSENT,
    PROBLEMS,
    first_hold,
    seconds_until_details,
    service_cannot_be_rendered,
    workload_is_not_available,
)
from hopper.domain.heartbeat import heartbeat_condition
from hopper.domain.lifecycle import ACTIVE, FINAL
from hopper.domain.messages import join_names, truncate
from hopper.domain.objects import oversized_claims
from hopper.domain.observed import Observed
from hopper.domain.plan import Hold
from hopper.domain.renaming import status_with_predecessor
from hopper.domain.service.naming import pod_selector
from hopper.domain.walk import cause_of_state

# Status, reason and message of a condition.
_Content = tuple[str, Reason, str]


def compute_status(o: Observed, walked: InstanceStatus, hold: Hold | None) -> InstanceStatus:
    """Return the complete status after a walk; the same object as before if nothing has changed."""
    instance = o.instance
    if o.takeover and hold and hold.reason is Reason.TAKING_OVER:
        walked = status_with_predecessor(walked, o.takeover)
    names = (*(ancestor.name for ancestor in reversed(o.link.ancestors)), instance.name)
    return walked.changed(
        effective_state=o.effective.state,
        observed_generation=_observed_generation(o, walked, hold),
        conditions=_conditions(o, walked, hold),
        path="/".join(names),
        depth=len(names) - 1,
        children=_children(o, walked, hold),
        stopped_at=_stopped_at(o, walked),
        override_count=len(instance.spec.overrides) if instance.spec.overrides else None,
        **_workload_fields(o, walked),
    )


def status_of_blocked_deletion(o: Observed) -> InstanceStatus:
    """Return the status of an instance whose deletion waits for children, with the reasons why they still exist."""
    children, blockers = o.children, []
    if children.protected:
        advice = "set spec.deletionProtection to false there, or move them to another parent"
        blockers.append(f"deletion waits for {join_names(children.protected)}: {advice}")
    if children.blocked:
        names = join_names(children.blocked)
        blockers.append(f"deletion waits for {names}, whose own deletion is blocked; see the Ready condition there")
    stalled = bool(blockers)
    if children.held:
        advice = "the controller of the finalizer must remove it"
        blockers.append(f"deletion waits for {join_names(children.held)}: {advice}")
    message = "; ".join(blockers) or "deletion waits for its children, which are being deleted"
    # While children are disappearing, their number is not updated, because that would be a write for each of them.
    only_blocked_are_left = children.total == len(children.protected) + len(children.blocked)
    summary = ChildCounts(total=children.total, ready=children.ready)
    return o.instance.status.changed(
        observed_generation=o.instance.metadata.generation,
        children=summary if only_blocked_are_left else o.instance.status.children,
        conditions=_conditions(o, o.instance.status, Hold(Reason.DELETION_BLOCKED, message, stalled=stalled)),
    )


def is_held_by_ancestor(status: InstanceStatus) -> bool:
    """Whether the status says that an ancestor, and not the instance's own spec, holds the instance in its phase."""
    return status.reason(ConditionType.READY) == Reason.INHERITED_FROM


def _observed_generation(o: Observed, walked: InstanceStatus, hold: Hold | None) -> int | None:
    """Return the generation to report as observed.

    While a change that shall restart a failed instance waits for a parent or sibling, its generation is not reported.
    The planner recognizes a change by the user only by an unobserved generation, and would forget this one.
    """
    external = (Reason.PARENT_NOT_READY, Reason.DEPENDENCY_NOT_READY, *PARENT_IS_ABSENT)
    waits = hold is not None and hold.reason in external and not hold.stalled
    if waits and walked.phase is Phase.ERROR:
        return walked.observed_generation
    return o.instance.metadata.generation


def _children(o: Observed, walked: InstanceStatus, hold: Hold | None) -> ChildCounts | None:
    """Return the number of children; the old one while children stop, because each of them would cause a write."""
    if hold is not None and hold.reason is Reason.CHILDREN_STOPPING:
        return walked.children
    return ChildCounts(total=o.children.total, ready=o.children.ready) if o.children.total else None


def _stopped_at(o: Observed, walked: InstanceStatus) -> datetime | None:
    """Return the time since which the instance is stopped by its own spec.

    That is now, if an ancestor held it at Stopped until now.
    """
    was_held = is_held_by_ancestor(o.instance.status)
    stops_by_itself = walked.phase is Phase.STOPPED and o.effective.source is None and was_held
    return o.now if stops_by_itself else walked.stopped_at


def _workload_fields(o: Observed, walked: InstanceStatus) -> dict[str, Any]:
    """Return the fields about the workload, all None for a logical instance."""
    runtime, workload = o.runtime, o.workload
    if runtime is None:
        return {"replicas": None, "selector": None, "workload_name": None, "template_generation": None}
    name = runtime.blueprint.names.base if runtime.blueprint else walked.workload_name
    deployment = runtime.owned.get(("Deployment", name or ""))
    # While pods come and go, the number of replicas is not updated, because that would be a write for each of them.
    takes_long = not seconds_until_details(o.with_status(walked))
    settled = workload.available or workload.gone or workload.failure or workload.blockage or takes_long
    running_generation = runtime.template_generation if runtime.current and workload.available else None
    selector = ",".join(f"{label}={value}" for label, value in pod_selector(o.instance.name).items())
    has_template = o.instance.spec.template_ref is not None
    return {
        "replicas": (deployment or {}).get("status", {}).get("replicas", 0) if settled else walked.replicas,
        "selector": selector,
        "workload_name": name,
        "template_generation": (running_generation or walked.template_generation) if has_template else None,
    }


def _conditions(o: Observed, walked: InstanceStatus, hold: Hold | None) -> tuple[Condition, ...]:
    """Return all conditions that apply; an unchanged one keeps its lastTransitionTime."""
    problem = _problem(o, walked)
    refusal = problem if problem and problem.reason is Reason.WRITE_REFUSED else None
    cause = refusal or hold or problem  # a rejected write may itself be the reason for the hold
    stalled = next((blocker for blocker in (refusal, hold, problem) if blocker and blocker.stalled), None)
    contents: dict[ConditionType, _Content] = {}
    if cause:
        contents[ConditionType.READY] = ("False", cause.reason, cause.message)
    else:
        contents[ConditionType.READY] = ("True", *_ready_reason(o, walked))
    if stalled:
        contents[ConditionType.STALLED] = ("True", stalled.reason, stalled.message)
    elif hold:
        contents[ConditionType.RECONCILING] = ("True", hold.reason, hold.message)
    if o.instance.parent_name or not o.link.valid:
        status = "True" if o.link.valid else "False"
        contents[ConditionType.HIERARCHY_VALID] = (status, o.link.reason, o.link.message)
    contents |= _workload_conditions(o, walked) | _domain_conditions(o, walked)
    if message := "; ".join(_warnings(o)):
        contents[ConditionType.WARNING] = ("True", Reason.RUNS_WITH_WARNINGS, message)
    if o.instance.spec.heartbeat:
        heartbeat = heartbeat_condition(o.with_status(walked).instance, o.heartbeats)
        contents |= {ConditionType.HEARTBEAT: heartbeat} if heartbeat else {}
    return tuple(_condition(kind, content, o, walked) for kind, content in contents.items())


def _problem(o: Observed, walked: InstanceStatus) -> Hold | None:
    """Return the problem to report in Ready, without those that another condition reports better."""
    problem = first_hold(PROBLEMS, o)
    if problem is None or problem.reason in PARENT_IS_ABSENT:
        return None  # an absent parent does not affect what runs; HierarchyValid reports it
    if walked.phase in FINAL and problem is service_cannot_be_rendered(o):
        return None  # nothing will be rendered for a final instance; TemplateResolved reports it
    return problem


def _ready_reason(o: Observed, walked: InstanceStatus) -> tuple[Reason, str]:
    reason, message = cause_of_state(o)
    if reason in (Reason.INHERITED_FROM, Reason.RENAMED):
        return reason, message
    return Reason(walked.phase.value), message


def _workload_conditions(o: Observed, walked: InstanceStatus) -> dict[ConditionType, _Content]:
    """Return TemplateResolved and WorkloadAvailable; none for an instance without a template."""
    if o.runtime is None or o.instance.spec.template_ref is None:
        return {}
    problem, template = o.runtime.problem, o.instance.spec.template_ref.name
    if problem:
        resolved: _Content = ("False", problem.reason, problem.message)
    else:
        resolved = ("True", Reason.TEMPLATE_FOUND, f'uses template "{template}"')
    return {
        ConditionType.TEMPLATE_RESOLVED: resolved,
        ConditionType.WORKLOAD_AVAILABLE: _workload_available(o, walked),
    }


def _domain_conditions(o: Observed, walked: InstanceStatus) -> dict[ConditionType, _Content]:
    """Return DomainsAccepted; none for an instance whose service has no domains."""
    blueprint = o.runtime.blueprint if o.runtime else None
    if o.runtime is None or blueprint is None or not blueprint.spec.domains or walked.phase in FINAL:
        return {}
    if not (problems := o.runtime.domain_problems):
        return {
            ConditionType.DOMAINS_ACCEPTED: ("True", Reason.DOMAINS_ACCEPTED, "no other instance claims its domains")
        }
    message = "; ".join(problem.message for problem in problems)
    return {ConditionType.DOMAINS_ACCEPTED: ("False", problems[0].reason, f"not in the Ingress: {message}")}


def _workload_available(o: Observed, walked: InstanceStatus) -> _Content:
    failure = o.workload.failure
    if walked.phase is Phase.STOPPING:
        return "False", Reason.STOPPING, "its pods are being stopped"
    if walked.phase not in ACTIVE:
        return "False", Reason.NOTHING_RUNS, f"the instance is {walked.phase}"
    # After a restart in this walk, the failure is about pods that will be replaced.
    if failure and walked.restarts == o.instance.status.restarts:
        return "False", failure.reason, failure.message
    if hold := workload_is_not_available(o.with_status(walked)):
        return "False", hold.reason, hold.message
    return "True", Reason.WORKLOAD_AVAILABLE, o.workload.message


def _warnings(o: Observed) -> Iterator[str]:
    """Yield messages about settings that are probably not meant, although they prevent nothing."""
    if o.instance.spec.overrides and o.instance.spec.template_ref is None:
        yield "spec.overrides have no effect without a template; set spec.templateRef.name, or remove the overrides"
    elif o.runtime is not None:
        yield from o.runtime.blueprint.warnings if o.runtime.blueprint else ()
        for name, (size, wanted) in oversized_claims(o.runtime).items():
            advice = f"set the size of the volume to {size}"
            yield f'PersistentVolumeClaim "{name}" keeps {size}, because claims cannot shrink to {wanted}; {advice}'


def _condition(kind: ConditionType, content: _Content, o: Observed, walked: InstanceStatus) -> Condition:
    status, reason, message = content[0], content[1], truncate(content[2])
    generation, before = o.instance.metadata.generation, walked.condition(kind)
    old = before and (before.status, before.reason, before.message, before.observed_generation)
    if before and old == (status, reason, message, generation):
        return before
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time if before and before.status == status else o.now,
        observed_generation=generation,
    )
