"""Checks of one observed instance, and the gates that keep it from entering or fulfilling a phase.

Each check is named after the fact that it looks for. It returns a `Hold` if the fact is true, and None otherwise. The
lists at the end define which checks apply to which phase, and in which order.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase, RestartMode
from hopper.domain.heartbeat import HeartbeatState, heartbeat_message
from hopper.domain.lifecycle import STARTED, wants_started
from hopper.domain.messages import LONGEST_MESSAGE, join_names, truncate
from hopper.domain.observed import Observed
from hopper.domain.plan import Hold
from hopper.domain.workload import Failure

Check = Callable[[Observed], Hold | None]

# Reasons of an invalid parent that resolve without a change to this instance. A running instance stays Ready.
PARENT_IS_ABSENT = frozenset({Reason.PARENT_NOT_FOUND, Reason.ORPHANED, Reason.PARENT_IS_BEING_DELETED})

# The message of a wait names the objects only after this time. Most waits are shorter, and every change of a message
# costs a write of the status.
DETAILS_AFTER_SECONDS = 30.0
# A wait for something that a user may have to provide counts as Stalled after this time. It continues nevertheless.
STALLED_AFTER_SECONDS = 120.0
_HOW_TO_RETRY = "change the spec or set spec.restartedAt to try again"


def write_was_refused(o: Observed) -> Hold | None:
    if o.refusal is None:
        return None
    target = "an object that this instance owns" if o.refused else "this instance"
    return Hold(Reason.WRITE_REFUSED, f"the API server rejects a change to {target}: {o.refusal}", stalled=True)


def spec_is_invalid(o: Observed) -> Hold | None:
    if not o.spec_problems:
        return None
    return Hold(Reason.SPEC_INVALID, "; ".join(o.spec_problems), stalled=True)


def config_is_invalid(o: Observed) -> Hold | None:
    if not o.config_problems:
        return None
    return Hold(Reason.CONFIG_INVALID, "; ".join(o.config_problems), stalled=True)


def hierarchy_is_invalid(o: Observed) -> Hold | None:
    if o.link.valid:
        return None
    return Hold(o.link.reason, o.link.message, stalled=o.link.reason not in PARENT_IS_ABSENT)


def rename_is_refused(o: Observed) -> Hold | None:
    if o.takeover is None or o.takeover.refusal is None:
        return None
    return Hold(Reason.RENAME_REFUSED, o.takeover.refusal, stalled=True)


def service_cannot_be_rendered(o: Observed) -> Hold | None:
    return o.runtime.problem if o.runtime else None


def names_are_in_use(o: Observed) -> Hold | None:
    if o.name_conflict is None:
        return None
    return Hold(Reason.NAME_IN_USE, f"waits until the name of an owned object is free: {o.name_conflict}")


def dependencies_are_not_ready(o: Observed) -> Hold | None:
    if o.runtime is None or not o.runtime.missing_dependencies:
        return None
    if o.runtime.cycle:
        cycle = " → ".join(o.runtime.cycle)
        message = f"dependsOn in the templates forms a cycle: {cycle}; remove one of these dependencies"
        return Hold(Reason.DEPENDENCY_NOT_READY, message, stalled=True)
    missing = join_names(o.runtime.missing_dependencies)
    return Hold(Reason.DEPENDENCY_NOT_READY, f"waits for {missing} (dependsOn in the template)")


def parent_is_not_ready(o: Observed) -> Hold | None:
    parent = o.link.parent
    if parent is None or parent.status.phase in STARTED:
        return None
    message = f'waits for parent "{parent.name}", which is'
    if parent.metadata.deletion_timestamp:
        return Hold(Reason.PARENT_NOT_READY, f"{message} being deleted; choose another spec.parentRef.name")
    return Hold(Reason.PARENT_NOT_READY, f"{message} {parent.status.phase}")


def predecessor_is_not_gone(o: Observed) -> Hold | None:
    renamed = o.instance.spec.renamed_from
    if o.takeover is None or renamed is None:
        return None
    predecessor, subject = o.takeover.predecessor, f'"{renamed.name}" (spec.renamedFrom.name)'
    if predecessor is not None and predecessor.spec.deletion_protection:
        advice = "set its spec.deletionProtection to false"
        return Hold(Reason.TAKING_OVER, f"waits for {subject}, which is protected from deletion; {advice}")
    return Hold(Reason.TAKING_OVER, f"takes over from {subject}, which must stop first")


def takeover_has_begun(o: Observed) -> Hold | None:
    return predecessor_is_not_gone(o) if o.takeover and o.takeover.begun else None


def restart_is_disabled(o: Observed) -> Hold | None:
    if not _remains_in_error(o) or o.restart_policy.policy is not RestartMode.NEVER:
        return None
    message = f"{_last_error(o)}; spec.restartPolicy.policy is Never; {_HOW_TO_RETRY}"
    return Hold(Reason.RESTART_NEVER, message, stalled=True)


def restarts_are_exhausted(o: Observed) -> Hold | None:
    policy = o.restart_policy
    if not _remains_in_error(o) or policy.policy is not RestartMode.ON_FAILURE:
        return None
    if o.instance.status.retries < policy.max_retries:
        return None
    message = f"{_last_error(o)}; gave up after {policy.max_retries} restarts (spec.restartPolicy.maxRetries)"
    return Hold(Reason.RESTARTS_EXHAUSTED, f"{message}; {_HOW_TO_RETRY}", stalled=True)


def back_off_is_running(o: Observed) -> Hold | None:
    if not _remains_in_error(o):
        return None
    policy, status = o.restart_policy, o.instance.status
    # With backoffSeconds 0 there is no delay to double. Only the first restart is immediate then; the others start
    # from 1 s, so that an instance that fails at once does not restart in a tight loop.
    first_delay = policy.backoff_seconds or (1 if status.retries else 0)
    # 2^30 exceeds every maxBackoffSeconds, and a larger power would only cost time.
    delay = min(first_delay * 2 ** min(status.retries, 30), policy.max_backoff_seconds)
    remaining = seconds_until(phase_entered_at(o) + timedelta(seconds=delay), o.now)
    if remaining <= 0:
        return None
    return Hold(Reason.BACK_OFF, f"{_last_error(o)}; next restart {delay} s after the failure", retry_after=remaining)


def workload_is_not_available(o: Observed) -> Hold | None:
    if o.workload.available:
        return None
    if blockage := o.workload.blockage:
        remaining = seconds_until(blockage.since + timedelta(seconds=STALLED_AFTER_SECONDS), o.now)
        return Hold(
            blockage.reason,
            f"{blockage.message}; it continues by itself when the cause is gone",
            stalled=remaining <= 0,
            retry_after=remaining if remaining > 0 else None,
        )
    # The Deployment may report the end of a rollout too early. A rollout that was reported lasts until the workload
    # is available.
    rolls_out = o.workload.rolling_out or o.instance.status.reason(ConditionType.READY) == Reason.ROLLING_OUT
    if o.phase in STARTED and rolls_out:
        return _wait(o, Reason.ROLLING_OUT, "a change is being rolled out", o.workload.message)
    return _wait(o, Reason.STARTING, "waits for its workload to become available", o.workload.message)


def children_are_active(o: Observed) -> Hold | None:
    # A restart of the instance leaves its children running.
    if wants_started(o.effective.state) or not o.children.active:
        return None
    summary = "waits for its children to stop"
    return _wait(o, Reason.CHILDREN_STOPPING, summary, f"{summary}: {join_names(o.children.active)}")


def workload_is_not_gone(o: Observed) -> Hold | None:
    if o.workload.gone:
        return None
    return _wait(o, Reason.STOPPING, "waits for its pods to stop", o.workload.message)


def current_failure(o: Observed) -> Failure | None:
    """Return the failure that must put the instance into Error: that of its workload, or lost heartbeats."""
    if o.workload.failure and o.phase in (Phase.STARTING, *STARTED):
        return o.workload.failure
    heartbeat = o.instance.spec.heartbeat
    if o.phase is Phase.RUNNING and heartbeat and o.heartbeat_state is HeartbeatState.LOST:
        return Failure(Reason.HEARTBEAT_LOST, heartbeat_message(HeartbeatState.LOST, heartbeat.timeout_seconds))
    return None


def seconds_until_details(o: Observed) -> float:
    """Return the seconds until a wait is long enough to name details in its message; 0 if it is already."""
    ready = o.instance.status.condition(ConditionType.READY)
    moments = [o.instance.status.last_transition_time]
    if ready is not None:
        moments.append(o.now if ready.status == "True" else ready.last_transition_time)
    wait_started = min(max((moment for moment in moments if moment), default=o.now), o.now)
    return max(seconds_until(wait_started + timedelta(seconds=DETAILS_AFTER_SECONDS), o.now), 0.0)


def seconds_until(moment: datetime, now: datetime) -> float:
    """Return the seconds from `now` until the moment; negative if it has passed."""
    return (moment - now).total_seconds()


def phase_entered_at(o: Observed) -> datetime:
    """Return the time of the last transition; `now` if the status holds a time in the future."""
    return min(o.instance.status.last_transition_time or o.instance.metadata.creation_timestamp, o.now)


def _wait(o: Observed, reason: Reason, summary: str, details: str) -> Hold:
    """Return a hold with the summary at first, and with the details once the wait takes long."""
    remaining = seconds_until_details(o)
    if remaining or not details:
        return Hold(reason, summary, retry_after=remaining or None)
    return Hold(reason, details)


def _remains_in_error(o: Observed) -> bool:
    """Whether only the restart policy can lead out of Error."""
    return o.phase is Phase.ERROR and not o.user_acted and not o.has_recovered


def _last_error(o: Observed) -> str:
    """Return the cause of the last Error, short enough to leave room for advice."""
    entries = [entry for entry in o.instance.status.history if entry.to == Phase.ERROR]
    message = (entries[-1].message or entries[-1].reason) if entries else "is in Error"
    return truncate(message, LONGEST_MESSAGE // 2)


# Problems that hold in every phase. They prevent a start, and they are reported even if the instance already runs.
PROBLEMS: tuple[Check, ...] = (
    # Nothing can improve until the API server accepts the write, so this hides all other problems.
    write_was_refused,
    # A field that cannot be read is missing in everything that the checks below look at.
    spec_is_invalid,
    # The limits and inherited values that the hierarchy is checked against come from the configuration.
    config_is_invalid,
    # Rendering needs the ancestors: their configuration, and the project in the names of the objects.
    hierarchy_is_invalid,
    # A takeover decides the names of the claims, so its refusal comes before problems of rendering.
    rename_is_refused,
    # Only what can be rendered is ever written …
    service_cannot_be_rendered,
    # … and only a write shows that a name is in use.
    names_are_in_use,
)

# Conditions for entering a phase. The first check that returns a hold decides.
GATES: dict[Phase, tuple[Check, ...]] = {
    Phase.STARTING: (
        # Problems that a user must fix come before waits that end by themselves.
        *PROBLEMS,
        # Parents start before their children. While the parent is down, the siblings usually are too, so it is the
        # more useful thing to report.
        parent_is_not_ready,
        dependencies_are_not_ready,
        # The restart policy comes after the waits, because a restart that has to wait is not an attempt.
        restart_is_disabled,
        restarts_are_exhausted,
        # A delay makes sense only while a restart is left.
        back_off_is_running,
        # Last, because this hold announces the takeover, which stops the predecessor. That must not happen while
        # anything else still prevents the start.
        predecessor_is_not_gone,
    ),
    # The start is complete as soon as the workload is available; nothing else may delay it.
    Phase.RUNNING: (workload_is_not_available,),
    Phase.STOPPED: (
        # Children stop before their parent.
        children_are_active,
        # Our own pods stop only after the children, so they are checked second.
        workload_is_not_gone,
        # An instance that has left Created cannot take over any more, so it stays in Created until the takeover is
        # complete. A refused takeover never begins, so the refusal is reported first.
        rename_is_refused,
        predecessor_is_not_gone,
    ),
    Phase.ARCHIVED: (
        # The first two as for Stopped.
        children_are_active,
        workload_is_not_gone,
        # A final instance cannot take over any more. A refusal was reported on the way through Stopped.
        predecessor_is_not_gone,
    ),
    Phase.TERMINATED: (
        # The first two as for Stopped.
        children_are_active,
        workload_is_not_gone,
        # A takeover that has not begun is dropped, which leaves the predecessor alone. One that has begun is completed,
        # because the predecessor is stopped already.
        takeover_has_begun,
    ),
}

# Conditions for being Ready in a phase that was reached. They can fail later, for example when pods fail.
INVARIANTS: dict[Phase, tuple[Check, ...]] = {
    # A started instance needs its pods.
    **dict.fromkeys((Phase.RUNNING, Phase.PAUSED), (workload_is_not_available,)),
    # An inactive instance must have none. Pods of its own matter more than a takeover that is still being completed.
    **dict.fromkeys((Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED), (workload_is_not_gone, takeover_has_begun)),
}


def first_hold(checks: tuple[Check, ...], o: Observed) -> Hold | None:
    """Return the hold of the first check that finds its fact; None if no check does."""
    return next((hold for check in checks if (hold := check(o))), None)
