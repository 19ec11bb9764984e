"""Lifecycle actions: which are possible from each phase and desired state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import DesiredState, Phase
from hopper.domain.actions import Action, SpecChange, check_action, goal_of, is_final, spec_change
from hopper.domain.lifecycle import TARGET_PHASE, next_phase
from tests.unit.domain.sample_instances import instance

STARTS = (Action.START, Action.RESUME)
# Desired states with the phase that fulfils them.
AT_REST = [(state, TARGET_PHASE[state]) for state in DesiredState]

EXPECTED = {
    DesiredState.RUNNING: dict.fromkeys(STARTS, "already"),
    DesiredState.PAUSED: {Action.PAUSE: "already"},
    DesiredState.STOPPED: {
        Action.STOP: "already",
        Action.PAUSE: "illegal",
        Action.RESUME: "illegal",
        Action.RESTART: "illegal",
    },
    DesiredState.ARCHIVED: {**dict.fromkeys(Action, "illegal"), Action.ARCHIVE: "already"},
    DesiredState.TERMINATED: dict.fromkeys(Action, "illegal"),
}


@pytest.mark.parametrize(("state", "phase"), AT_REST)
@pytest.mark.parametrize("action", Action)
def test_each_action_on_an_instance_that_has_reached_its_desired_state(
    action: Action, state: DesiredState, phase: Phase
) -> None:
    ruling = check_action(action, instance("web", desired=state, phase=phase))
    assert ruling.verdict == EXPECTED[state].get(action, "allowed")
    assert bool(ruling.message) == (ruling.verdict != "allowed")


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", [DesiredState.RUNNING, DesiredState.PAUSED])
def test_every_action_works_in_error_and_start_or_resume_retries(action: Action, state: DesiredState) -> None:
    """Every action is possible. Start and resume retry if they do not change the desired state."""
    subject = instance("web", desired=state, phase=Phase.ERROR)
    already = action is Action.PAUSE and state is DesiredState.PAUSED
    assert check_action(action, subject).verdict == ("already" if already else "allowed")
    again = action is Action.RESTART or (action in STARTS and state is DesiredState.RUNNING)
    assert spec_change(action, subject) == SpecChange(goal_of(action, subject), restart=again)


@given(action=st.sampled_from(Action), state=st.sampled_from(DesiredState), phase=st.sampled_from(Phase))
def test_an_action_is_allowed_only_where_the_transition_table_has_a_path(
    action: Action, state: DesiredState, phase: Phase
) -> None:
    subject = instance("web", desired=state, phase=phase)
    ruling, goal = check_action(action, subject), goal_of(action, subject)
    if ruling.verdict == "allowed":
        assert not is_final(subject)
        assert phase is TARGET_PHASE[goal] or next_phase(phase, goal)
        wanted = spec_change(action, subject)
        assert wanted.restart or wanted.state is not state
    elif ruling.verdict == "already":
        assert goal is state
    if next_phase(phase, goal) is None and phase is not TARGET_PHASE[goal]:
        assert ruling.verdict == "illegal"


def test_a_no_op_action_reports_desired_state_and_phase() -> None:
    subject = instance("worker", desired=DesiredState.RUNNING, phase=Phase.PAUSED)
    ruling = check_action(Action.RESUME, subject)
    assert ruling.verdict == "already"
    assert ruling.message.startswith("worker already has desired state Running; its phase is Paused")
