"""Lifecycle of an instance: legal transitions, the path to a desired state, and states inherited from ancestors.

`TRANSITIONS` is the only definition of the transitions. Paths, documentation and tests derive from it.
"""

from collections import deque
from dataclasses import dataclass

from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance

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

# Phases in which the instance may have pods. Its parent must not stop before it has left them.
ACTIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.PAUSED, Phase.STOPPING, Phase.ERROR})
# Phases in which the instance has no pods and will not get any without a new start.
INACTIVE = frozenset({Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED})
# Phases in which the instance has completed its start. Its children may start.
STARTED = frozenset({Phase.RUNNING, Phase.PAUSED})
# Phases from which the instance can never run again.
FINAL = frozenset({Phase.ARCHIVED, Phase.TERMINATED})

# The state that the desired state of an ancestor demands of its descendants. An archived ancestor only stops them,
# because archiving is a decision about one record.
INHERITED: dict[DesiredState, DesiredState] = {
    **{state: state for state in DesiredState},
    DesiredState.ARCHIVED: DesiredState.STOPPED,
}

# The phase that fulfils each desired state.
TARGET_PHASE: dict[DesiredState, Phase] = {state: Phase(state.value) for state in DesiredState}


def is_legal(source: Phase, target: Phase) -> bool:
    """Whether `TRANSITIONS` allows this transition."""
    return target in TRANSITIONS[source]


def wants_started(state: DesiredState) -> bool:
    """Whether this desired state asks for a started instance, paused or not."""
    return state in (DesiredState.RUNNING, DesiredState.PAUSED)


def _first_steps(target: Phase) -> dict[Phase, Phase]:
    """Map each phase from which `target` can be reached to the next phase on the shortest path.

    No path leads through Error, because an instance enters Error only when something fails.
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


_FIRST_STEPS: dict[DesiredState, dict[Phase, Phase]] = {
    state: _first_steps(phase) for state, phase in TARGET_PHASE.items()
}


def next_phase(phase: Phase, goal: DesiredState) -> Phase | None:
    """Return the next phase on the path to `goal`; None if `goal` is reached or cannot be reached."""
    if phase is TARGET_PHASE[goal]:
        return None
    if phase is Phase.ERROR and not wants_started(goal):
        return Phase.STOPPING  # a failed instance may still have pods, which must stop first
    return _FIRST_STEPS[goal].get(phase)


@dataclass(frozen=True, slots=True)
class EffectiveState:
    """State that an instance must reach, after the states inherited from its ancestors are applied."""

    state: DesiredState
    """The most restrictive of the desired states."""
    source: HopperInstance | None = None
    """The ancestor that demands `state`; None if it is the instance's own `spec.desiredState`."""


def effective_state(instance: HopperInstance, ancestors: tuple[HopperInstance, ...]) -> EffectiveState:
    """Return the most restrictive desired state of the instance and its ancestors, which are given nearest first."""
    effective = EffectiveState(instance.spec.desired_state)
    for ancestor in ancestors:
        inherited = INHERITED[_binding_state(ancestor)]
        if inherited.severity > effective.state.severity:
            effective = EffectiveState(inherited, ancestor)
    return effective


def _binding_state(ancestor: HopperInstance) -> DesiredState:
    """Return the ancestor's desired state, or its final phase if that is more restrictive.

    Descendants of a terminated instance must not run, even if its spec now asks for Running.
    """
    desired = ancestor.spec.desired_state
    if ancestor.status.phase in FINAL:
        return max(desired, DesiredState(ancestor.status.phase.value), key=lambda state: state.severity)
    return desired
