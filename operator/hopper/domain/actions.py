"""What users ask of one instance by a verb, and whether its state allows that (design: Lifecycle)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance
from hopper.domain.lifecycle import TARGET_PHASE, next_phase, wants_started


class Action(StrEnum):
    """A verb of the lifecycle."""

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
# These are about something that runs, or is to run: they start nothing that somebody has stopped.
_ABOUT_WHAT_IS_UP = frozenset({Action.RESTART, Action.PAUSE, Action.RESUME})
_TRIES_AGAIN = frozenset({Action.START, Action.RESUME})


@dataclass(frozen=True, slots=True)
class ActionVerdict:
    """Whether an action is allowed. `illegal`: this state has no way there; `already`: nothing is left to ask for."""

    verdict: Literal["allowed", "illegal", "already"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What an action asks for: a desired state, and whether `spec.restartedAt` is to have a new value."""

    state: DesiredState
    restart: bool = False


def goal_of(action: Action, instance: HopperInstance) -> DesiredState:
    """Return the desired state that an action leads to; a restart leaves it as it is."""
    return _GOALS.get(action, instance.spec.desired_state)


def rule(action: Action, instance: HopperInstance) -> ActionVerdict:
    """Decide whether the lifecycle table has a way from where an instance is to where the action leads."""
    desired, phase = instance.spec.desired_state, instance.status.phase
    goal = goal_of(action, instance)
    if is_final(instance) and (goal is not desired or action is Action.RESTART):
        return ActionVerdict(
            "illegal", f"{instance.name} is {_final_word(instance)}: no way leads from there to {action}"
        )
    if phase is not TARGET_PHASE[goal] and next_phase(phase, goal) is None:
        return ActionVerdict("illegal", f"{instance.name} is {phase}: no way leads from there to {goal}")
    if action in _ABOUT_WHAT_IS_UP and not wants_started(desired):
        return ActionVerdict(
            "illegal", f"{instance.name} is wanted {desired}: {action} is for what runs, start it first"
        )
    if action is Action.RESTART or desired is not goal:
        return ActionVerdict("allowed")
    if phase is Phase.ERROR and action in _TRIES_AGAIN:
        return ActionVerdict("allowed")
    return ActionVerdict("already", _already(instance, goal))


def request(action: Action, instance: HopperInstance) -> Request:
    """Return what to write for an action that is allowed."""
    desired, goal = instance.spec.desired_state, goal_of(action, instance)
    tries_again = action in _TRIES_AGAIN and instance.status.phase is Phase.ERROR and desired is goal
    return Request(goal, restart=action is Action.RESTART or tries_again)


def is_final(instance: HopperInstance) -> bool:
    """Tell whether the instance is archived or terminated, or is about to be: nothing but termination leads on."""
    ends = (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    return instance.spec.desired_state in ends or instance.status.phase in (TARGET_PHASE[end] for end in ends)


def is_alive(instance: HopperInstance) -> bool:
    """Tell whether the instance is neither terminated nor about to be."""
    over = instance.status.phase is Phase.TERMINATED or instance.spec.desired_state is DesiredState.TERMINATED
    return not over


def _final_word(instance: HopperInstance) -> str:
    if instance.status.phase in (Phase.ARCHIVED, Phase.TERMINATED):
        return instance.status.phase
    return f"wanted {instance.spec.desired_state}"


def _already(instance: HopperInstance, goal: DesiredState) -> str:
    phase = instance.status.phase
    if phase is TARGET_PHASE[goal]:
        return f"{instance.name} is already {phase}"
    ready = instance.status.condition(ConditionType.READY)
    because = f": {ready.message or ready.reason}" if ready and (ready.message or ready.reason) else ""
    return f"{instance.name} is already wanted {goal}; it is {phase}{because}"
