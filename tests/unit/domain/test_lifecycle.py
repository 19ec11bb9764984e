"""The lifecycle against its specification: the table of design section 2, written out once more."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from hopper.api.enums import DesiredState, Phase
from hopper.domain import lifecycle
from hopper.domain.lifecycle import TARGET_PHASE, TRANSITIONS, is_legal, next_phase, wants_started

SPECIFICATION = """
    Created     Starting Stopped Terminated
    Starting    Running Stopping Error
    Running     Paused Stopping Error
    Paused      Running Stopping Error
    Stopping    Stopped Error
    Stopped     Starting Archived Terminated
    Error       Starting Stopping Terminated
    Archived    Terminated
    Terminated
"""
TABLE = {words[0]: set(words[1:]) for words in map(str.split, SPECIFICATION.strip().splitlines())}

# Phase, desired state, and the expected phases on the route; "-" if there is no route.
ROUTES = """
    Created    Running    Starting Running
    Created    Paused     Starting Running Paused
    Created    Stopped    Stopped
    Created    Archived   Stopped Archived
    Created    Terminated Terminated
    Starting   Running    Running
    Starting   Paused     Running Paused
    Starting   Stopped    Stopping Stopped
    Starting   Archived   Stopping Stopped Archived
    Starting   Terminated Stopping Stopped Terminated
    Running    Running
    Running    Paused     Paused
    Running    Stopped    Stopping Stopped
    Running    Archived   Stopping Stopped Archived
    Running    Terminated Stopping Stopped Terminated
    Paused     Running    Running
    Paused     Paused
    Paused     Stopped    Stopping Stopped
    Paused     Archived   Stopping Stopped Archived
    Paused     Terminated Stopping Stopped Terminated
    Stopping   Running    Stopped Starting Running
    Stopping   Paused     Stopped Starting Running Paused
    Stopping   Stopped    Stopped
    Stopping   Archived   Stopped Archived
    Stopping   Terminated Stopped Terminated
    Stopped    Running    Starting Running
    Stopped    Paused     Starting Running Paused
    Stopped    Stopped
    Stopped    Archived   Archived
    Stopped    Terminated Terminated
    Error      Running    Starting Running
    Error      Paused     Starting Running Paused
    Error      Stopped    Stopping Stopped
    Error      Archived   Stopping Stopped Archived
    Error      Terminated Stopping Stopped Terminated
    Archived   Running    -
    Archived   Paused     -
    Archived   Stopped    -
    Archived   Archived
    Archived   Terminated Terminated
    Terminated Running    -
    Terminated Paused     -
    Terminated Stopped    -
    Terminated Archived   -
    Terminated Terminated
"""
ROUTE_LINES = [line.split() for line in ROUTES.strip().splitlines()]
EVERY_GOAL = list(product(Phase, DesiredState))
EVERY_PAIR = list(product(Phase, Phase))


def route(phase: Phase, goal: DesiredState) -> list[Phase]:
    """Return the phases that `next_phase` leads through."""
    steps = [phase]
    while (step := next_phase(steps[-1], goal)) is not None:
        steps.append(step)
        assert len(steps) <= len(Phase), f"endless route: {steps}"
    return steps


def reachable(phase: Phase) -> set[Phase]:
    """Return all phases that can follow, by the specification and not by the code."""
    found: set[Phase] = set()
    edge = [phase]
    while edge:
        for target in map(Phase, TABLE[edge.pop()]):
            if target not in found:
                found.add(target)
                edge.append(target)
    return found


@pytest.mark.parametrize("phase", Phase)
def test_the_transition_table_matches_the_specification(phase: Phase) -> None:
    assert {target.value for target in TRANSITIONS[phase]} == TABLE[phase]
    assert len(TRANSITIONS[phase]) == len(TABLE[phase]), "a pair is listed twice"


@pytest.mark.parametrize(("source", "target"), EVERY_PAIR)
def test_a_transition_is_legal_if_the_table_contains_it(source: Phase, target: Phase) -> None:
    assert is_legal(source, target) == (target in TABLE[source])


def test_the_expected_routes_cover_every_phase_and_goal() -> None:
    assert [(Phase(source), DesiredState(goal)) for source, goal, *_ in ROUTE_LINES] == EVERY_GOAL


@pytest.mark.parametrize("line", ROUTE_LINES, ids=lambda line: f"{line[0]}-{line[1]}")
def test_route(line: list[str]) -> None:
    source, goal, *steps = line
    assert route(Phase(source), DesiredState(goal))[1:] == ([] if steps == ["-"] else steps)


@pytest.mark.parametrize(("phase", "goal"), EVERY_GOAL)
def test_every_step_of_a_route_is_legal(phase: Phase, goal: DesiredState) -> None:
    assert all(target in TABLE[source] for source, target in pairwise(route(phase, goal)))


@pytest.mark.parametrize(("phase", "goal"), EVERY_GOAL)
def test_a_goal_is_reached_from_every_phase_that_has_a_path_to_it(phase: Phase, goal: DesiredState) -> None:
    target = TARGET_PHASE[goal]
    possible = phase is target or target in reachable(phase)
    assert (route(phase, goal)[-1] is target) == possible


@pytest.mark.parametrize(("phase", "goal"), EVERY_GOAL)
def test_no_route_leads_through_error(phase: Phase, goal: DesiredState) -> None:
    assert Phase.ERROR not in route(phase, goal)[1:]


@pytest.mark.parametrize("goal", DesiredState)
def test_a_failed_instance_stops_before_it_is_stopped_archived_or_terminated(goal: DesiredState) -> None:
    """The table allows Error → Terminated, but the pods of a failed instance must stop first."""
    expected = Phase.STARTING if goal in ("Running", "Paused") else Phase.STOPPING
    assert next_phase(Phase.ERROR, goal) is expected


def test_no_path_leads_from_a_final_phase_to_running() -> None:
    dead_ends = {phase for phase in Phase if Phase.RUNNING not in reachable(phase) | {phase}}
    assert dead_ends == lifecycle.FINAL == {Phase.ARCHIVED, Phase.TERMINATED}
    assert TABLE["Terminated"] == set()


def test_phases_with_pods() -> None:
    """Phases that can be left through Stopping may have pods."""
    may_run = {phase for phase in Phase if Phase.STOPPING in (phase, *TRANSITIONS[phase])}
    assert may_run == lifecycle.ACTIVE
    assert {Phase.RUNNING, Phase.PAUSED} == lifecycle.STARTED


def test_every_desired_state_is_a_phase() -> None:
    assert {state: phase.value for state, phase in TARGET_PHASE.items()} == {
        state: state.value for state in DesiredState
    }


def test_severity_orders_the_desired_states() -> None:
    ranks = [state.severity for state in DesiredState]
    assert list(DesiredState) == ["Running", "Paused", "Stopped", "Archived", "Terminated"]
    assert ranks == sorted(set(ranks))


def test_an_archived_ancestor_passes_down_stopped() -> None:
    passed = {"Running": "Running", "Paused": "Paused", "Stopped": "Stopped", "Terminated": "Terminated"}
    assert {**passed, "Archived": "Stopped"} == lifecycle.INHERITED


def test_running_and_paused_want_a_started_instance() -> None:
    assert {state for state in DesiredState if wants_started(state)} == {"Running", "Paused"}
