"""The lifecycle: which phase may follow which, and the way from a phase to a wanted state (design: Lifecycle).

`TRANSITIONS` is the only source of the pairs; routes, documentation and tests are derived from it.
"""

from collections import deque

from hopper.api.enums import DesiredState, Phase

TRANSITIONS: dict[Phase, tuple[Phase, ...]] = {
    Phase.CREATED: (Phase.STARTING, Phase.STOPPED, Phase.TERMINATED),
    Phase.STARTING: (Phase.RUNNING, Phase.STOPPING, Phase.ERROR),
    Phase.RUNNING: (Phase.PAUSED, Phase.STOPPING, Phase.ERROR),
    Phase.PAUSED: (Phase.RUNNING, Phase.STOPPING, Phase.ERROR),
    Phase.STOPPING: (Phase.STOPPED, Phase.ERROR),
    Phase.STOPPED: (Phase.STARTING, Phase.ARCHIVED, Phase.TERMINATED),
    Phase.ERROR: (Phase.STARTING, Phase.STOPPING, Phase.TERMINATED),
    Phase.ARCHIVED: (Phase.TERMINATED,),
    Phase.TERMINATED: (),
}

# Something of the instance may be running: its parent must not stop before it.
ACTIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.PAUSED, Phase.STOPPING, Phase.ERROR})
# The instance can carry children: they may start.
STARTED = frozenset({Phase.RUNNING, Phase.PAUSED})
# No way leads back from these to running.
FINAL = frozenset({Phase.ARCHIVED, Phase.TERMINATED})

# What a state of an ancestor means for those below it: an archive keeps them stopped, the rest passes down as it is.
INHERITED: dict[DesiredState, DesiredState] = {
    **{state: state for state in DesiredState},
    DesiredState.ARCHIVED: DesiredState.STOPPED,
}

# The phase in which a desired state is reached.
TARGET_PHASE: dict[DesiredState, Phase] = {state: Phase(state.value) for state in DesiredState}


def is_legal(source: Phase, target: Phase) -> bool:
    """Tell whether the table allows this transition."""
    return target in TRANSITIONS[source]


def wants_started(state: DesiredState) -> bool:
    """Tell whether an instance in this state runs processes."""
    return state in (DesiredState.RUNNING, DesiredState.PAUSED)


def _shortest_steps(target: Phase) -> dict[Phase, Phase]:
    """Map every phase from which `target` can be reached to the next phase on the shortest way there.

    Error is never a waypoint: it is entered because something failed, not to get somewhere.
    """
    steps: dict[Phase, Phase] = {}
    frontier = deque([target])
    while frontier:
        reached = frontier.popleft()
        if reached is Phase.ERROR:
            continue
        for source, targets in TRANSITIONS.items():
            if reached in targets and source not in steps and source is not target:
                steps[source] = reached
                frontier.append(source)
    return steps


_STEPS: dict[DesiredState, dict[Phase, Phase]] = {
    state: _shortest_steps(phase) for state, phase in TARGET_PHASE.items()
}


def next_phase(phase: Phase, goal: DesiredState) -> Phase | None:
    """Return the next phase on the way to `goal`; None when it is reached or no way leads there."""
    if phase is TARGET_PHASE[goal]:
        return None
    if phase is Phase.ERROR and not wants_started(goal):
        return Phase.STOPPING  # what failed may still have processes: stop them before anything else
    return _STEPS[goal].get(phase)
