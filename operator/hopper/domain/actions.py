"""Lifecycle actions of one instance (start, stop, …): whether they are possible, and the spec that they lead to."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance
from hopper.domain.lifecycle import FINAL, TARGET_PHASE, next_phase, wants_started


class Action(StrEnum):
    """Verb of the lifecycle, as the REST API and the CLI offer it."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"
    ARCHIVE = "archive"


_GOALS: dict[Action, DesiredState] = {
    Action.START: DesiredState.RUNNING,
    Action.STOP: DesiredState.STOPPED,
    Action.PAUSE: DesiredState.PAUSED,
    Action.RESUME: DesiredState.RUNNING,
    Action.ARCHIVE: DesiredState.ARCHIVED,
}
# Actions that require the desired state Running or Paused. Only `start` may start an instance that a user has stopped.
_NEED_STARTED = frozenset({Action.RESTART, Action.PAUSE, Action.RESUME})
# Actions that request another attempt in phase Error, even if the desired state stays the same.
_RETRY = frozenset({Action.START, Action.RESUME})


@dataclass(frozen=True, slots=True)
class ActionVerdict:
    """Result of checking an action: whether it is possible, and if not, why."""

    verdict: Literal["allowed", "illegal", "already"]
    """`illegal`: the lifecycle has no path there. `already`: the action would change nothing."""
    message: str = ""
    """Why the action is not allowed."""


@dataclass(frozen=True, slots=True)
class SpecChange:
    """Fields of the spec that an action sets."""

    state: DesiredState
    """New `spec.desiredState`."""
    restart: bool = False
    """Whether `spec.restartedAt` gets a new value."""


def goal_of(action: Action, instance: HopperInstance) -> DesiredState:
    """Return the desired state after the action. A restart does not change it."""
    return _GOALS.get(action, instance.spec.desired_state)


def check_action(action: Action, instance: HopperInstance) -> ActionVerdict:
    """Decide whether the instance can reach the goal of the action from its phase and desired state."""
    desired, phase = instance.spec.desired_state, instance.status.phase
    goal = goal_of(action, instance)
    if is_final(instance) and (goal is not desired or action is Action.RESTART):
        return ActionVerdict("illegal", f"{instance.name} {_final_state(instance)}, which is final: cannot {action}")
    if phase is not TARGET_PHASE[goal] and next_phase(phase, goal) is None:
        return ActionVerdict("illegal", f"{instance.name} is {phase}: cannot become {goal} from there")
    if action in _NEED_STARTED and not wants_started(desired):
        message = f"{instance.name} has desired state {desired}: cannot {action} it, start it first"
        return ActionVerdict("illegal", message)
    if action is Action.RESTART or desired is not goal:
        return ActionVerdict("allowed")
    if phase is Phase.ERROR and action in _RETRY:
        return ActionVerdict("allowed")
    return ActionVerdict("already", _no_change_message(instance, goal))


def spec_change(action: Action, instance: HopperInstance) -> SpecChange:
    """Return the change of the spec that an allowed action makes."""
    desired, goal = instance.spec.desired_state, goal_of(action, instance)
    retry = action in _RETRY and instance.status.phase is Phase.ERROR and desired is goal
    return SpecChange(goal, restart=action is Action.RESTART or retry)


def is_final(instance: HopperInstance) -> bool:
    """Whether the instance is archived or terminated, or will be: after that it can only be terminated."""
    final_states = (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    return instance.spec.desired_state in final_states or instance.status.phase in FINAL


def is_alive(instance: HopperInstance) -> bool:
    """Whether the instance is neither terminated nor about to be."""
    ended = instance.status.phase is Phase.TERMINATED or instance.spec.desired_state is DesiredState.TERMINATED
    return not ended


def _final_state(instance: HopperInstance) -> str:
    if instance.status.phase in FINAL:
        return f"is {instance.status.phase}"
    return f"has desired state {instance.spec.desired_state}"


def _no_change_message(instance: HopperInstance, goal: DesiredState) -> str:
    phase = instance.status.phase
    if phase is TARGET_PHASE[goal]:
        return f"{instance.name} is already {phase}"
    ready = instance.status.condition(ConditionType.READY)
    cause = f": {ready.message or ready.reason}" if ready and (ready.message or ready.reason) else ""
    return f"{instance.name} already has desired state {goal}; its phase is {phase}{cause}"
