"""Small checks, each named as the fact it looks for. The order of the lists at the end is the specification.

A check answers a `Hold` where the fact is true, which keeps the instance from entering a phase, and None otherwise.
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

# Links in this state say nothing against what already runs: the parent is away, not wrong.
PARENT_IS_AWAY = frozenset({Reason.PARENT_NOT_FOUND, Reason.ORPHANED, Reason.PARENT_IS_BEING_DELETED})

# What takes longer than this is told in detail.
DETAILS_AFTER_SECONDS = 30.0
_TRY_AGAIN = "change the spec or set restartedAt to try again"


def write_was_refused(o: Observed) -> Hold | None:
    if o.refusal is None:
        return None
    what = "what this instance owns" if o.refused else "this instance"
    return Hold(Reason.WRITE_REFUSED, f"the API server refuses a change to {what}: {o.refusal}", stalled=True)


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
    return Hold(o.link.reason, o.link.message, stalled=o.link.reason not in PARENT_IS_AWAY)


def rename_is_refused(o: Observed) -> Hold | None:
    if o.takeover is None or o.takeover.refusal is None:
        return None
    return Hold(Reason.RENAME_REFUSED, o.takeover.refusal, stalled=True)


def service_cannot_be_rendered(o: Observed) -> Hold | None:
    return o.runtime.problem if o.runtime else None


def names_are_in_use(o: Observed) -> Hold | None:
    if o.name_conflict is None:
        return None
    return Hold(Reason.NAME_IN_USE, f"waits for the name of what it is to own: {o.name_conflict}")


def dependencies_are_not_ready(o: Observed) -> Hold | None:
    if o.runtime is None or not o.runtime.missing_dependencies:
        return None
    if o.runtime.cycle:
        cycle = " → ".join(o.runtime.cycle)
        message = f"waits in a cycle: {cycle} (dependsOn of their templates); remove one of these dependencies"
        return Hold(Reason.DEPENDENCY_NOT_READY, message, stalled=True)
    return Hold(
        Reason.DEPENDENCY_NOT_READY,
        f"waits for {join_names(o.runtime.missing_dependencies)} (dependsOn of its template)",
    )


def parent_is_not_ready(o: Observed) -> Hold | None:
    parent = o.link.parent
    if parent is None or parent.status.phase in STARTED:
        return None
    waits = f'waits for parent "{parent.name}", which is'
    if parent.metadata.deletion_timestamp:
        return Hold(Reason.PARENT_NOT_READY, f"{waits} being deleted; choose another spec.parentRef.name")
    return Hold(Reason.PARENT_NOT_READY, f"{waits} {parent.status.phase}")


def predecessor_is_not_gone(o: Observed) -> Hold | None:
    renamed = o.instance.spec.renamed_from
    if o.takeover is None or renamed is None:
        return None
    predecessor = o.takeover.predecessor
    if predecessor is not None and predecessor.spec.deletion_protection:
        do = "set spec.deletionProtection to false there"
        return Hold(Reason.TAKING_OVER, f'waits for "{renamed.name}" (spec.renamedFrom.name), which is protected: {do}')
    return Hold(Reason.TAKING_OVER, f'takes over from "{renamed.name}" (spec.renamedFrom.name), which stops first')


def takeover_is_under_way(o: Observed) -> Hold | None:
    return predecessor_is_not_gone(o) if o.takeover and o.takeover.begun else None


def restart_is_never_wanted(o: Observed) -> Hold | None:
    if not _waits_in_error(o) or o.restart_policy.policy is not RestartMode.NEVER:
        return None
    return Hold(Reason.RESTART_NEVER, f"{_last_error(o)}; restartPolicy.policy is Never; {_TRY_AGAIN}", stalled=True)


def restarts_are_exhausted(o: Observed) -> Hold | None:
    policy = o.restart_policy
    if not _waits_in_error(o) or policy.policy is not RestartMode.ON_FAILURE:
        return None
    if o.instance.status.retries < policy.max_retries:
        return None
    message = f"{_last_error(o)}; gave up after {policy.max_retries} restarts (restartPolicy.maxRetries)"
    return Hold(Reason.RESTARTS_EXHAUSTED, f"{message}; {_TRY_AGAIN}", stalled=True)


def back_off_is_running(o: Observed) -> Hold | None:
    if not _waits_in_error(o):
        return None
    policy, status = o.restart_policy, o.instance.status
    # Without a delay to double, only the first restart is immediate: what fails at once is not to be hurried.
    first = policy.backoff_seconds or (1 if status.retries else 0)
    # 2^30 is beyond any maxBackoffSeconds: a larger power would only cost time.
    delay = min(first * 2 ** min(status.retries, 30), policy.max_backoff_seconds)
    remaining = seconds_until(in_phase_since(o) + timedelta(seconds=delay), o.now)
    if remaining <= 0:
        return None
    return Hold(Reason.BACK_OFF, f"{_last_error(o)}; next restart {delay} s after the failure", retry_after=remaining)


def workload_is_not_available(o: Observed) -> Hold | None:
    if o.workload.available:
        return None
    # A rollout lasts until it is complete; a Deployment may tell of an end before that.
    rolls_out = o.workload.rolling_out or o.instance.status.reason(ConditionType.READY) == Reason.ROLLING_OUT
    if o.phase in STARTED and rolls_out:
        return _wait(o, Reason.ROLLING_OUT, "rolls out a change", o.workload.message)
    return _wait(o, Reason.STARTING, "waits for its workload to become available", o.workload.message)


def children_are_stopping(o: Observed) -> Hold | None:
    if wants_started(o.effective.state) or not o.children.active:  # a restart does not take the children along
        return None
    what = "waits for its children to stop"
    return _wait(o, Reason.CHILDREN_STOPPING, what, f"{what}: {join_names(o.children.active)}")


def workload_is_not_gone(o: Observed) -> Hold | None:
    if o.workload.gone:
        return None
    return _wait(o, Reason.STOPPING, "waits for its pods to stop", o.workload.message)


def current_failure(o: Observed) -> Failure | None:
    """Return why what runs is to be in Error: its workload has failed, or nothing was heard of it for too long."""
    if o.workload.failure and o.phase in (Phase.STARTING, *STARTED):
        return o.workload.failure
    expected = o.instance.spec.heartbeat
    if o.phase is Phase.RUNNING and expected and o.heartbeat_state is HeartbeatState.LOST:
        return Failure(Reason.HEARTBEAT_LOST, heartbeat_message(HeartbeatState.LOST, expected.timeout_seconds))
    return None


def still_brief(o: Observed) -> float:
    """Return for how many more seconds a wait is not worth details: each of them would be a write of the status."""
    ready = o.instance.status.condition(ConditionType.READY)
    since = [o.instance.status.last_transition_time]
    if ready is not None:
        since.append(o.now if ready.status == "True" else ready.last_transition_time)
    begun = min(max((moment for moment in since if moment), default=o.now), o.now)
    return max(seconds_until(begun + timedelta(seconds=DETAILS_AFTER_SECONDS), o.now), 0.0)


def _wait(o: Observed, reason: Reason, what: str, details: str) -> Hold:
    remaining = still_brief(o)
    if remaining or not details:
        return Hold(reason, what, retry_after=remaining or None)
    return Hold(reason, details)


def _waits_in_error(o: Observed) -> bool:
    return o.phase is Phase.ERROR and not o.user_acted and not o.has_recovered


def seconds_until(moment: datetime, now: datetime) -> float:
    """Return how many seconds are left, negative when it has passed."""
    return (moment - now).total_seconds()


def in_phase_since(o: Observed) -> datetime:
    """Return when it entered its phase; a time to come, which somebody must have written there, counts as now."""
    return min(o.instance.status.last_transition_time or o.instance.metadata.creation_timestamp, o.now)


def _last_error(o: Observed) -> str:
    entries = [entry for entry in o.instance.status.history if entry.to == Phase.ERROR]
    said = (entries[-1].message or entries[-1].reason) if entries else "is in Error"
    return truncate(said, LONGEST_MESSAGE // 2)  # leave room for what is to be done about it


# What speaks against an instance whatever it does, and against starting it.
COMPLAINTS: tuple[Check, ...] = (
    write_was_refused,
    spec_is_invalid,
    config_is_invalid,
    hierarchy_is_invalid,
    rename_is_refused,
    service_cannot_be_rendered,
    names_are_in_use,
)

_DOWN: tuple[Check, ...] = (children_are_stopping, workload_is_not_gone)

# What keeps an instance from entering a phase.
GATES: dict[Phase, tuple[Check, ...]] = {
    Phase.STARTING: (
        *COMPLAINTS,
        parent_is_not_ready,
        dependencies_are_not_ready,
        restart_is_never_wanted,
        restarts_are_exhausted,
        back_off_is_running,
        predecessor_is_not_gone,
    ),
    Phase.RUNNING: (workload_is_not_available,),
    Phase.STOPPED: (*_DOWN, rename_is_refused, predecessor_is_not_gone),
    Phase.ARCHIVED: (*_DOWN, predecessor_is_not_gone),
    Phase.TERMINATED: (*_DOWN, takeover_is_under_way),
}

# What has to hold on in a phase: without it the instance is not where it should be, although it got there once.
LASTING: dict[Phase, tuple[Check, ...]] = {
    **dict.fromkeys((Phase.RUNNING, Phase.PAUSED), (workload_is_not_available,)),
    **dict.fromkeys((Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED), (workload_is_not_gone, takeover_is_under_way)),
}


def first_hold(checks: tuple[Check, ...], o: Observed) -> Hold | None:
    """Return what the first check that applies has to say."""
    return next((hold for check in checks if (hold := check(o))), None)
