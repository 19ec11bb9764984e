"""Each action from each phase: what the lifecycle table and the wish of the user make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import DesiredState, Phase
from hopper.domain.actions import Action, SpecChange, check_action, goal_of, is_final, spec_change
from hopper.domain.lifecycle import TARGET_PHASE, next_phase
from tests.unit.domain.sample_instances import instance

STARTS = (Action.START, Action.RESUME)
# An instance that has come to rest: the phase that its desired state leads to.
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
def test_at_rest(action: Action, state: DesiredState, phase: Phase) -> None:
    ruling = check_action(action, instance("web", desired=state, phase=phase))
    assert ruling.verdict == EXPECTED[state].get(action, "allowed")
    assert bool(ruling.message) == (ruling.verdict != "allowed")


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", [DesiredState.RUNNING, DesiredState.PAUSED])
def test_in_error(action: Action, state: DesiredState) -> None:
    """Every verb works on what has failed; one that wants what was wanted already tries again."""
    it = instance("web", desired=state, phase=Phase.ERROR)
    already = action is Action.PAUSE and state is DesiredState.PAUSED
    assert check_action(action, it).verdict == ("already" if already else "allowed")
    again = action is Action.RESTART or (action in STARTS and state is DesiredState.RUNNING)
    assert spec_change(action, it) == SpecChange(goal_of(action, it), restart=again)


@given(action=st.sampled_from(Action), state=st.sampled_from(DesiredState), phase=st.sampled_from(Phase))
def test_agrees_with_the_table(action: Action, state: DesiredState, phase: Phase) -> None:
    it = instance("web", desired=state, phase=phase)
    ruling, goal = check_action(action, it), goal_of(action, it)
    if ruling.verdict == "allowed":
        assert not is_final(it)
        assert phase is TARGET_PHASE[goal] or next_phase(phase, goal)
        wanted = spec_change(action, it)
        assert wanted.restart or wanted.state is not state
    elif ruling.verdict == "already":
        assert goal is state
    if next_phase(phase, goal) is None and phase is not TARGET_PHASE[goal]:
        assert ruling.verdict == "illegal"


def test_what_is_held_by_an_ancestor_says_so() -> None:
    it = instance("worker", desired=DesiredState.RUNNING, phase=Phase.PAUSED)
    ruling = check_action(Action.RESUME, it)
    assert ruling.verdict == "already"
    assert ruling.message.startswith("worker already has desired state Running; its phase is Paused")
