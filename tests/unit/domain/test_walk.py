"""The walk: transitions, holds, and what is recorded about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HISTORY_LIMIT, HopperInstance
from hopper.domain import walk as walk_module
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.observed import ChildSummary, Observed
from hopper.domain.plan import Hold, Plan, Transition
from hopper.domain.planner import plan
from hopper.domain.walk import IllegalTransitionError, walk
from hopper.domain.workload import Workload
from tests.unit.domain.sample_instances import NOW, instance, observe, phases, seconds, transition_entry

COMING_UP = Workload(available=False, gone=False, message="1 of 2 pods ready")
GOING_DOWN = Workload(available=True, gone=False, message="2 pods are stopping")
NOTHING_THERE = Workload(available=False, gone=True)


def steps(decided: Plan) -> list[str]:
    return [f"{step.source} → {step.target}" for step in decided.transitions]


def held(o: Observed) -> Hold:
    """Return the hold; fail if there is none."""
    _, _, hold = walk(o)
    assert hold is not None
    return hold


# name: phase, desired state, workload, expected phases, expected reason of the hold
WALKS: dict[str, tuple[Phase, DesiredState, Workload, str, Reason | None]] = {
    "a logical instance starts in one write": (
        *(Phase.CREATED, DesiredState.RUNNING, Workload()),
        *("Created Starting Running", None),
    ),
    "a logical instance is paused in one write": (
        *(Phase.CREATED, DesiredState.PAUSED, Workload()),
        *("Created Starting Running Paused", None),
    ),
    "created with desired state Stopped": (
        *(Phase.CREATED, DesiredState.STOPPED, Workload()),
        *("Created Stopped", None),
    ),
    "archived through Stopped": (
        *(Phase.RUNNING, DesiredState.ARCHIVED, Workload()),
        *("Running Stopping Stopped Archived", None),
    ),
    "the start waits for the workload": (
        *(Phase.CREATED, DesiredState.RUNNING, NOTHING_THERE),
        *("Created Starting", Reason.STARTING),
    ),
    "the stop waits for the workload": (
        *(Phase.RUNNING, DesiredState.STOPPED, GOING_DOWN),
        *("Running Stopping", Reason.STOPPING),
    ),
    "termination waits for the workload": (
        *(Phase.PAUSED, DesiredState.TERMINATED, GOING_DOWN),
        *("Paused Stopping", Reason.STOPPING),
    ),
    "the start completes when the workload is available": (
        Phase.STARTING,
        DesiredState.RUNNING,
        GOING_DOWN,
        "Starting Running",
        None,
    ),
    "the stop completes when the workload is gone": (
        Phase.STOPPING,
        DesiredState.STOPPED,
        NOTHING_THERE,
        "Stopping Stopped",
        None,
    ),
    "a start can be cancelled": (
        *(Phase.STARTING, DesiredState.STOPPED, COMING_UP),
        *("Starting Stopping", Reason.STOPPING),
    ),
    "a stop completes before the next start": (
        *(Phase.STOPPING, DesiredState.RUNNING, GOING_DOWN),
        *("", Reason.STOPPING),
    ),
    "a resume needs no start": (Phase.PAUSED, DesiredState.RUNNING, Workload(), "Paused Running", None),
    "already there": (Phase.RUNNING, DesiredState.RUNNING, GOING_DOWN, "", None),
    "Running without an available workload": (
        *(Phase.RUNNING, DesiredState.RUNNING, COMING_UP),
        *("", Reason.STARTING),
    ),
    "Paused without an available workload": (Phase.PAUSED, DesiredState.PAUSED, COMING_UP, "", Reason.STARTING),
    "Stopped with pods left": (
        *(Phase.STOPPED, DesiredState.STOPPED, GOING_DOWN),
        *("", Reason.STOPPING),
    ),
    "archiving waits for pods that are left": (Phase.STOPPED, DesiredState.ARCHIVED, GOING_DOWN, "", Reason.STOPPING),
    "Archived is final": (
        *(Phase.ARCHIVED, DesiredState.RUNNING, Workload()),
        *("", Reason.ALREADY_FINAL),
    ),
    "Terminated is final": (Phase.TERMINATED, DesiredState.STOPPED, Workload(), "", Reason.ALREADY_FINAL),
}


@pytest.mark.parametrize("case", WALKS.values(), ids=WALKS)
def test_walk(case: tuple[Phase, DesiredState, Workload, str, Reason | None]) -> None:
    phase, desired, workload, expected, reason = case
    o = observe(instance(phase=phase, desired=desired), workload=workload)
    assert phases(plan(o)) == expected
    _, _, hold = walk(o)
    assert (hold.reason if hold else None) == reason


def test_a_hold_shows_the_message_of_the_workload() -> None:
    starting = observe(instance(phase=Phase.STARTING), workload=COMING_UP)
    stopping = observe(instance(phase=Phase.STOPPING, desired=DesiredState.STOPPED), workload=GOING_DOWN)
    assert held(starting).message == "1 of 2 pods ready"
    assert held(stopping).message == "2 pods are stopping"
    assert held(replace(starting, workload=NOTHING_THERE)).message == "waits for its workload to become available"
    assert held(replace(stopping, workload=Workload(gone=False))).message == "waits for its pods to stop"


def test_the_message_about_a_final_phase_gives_advice() -> None:
    hold = held(observe(instance(phase=Phase.TERMINATED)))
    assert hold.stalled
    assert hold.message == "cannot become Running: Terminated is final; delete the instance and create it again"


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
@pytest.mark.parametrize("phase", [Phase.CREATED, Phase.STOPPING, Phase.STOPPED, Phase.ERROR])
def test_an_instance_waits_for_its_children_to_stop(phase: Phase, desired: DesiredState) -> None:
    """Even an instance without pods waits, because a running child may have moved below it."""
    o = observe(instance(phase=phase, desired=desired), children=ChildSummary(total=2, active=("a", "b")))
    _, status, hold = walk(o)
    assert status.phase in (phase, Phase.STOPPING)
    if status.phase.value != desired.value:
        assert hold
        assert hold.reason is Reason.CHILDREN_STOPPING
    done = walk(replace(o, children=ChildSummary(total=2)))[1]
    assert done.phase.value == desired.value


def test_children_that_take_long_to_stop_are_named() -> None:
    """Before that, children that stop must not cause writes."""
    names = tuple(f"child-{number}" for number in range(8))
    o = observe(
        instance(phase=Phase.RUNNING, desired=DesiredState.STOPPED), children=ChildSummary(total=8, active=names)
    )
    assert held(o) == Hold(
        Reason.CHILDREN_STOPPING, "waits for its children to stop", retry_after=DETAILS_AFTER_SECONDS
    )
    first = plan(o)
    assert first.status
    o = replace(
        o.with_status(first.status),
        children=ChildSummary(total=8, ready=3, active=names[2:]),
        now=NOW + seconds(DETAILS_AFTER_SECONDS - 1),
    )
    assert plan(o).status == first.status
    assert plan(o).requeue_after == 1.0
    o = replace(o, children=ChildSummary(total=8, ready=3, active=names[2:3]), now=NOW + seconds(DETAILS_AFTER_SECONDS))
    assert held(o) == Hold(Reason.CHILDREN_STOPPING, "waits for its children to stop: child-2")
    o = replace(o, children=ChildSummary(total=8, active=names))
    assert held(o).message.endswith(": child-0, child-1, child-2, child-3, child-4 and 3 more")


def test_pausing_does_not_wait_for_the_children() -> None:
    o = observe(
        instance(phase=Phase.RUNNING, desired=DesiredState.PAUSED), children=ChildSummary(total=1, active=("a",))
    )
    assert steps(plan(o)) == ["Running → Paused"]


PARENT = instance("web", phase=Phase.RUNNING)


def child(**fields: Any) -> HopperInstance:
    return instance("worker", Scope.ORCHESTRATION, **({"parent": PARENT} | fields))


@pytest.mark.parametrize("phase", Phase)
def test_only_a_running_or_paused_parent_lets_its_children_start(phase: Phase) -> None:
    parent = instance("web", phase=phase)
    o = observe(child(parent=parent, phase=Phase.STOPPED), parent)
    if phase in (Phase.RUNNING, Phase.PAUSED):
        assert steps(plan(o)) == ["Stopped → Starting", "Starting → Running"]
    elif phase in (Phase.ARCHIVED, Phase.TERMINATED):
        assert o.effective.source == parent
    else:
        assert held(o) == Hold(Reason.PARENT_NOT_READY, f'waits for parent "web", which is {phase}')


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.PAUSED])
@pytest.mark.parametrize("parent_phase", [Phase.CREATED, Phase.STARTING, Phase.STOPPED, Phase.ERROR])
def test_a_running_child_ignores_a_parent_that_is_not_ready(phase: Phase, parent_phase: Phase) -> None:
    parent = instance("web", phase=parent_phase)
    desired = DesiredState.PAUSED if phase is Phase.PAUSED else DesiredState.RUNNING
    _, status, hold = walk(observe(child(parent=parent, phase=phase, desired=desired), parent))
    assert status.phase.value == desired.value
    assert hold is None


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
@pytest.mark.parametrize("phase", Phase)
def test_a_child_can_stop_while_its_parent_is_not_ready(phase: Phase, desired: DesiredState) -> None:
    parent = instance("web", phase=Phase.ERROR)
    _, status, hold = walk(observe(child(parent=parent, phase=phase, desired=desired), parent))
    assert status.phase.value == desired.value or (hold and hold.reason is Reason.ALREADY_FINAL)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING])
def test_a_running_instance_whose_parent_vanished_keeps_running(phase: Phase) -> None:
    assert walk(observe(child(phase=phase)))[1].phase is Phase.RUNNING


def test_a_new_instance_waits_for_its_parent() -> None:
    hold = held(observe(child(phase=Phase.CREATED)))
    assert hold.reason is Reason.PARENT_NOT_FOUND
    assert not hold.stalled


@pytest.mark.parametrize("phase", [Phase.CREATED, Phase.STOPPED])
def test_an_invalid_parent_config_or_a_rejected_write_prevents_a_start(phase: Phase) -> None:
    misplaced = observe(child(parent=None, phase=phase))
    misconfigured = observe(instance(phase=phase), config_problems=("spec.config.x is wrong", "and spec.config.y"))
    refused = observe(instance(phase=phase), refusal="403: no")
    for o, reason in ((misplaced, "ParentRequired"), (misconfigured, "ConfigInvalid"), (refused, "WriteRefused")):
        hold = held(o)
        assert (hold.reason, hold.stalled) == (reason, True)
        assert not plan(o).transitions
    assert held(misconfigured).message == "spec.config.x is wrong; and spec.config.y"
    assert "403: no" in held(refused).message


@pytest.mark.parametrize("desired", DesiredState)
def test_an_instance_with_an_invalid_parent_can_stop(desired: DesiredState) -> None:
    _, status, _ = walk(observe(child(parent=None, phase=Phase.RUNNING, desired=desired)))
    assert status.phase.value == desired.value


def test_a_transition_records_its_cause() -> None:
    own = plan(observe(instance(phase=Phase.RUNNING, desired=DesiredState.PAUSED, reason="lunch")))
    assert own.transitions == (Transition(Phase.RUNNING, Phase.PAUSED, Reason.DESIRED_STATE, "lunch"),)
    parent = instance("web", phase=Phase.PAUSED, desired=DesiredState.PAUSED, reason="night")
    inherited = plan(observe(child(parent=parent, phase=Phase.RUNNING), parent))
    (step,) = inherited.transitions
    assert (step.reason, step.message) == (Reason.INHERITED_FROM, 'Paused by Project "web": night')
    silent = plan(observe(child(parent=replace(PARENT), phase=Phase.PAUSED), PARENT))
    assert silent.transitions[0].message == ""


def test_timestamps_of_starts_and_stops() -> None:
    status = plan(observe(instance(phase=Phase.CREATED))).status
    assert status
    assert (status.started_at, status.stopped_at, status.last_transition_time) == (NOW, None, NOW)
    running = instance(phase=Phase.PAUSED, status={"started_at": NOW - seconds(100)})
    resumed = plan(observe(running)).status
    assert resumed
    assert resumed.started_at == NOW - seconds(100), "a resume is not a start"
    stopped = plan(observe(replace(running, spec=replace(running.spec, desired_state=DesiredState.STOPPED)))).status
    assert stopped
    assert (stopped.started_at, stopped.stopped_at) == (NOW - seconds(100), NOW)


def test_history_keeps_the_last_transitions_in_order() -> None:
    entries = tuple(
        transition_entry(*((Phase.RUNNING, Phase.PAUSED) if number % 2 else (Phase.PAUSED, Phase.RUNNING)))
        for number in range(HISTORY_LIMIT)
    )
    before = instance(phase=Phase.PAUSED, desired=DesiredState.STOPPED, status={"history": entries})
    status = plan(observe(before)).status
    assert status
    assert len(status.history) == HISTORY_LIMIT
    assert status.history[:-2] == entries[2:]
    assert [(entry.from_, entry.to, entry.time) for entry in status.history[-2:]] == [
        (Phase.PAUSED, Phase.STOPPING, NOW),
        (Phase.STOPPING, Phase.STOPPED, NOW),
    ]


def test_an_illegal_transition_raises_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "next_phase", lambda phase, goal: Phase.PAUSED)
    with pytest.raises(IllegalTransitionError, match="web: Created → Paused"):
        plan(observe(instance(phase=Phase.CREATED)))
