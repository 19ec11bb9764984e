"""Requested restarts, failures, the restart policy, and refusing hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import Reason
from hopper.api.enums import DesiredState, Phase, RestartMode, Scope
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.domain.observed import HookFailure, Observed, Runtime
from hopper.domain.plan import Hold
from hopper.domain.planner import plan
from hopper.domain.walk import HOOK_RETRY_SECONDS, walk
from hopper.domain.workload import Failure, Workload
from tests.unit.domain.sample_instances import NOW, instance, observe, phases, policy, seconds, transition_entry

CRASH = Failure(Reason.BACK_OFF, "crash loop: exit code 1")
FAILED = Workload(available=False, gone=False, failure=CRASH)
NEVER, ON_FAILURE, ALWAYS = (policy(mode) for mode in (RestartMode.NEVER, RestartMode.ON_FAILURE, RestartMode.ALWAYS))


def planned(o: Observed) -> InstanceStatus:
    status = plan(o).status
    assert status is not None
    return status


def hold_of(o: Observed) -> Hold | None:
    return walk(o)[2]


def after(o: Observed, **changes: Any) -> Observed:
    """Return the observation after its plan was written."""
    return replace(o.with_status(planned(o)), **changes)


def failed(**fields: Any) -> HopperInstance:
    """Build an instance in Error with the cause in its history."""
    entry = transition_entry(Phase.RUNNING, Phase.ERROR, message="crash loop", reason="BackOff")
    status = {"history": (entry,)} | fields.pop("status", {})
    return instance(phase=Phase.ERROR, status=status, **fields)


# phase → phases after a requested restart with desired state Running, and number of restarts counted
RESTARTS = {
    Phase.CREATED: ("Created Starting Running", 0),
    Phase.STARTING: ("Starting Stopping Stopped Starting Running", 1),
    Phase.RUNNING: ("Running Stopping Stopped Starting Running", 1),
    Phase.PAUSED: ("Paused Stopping Stopped Starting Running", 1),
    Phase.STOPPING: ("Stopping Stopped Starting Running", 0),
    Phase.STOPPED: ("Stopped Starting Running", 0),
    Phase.ERROR: ("Error Starting Running", 1),
    Phase.ARCHIVED: ("", 0),
    Phase.TERMINATED: ("", 0),
}


@pytest.mark.parametrize("phase", Phase)
def test_a_requested_restart_in_every_phase(phase: Phase) -> None:
    o = observe(instance(phase=phase, restarted_at=NOW, reason="new certificate"))
    decided = plan(o)
    expected, counted = RESTARTS[phase]
    assert phases(decided) == expected
    assert decided.status
    assert (decided.status.restarts, decided.status.restarted_at) == (counted, NOW)
    assert planned(after(o)) == decided.status, "the request is handled once"
    if counted:
        first = decided.transitions[0]
        assert (first.reason, first.message) == (Reason.RESTART_REQUESTED, "new certificate")


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
@pytest.mark.parametrize("phase", Phase)
def test_a_restart_does_not_start_an_instance_that_should_be_stopped(phase: Phase, desired: DesiredState) -> None:
    o = observe(instance(phase=phase, desired=desired, restarted_at=NOW))
    status = planned(o)
    assert "Starting" not in phases(plan(o)).split()[1:]
    assert (status.restarts, status.restarted_at) == (0, NOW)
    assert planned(after(o)) == status


def test_a_paused_instance_is_paused_again_after_a_restart() -> None:
    o = observe(instance(phase=Phase.PAUSED, desired=DesiredState.PAUSED, restarted_at=NOW))
    assert phases(plan(o)) == "Paused Stopping Stopped Starting Running Paused"


def test_a_new_instance_has_nothing_to_restart() -> None:
    o = observe(instance(restarted_at=NOW))
    status = planned(o)
    assert (status.phase, status.restarts, status.restarted_at) == (Phase.RUNNING, 0, NOW)


def test_the_same_time_in_another_time_zone_requests_nothing() -> None:
    """The API server keeps a time as it was written."""
    known = {"restarted_at": NOW}
    o = observe(instance(phase=Phase.RUNNING, restarted_at="2026-03-01T14:00:00+02:00", status=known))
    assert not plan(o).transitions


def test_each_new_value_restarts_once() -> None:
    o = after(observe(instance(phase=Phase.RUNNING, restarted_at=NOW - seconds(5))))
    again = replace(o.instance, spec=replace(o.instance.spec, restarted_at=NOW))
    assert planned(replace(o, instance=again)).restarts == 2


def test_a_restart_waits_for_the_workload() -> None:
    o = observe(instance(phase=Phase.RUNNING, restarted_at=NOW), workload=Workload(gone=False))
    assert phases(plan(o)) == "Running Stopping"
    assert planned(o).restarts == 1
    o = after(o, workload=Workload(available=False))
    assert phases(plan(o)) == "Stopping Stopped Starting"
    o = after(o, workload=Workload(gone=False))
    assert phases(plan(o)) == "Starting Running"
    assert planned(o).restarts == 1


BELOW_A_FAILED_PARENT = instance("web", phase=Phase.ERROR)


def worker(**fields: Any) -> HopperInstance:
    return instance("worker", Scope.ORCHESTRATION, **({"parent": BELOW_A_FAILED_PARENT} | fields))


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.PAUSED])
def test_a_restart_waits_until_the_instance_could_start_again(phase: Phase) -> None:
    o = observe(worker(phase=phase, restarted_at=NOW), BELOW_A_FAILED_PARENT)
    hold = hold_of(o)
    assert hold
    assert hold.reason is Reason.PARENT_NOT_READY
    assert planned(o).restarted_at is None, "the request is kept"
    assert Phase.STOPPING not in phases(plan(o)).split()
    running_parent = replace(BELOW_A_FAILED_PARENT, status=InstanceStatus(phase=Phase.RUNNING))
    later = observe(after(o).instance, running_parent)
    assert planned(later).restarts == 1


def test_a_waiting_restart_does_not_delay_other_transitions() -> None:
    """Pausing, resuming and stopping do not wait for the restart."""
    for phase, desired in (
        (Phase.RUNNING, DesiredState.PAUSED),
        (Phase.PAUSED, DesiredState.RUNNING),
        (Phase.STARTING, DesiredState.RUNNING),
        (Phase.RUNNING, DesiredState.STOPPED),
    ):
        o = observe(worker(phase=phase, desired=desired, restarted_at=NOW), BELOW_A_FAILED_PARENT)
        assert planned(o).phase.value == desired.value
        hold = hold_of(o)
        assert (hold.reason if hold else None) == (None if desired == "Stopped" else Reason.PARENT_NOT_READY)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.PAUSED])
def test_a_workload_failure_leads_to_error(phase: Phase) -> None:
    desired = DesiredState.PAUSED if phase is Phase.PAUSED else DesiredState.RUNNING
    o = observe(instance(phase=phase, desired=desired), workload=FAILED)
    (step,) = plan(o).transitions
    assert (step.target, step.reason, step.message) == (Phase.ERROR, CRASH.reason, CRASH.message)
    assert hold_of(o) == Hold(Reason.BACK_OFF, f"{CRASH.message}; next restart 10 s after the failure", False, 10.0)


@pytest.mark.parametrize("phase", [Phase.CREATED, Phase.STOPPING, Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED])
def test_an_instance_without_pods_does_not_fail(phase: Phase) -> None:
    o = observe(instance(phase=phase, desired=DesiredState.STOPPED), workload=replace(FAILED, gone=True))
    assert Phase.ERROR not in phases(plan(o)).split()


@pytest.mark.parametrize("desired", DesiredState)
def test_every_desired_state_is_reached_from_a_crash_loop(desired: DesiredState) -> None:
    o = observe(failed(desired=desired, generation=2, seen=1), workload=FAILED)
    going_down = desired in ("Stopped", "Archived", "Terminated")
    assert phases(plan(o)) == ("Error Stopping" if going_down else "Error Starting")
    done = planned(after(o, workload=Workload()))
    assert done.phase.value == desired.value


# retries so far → seconds from the failure to the next restart; 10 s doubled each time, 300 s at most
BACK_OFF = {0: 10, 1: 20, 2: 40, 3: 80, 4: 160, 5: 300, 6: 300, 1000: 300}


@pytest.mark.parametrize(("retries", "delay"), BACK_OFF.items())
def test_the_back_off_delay_doubles_up_to_the_maximum(retries: int, delay: int) -> None:
    before = failed(restart_policy=ALWAYS, status={"retries": retries, "restarts": retries}, since=delay - 1)
    o = observe(before)
    assert hold_of(o) == Hold(Reason.BACK_OFF, f"crash loop; next restart {delay} s after the failure", False, 1.0)
    assert plan(o).requeue_after == 1.0
    later = replace(o, now=NOW + seconds(1))
    (step, *_) = plan(later).transitions
    assert (step.target, step.reason) == (Phase.STARTING, Reason.RESTART_POLICY)
    assert step.message == f"restart attempt {retries + 1}"
    status = planned(later)
    assert (status.retries, status.restarts) == (retries + 1, retries + 1)


def test_without_a_backoff_only_the_first_restart_is_immediate() -> None:
    """Otherwise a workload that fails at once would restart, and its status be written, in a tight loop."""
    eager = policy(RestartMode.ALWAYS, backoff_seconds=0)
    o = observe(instance(phase=Phase.RUNNING, restart_policy=eager), workload=FAILED)
    assert phases(plan(o)) == "Running Error Starting"
    delays = []
    for _ in range(4):
        o = after(o)
        delays.append(plan(o).requeue_after)
        o = replace(after(o), now=o.now + seconds(delays[-1] or 0))
    assert delays == [2.0, 4.0, 8.0, 16.0]


def test_restarts_end_at_max_retries() -> None:
    o = observe(failed(status={"retries": 5, "restarts": 7}))
    hold = hold_of(o)
    assert hold
    assert (hold.reason, hold.stalled, hold.retry_after) == (Reason.RESTARTS_EXHAUSTED, True, None)
    assert hold.message == (
        "crash loop; gave up after 5 restarts (spec.restartPolicy.maxRetries); "
        "change the spec or set spec.restartedAt to try again"
    )
    assert planned(o).restarts == 7
    assert hold_of(observe(failed(status={"retries": 4}, since=1000))) is None


def test_max_retries_zero_never_restarts() -> None:
    hold = hold_of(observe(failed(restart_policy=policy(max_retries=0))))
    assert hold
    assert hold.reason is Reason.RESTARTS_EXHAUSTED


def test_policy_never_never_restarts() -> None:
    o = observe(failed(restart_policy=NEVER, since=10_000))
    hold = hold_of(o)
    assert hold
    assert (hold.reason, hold.stalled) == (Reason.RESTART_NEVER, True)
    assert hold.message == (
        "crash loop; spec.restartPolicy.policy is Never; change the spec or set spec.restartedAt to try again"
    )


def test_an_error_without_history_has_a_message() -> None:
    hold = hold_of(observe(instance(phase=Phase.ERROR, restart_policy=NEVER)))
    assert hold
    assert hold.message.startswith("is in Error; ")
    named = observe(failed(restart_policy=NEVER, status={"history": (transition_entry(Phase.RUNNING, Phase.ERROR),)}))
    assert planned(named).conditions[0].message.startswith("DesiredState; ")


USER_CHANGES = {
    "changes the spec": ({"generation": 2, "seen": 1}, Reason.SPEC_CHANGED, 0),
    "asks for a restart": ({"restarted_at": NOW}, Reason.RESTART_REQUESTED, 1),
}


@pytest.mark.parametrize("act", USER_CHANGES.values(), ids=USER_CHANGES)
@pytest.mark.parametrize("given", [NEVER, ON_FAILURE, ALWAYS], ids=lambda given: given.policy)
def test_a_user_change_restarts_a_failed_instance_at_once(given: Any, act: tuple[dict[str, Any], Reason, int]) -> None:
    fields, reason, counted = act
    o = observe(failed(restart_policy=given, status={"retries": 5}, reason="fixed", **fields))
    (step, *_) = plan(o).transitions
    assert (step.target, step.reason, step.message) == (Phase.STARTING, reason, "fixed")
    status = planned(o)
    assert (status.retries, status.restarts) == (0, counted)


@pytest.mark.parametrize("act", USER_CHANGES.values(), ids=USER_CHANGES)
@pytest.mark.parametrize("given", [NEVER, ON_FAILURE, ALWAYS], ids=lambda given: given.policy)
def test_a_user_change_is_remembered_while_the_parent_is_down(
    given: Any, act: tuple[dict[str, Any], Reason, int]
) -> None:
    """Parent and child are often fixed by the same `kubectl apply`."""
    fields, reason, _ = act
    fixed = worker(phase=Phase.ERROR, restart_policy=given, status={"retries": 5}, **fields)
    o = observe(fixed, BELOW_A_FAILED_PARENT)
    hold = hold_of(o)
    assert hold
    assert hold.reason is Reason.PARENT_NOT_READY
    assert planned(after(o)) == planned(o)
    (step, *_) = plan(observe(after(o).instance, instance("web", phase=Phase.RUNNING))).transitions
    assert (step.target, step.reason) == (Phase.STARTING, reason)


@pytest.mark.parametrize("act", USER_CHANGES.values(), ids=USER_CHANGES)
def test_a_user_change_is_remembered_while_a_sibling_is_down(act: tuple[dict[str, Any], Reason, int]) -> None:
    fields, reason, _ = act
    fixed = failed(restart_policy=NEVER, **fields)
    o = observe(fixed, runtime=Runtime(owned={}, missing_dependencies=("db, which is Error",)))
    hold = hold_of(o)
    assert hold
    assert hold.reason is Reason.DEPENDENCY_NOT_READY
    assert planned(after(o)) == planned(o)
    (step, *_) = plan(replace(after(o), runtime=Runtime(owned={}))).transitions
    assert (step.target, step.reason) == (Phase.STARTING, reason)


def test_a_user_change_that_does_not_help_is_observed() -> None:
    """The generation is observed, so that only another change of the spec restarts the instance."""
    o = observe(failed(generation=2, seen=1, status={"retries": 5}), config_problems=("spec.config.x is wrong",))
    status = planned(o)
    assert (status.observed_generation, status.retries) == (2, 0)
    assert planned(after(o)) == status


def test_a_stable_run_resets_the_retries() -> None:
    fields: dict[str, Any] = {"restart_policy": policy(max_backoff_seconds=120), "phase": Phase.RUNNING}
    for ran, expected in ((119, 4), (120, 0)):
        before = instance(**fields, status={"retries": 4, "started_at": NOW - seconds(ran)})
        status = planned(observe(before, workload=FAILED))
        assert (status.phase, status.retries) == (Phase.ERROR, expected)


def test_a_failed_start_does_not_reset_the_retries() -> None:
    before = instance(phase=Phase.STARTING, status={"retries": 4, "started_at": NOW - seconds(10_000)})
    assert planned(observe(before, workload=FAILED)).retries == 4


def test_a_stop_resets_the_retries() -> None:
    """The next start is not a restart by the restart policy."""
    o = observe(failed(desired=DesiredState.STOPPED, status={"retries": 5}))
    assert (planned(o).phase, planned(o).retries) == (Phase.STOPPED, 0)


def test_a_failed_instance_can_be_stopped() -> None:
    o = observe(instance(phase=Phase.RUNNING, desired=DesiredState.STOPPED), workload=replace(FAILED, gone=True))
    assert phases(plan(o)) == "Running Error Stopping Stopped"


def refused(source: Phase, target: Phase) -> HookFailure:
    return HookFailure(source, target, f"hook Quota refused {target}: no room")


@pytest.mark.parametrize("generation", [1, 2], ids=["unchanged", "changed by the user"])
@pytest.mark.parametrize("source", [Phase.CREATED, Phase.STOPPED, Phase.ERROR])
def test_a_start_refused_by_a_hook_leads_to_error(source: Phase, generation: int) -> None:
    before = instance(phase=source, generation=generation, seen=1, since=1000)
    o = observe(before, hook_failure=refused(source, Phase.STARTING))
    decided = plan(o)
    assert phases(decided) == f"{source} Starting Error"
    assert decided.transitions[-1].reason is Reason.HOOK_FAILED
    retries = 1 if (source, generation) == (Phase.ERROR, 1) else 0
    delay = 10.0 * 2**retries
    message = f"hook Quota refused Starting: no room; next restart {delay:.0f} s after the failure"
    assert hold_of(o) == Hold(Reason.BACK_OFF, message, False, delay)
    again = plan(after(o, hook_failure=None))
    assert (again.status, again.transitions) == (decided.status, ())


def test_a_first_start_refused_by_a_hook_leads_to_error() -> None:
    o = observe(instance(), hook_failure=refused(Phase.CREATED, Phase.STARTING))
    assert planned(after(o, hook_failure=None)) == planned(o)
    assert planned(o).phase is Phase.ERROR


def test_a_hook_can_refuse_the_transition_to_running() -> None:
    before = instance(phase=Phase.STARTING, restart_policy=NEVER)
    o = observe(before, hook_failure=refused(Phase.STARTING, Phase.RUNNING))
    assert phases(plan(o)) == "Starting Error"
    hold = hold_of(o)
    assert hold
    assert hold.reason is Reason.RESTART_NEVER


def test_a_refused_start_without_back_off_is_retried_after_a_second() -> None:
    eager = policy(backoff_seconds=0)
    o = observe(instance(restart_policy=eager), hook_failure=refused(Phase.CREATED, Phase.STARTING))
    assert hold_of(o) == Hold(Reason.BACK_OFF, "hook Quota refused Starting: no room", False, 1.0)


OTHER_TRANSITIONS = [
    (Phase.RUNNING, DesiredState.PAUSED, Phase.PAUSED),
    (Phase.PAUSED, DesiredState.RUNNING, Phase.RUNNING),
    (Phase.STARTING, DesiredState.STOPPED, Phase.STOPPING),
    (Phase.RUNNING, DesiredState.STOPPED, Phase.STOPPING),
    (Phase.ERROR, DesiredState.STOPPED, Phase.STOPPING),
    (Phase.STOPPING, DesiredState.STOPPED, Phase.STOPPED),
    (Phase.STOPPED, DesiredState.ARCHIVED, Phase.ARCHIVED),
    (Phase.ARCHIVED, DesiredState.TERMINATED, Phase.TERMINATED),
]


@pytest.mark.parametrize(("phase", "desired", "target"), OTHER_TRANSITIONS)
def test_any_other_refused_transition_is_retried(phase: Phase, desired: DesiredState, target: Phase) -> None:
    o = observe(instance(phase=phase, desired=desired), hook_failure=refused(phase, target))
    assert not plan(o).transitions
    message = f"hook Quota refused {target}: no room; retried every 10 s"
    assert hold_of(o) == Hold(Reason.HOOK_FAILED, message, False, HOOK_RETRY_SECONDS)


def test_transitions_before_a_refused_one_are_made() -> None:
    o = observe(instance(phase=Phase.CREATED, desired=DesiredState.PAUSED))
    o = replace(o, hook_failure=refused(Phase.RUNNING, Phase.PAUSED))
    assert phases(plan(o)) == "Created Starting Running"


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.PAUSED])
def test_a_refused_restart_is_retried(phase: Phase) -> None:
    desired = DesiredState.PAUSED if phase is Phase.PAUSED else DesiredState.RUNNING
    o = observe(instance(phase=phase, desired=desired, restarted_at=NOW), hook_failure=refused(phase, Phase.STOPPING))
    assert not {Phase.STOPPING, Phase.ERROR} & set(phases(plan(o)).split())
    hold = hold_of(o)
    assert hold
    assert (hold.reason, hold.retry_after) == (Reason.HOOK_FAILED, HOOK_RETRY_SECONDS)
    assert planned(o).restarted_at is None
