"""Lifecycle actions and termination. They write the desired state, and can wait until the operator has reached it."""

from dataclasses import dataclass
from datetime import timedelta

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance
from hopper.domain.actions import Action, check_action, goal_of, is_alive, spec_change
from hopper.domain.lifecycle import TARGET_PHASE, wants_started
from hopper.domain.messages import join_names
from hopper.domain.tree import descendants
from hopper.gateway.access import Access
from hopper.gateway.discovery import UntilDisconnected
from hopper.gateway.http.errors import BadRequestError, ForbiddenError, HttpConflictError
from hopper.gateway.intents.writes import patch_instance, reason_with_caller
from hopper.gateway.models.enums import STATUSES
from hopper.gateway.models.instances import ActionResult
from hopper.gateway.models.requests import ActionRequest


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """Options of a request that waits for the result: at most `seconds`, and only while its client is connected."""

    seconds: float
    until_disconnected: UntilDisconnected


async def request_action(
    access: Access, instance: HopperInstance, action: Action, options: ActionRequest, wait: WaitOptions | None
) -> ActionResult:
    """Write the desired state for an action. With `wait`, return when the action has completed or failed."""
    ruling = check_action(action, instance)
    if ruling.verdict == "illegal" and not (options.force and _can_be_forced(action, instance)):
        raise BadRequestError(ruling.message)
    if ruling.verdict == "already" and not options.force:
        raise HttpConflictError(ruling.message)
    change = spec_change(action, instance)
    spec = {"desiredState": change.state.value, "reason": reason_with_caller(access, options.reason)}
    if change.restart:
        spec["restartedAt"] = _restart_time(access, instance)
    written = await patch_instance(access, instance, spec, force=options.force)
    if wait is None:
        message = f"{action} requested; {instance.name} is {written.status.phase}"
        return _result(access, action, instance, written, True, message)
    return await _wait_for_result(access, action, instance, written, wait)


def _can_be_forced(action: Action, instance: HopperInstance) -> bool:
    """Whether `force` overrides the lifecycle rules. Nothing leads out of Archived and Terminated."""
    final = (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    final_phases = [TARGET_PHASE[state] for state in final]
    return instance.spec.desired_state not in final and instance.status.phase not in final_phases


def _restart_time(access: Access, instance: HopperInstance) -> str:
    """Return a new value for `restartedAt`. It has whole seconds, so the current time may be the current value."""
    now, last = access.context.clock().replace(microsecond=0), instance.spec.restarted_at
    return (max(now, last + timedelta(seconds=1)) if last else now).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _wait_for_result(
    access: Access, action: Action, before: HopperInstance, written: HopperInstance, wait: WaitOptions
) -> ActionResult:
    goal, generation = goal_of(action, written), written.metadata.generation

    def has_ended(instance: HopperInstance | None) -> bool:
        if instance is None:
            return True
        return _is_complete(instance, goal, generation) or bool(_failure(instance, goal, generation))

    newest = access.index.get(written.name) or written
    ended = await access.context.waiters.wait(newest, has_ended, wait.seconds, wait.until_disconnected)
    current = access.index.get(written.name)
    if current is None or current.metadata.uid != written.metadata.uid:
        message = f"{written.name} was deleted before {action} completed"
        return _result(access, action, before, written, False, message)
    state = f"{current.name} is {current.status.phase}"
    if _is_complete(current, goal, generation):
        return _result(access, action, before, current, True, state)
    if not ended and access.context.stopping.is_set():
        message = f"{state}: the gateway is shutting down; repeat the request to wait further"
        return _result(access, action, before, current, False, message)
    waited = "" if ended else f" after {wait.seconds:g} s"
    cause = _failure(current, goal, generation) or _ready_message(current)
    return _result(access, action, before, current, False, f"{state}{waited}: {cause}")


def _is_complete(instance: HopperInstance, goal: DesiredState, generation: int) -> bool:
    """Whether the operator has reached the desired state of a generation."""
    return (
        (instance.status.observed_generation or 0) >= generation
        and instance.status.phase is TARGET_PHASE[goal]
        and instance.status.restarted_at == instance.spec.restarted_at
    )


def _failure(instance: HopperInstance, goal: DesiredState, generation: int) -> str:
    """Return why the instance will not reach its desired state without a change; empty if it may."""
    status = instance.status
    if (status.observed_generation or 0) < generation:
        return ""
    is_stalled = status.condition(ConditionType.STALLED)
    is_held = status.effective_state not in (None, goal) and status.phase is TARGET_PHASE[status.effective_state]
    has_failed = status.phase is Phase.ERROR and wants_started(goal)
    return _ready_message(instance) if is_stalled or is_held or has_failed else ""


def _ready_message(instance: HopperInstance) -> str:
    ready = instance.status.condition(ConditionType.READY)
    return (ready.message or ready.reason) if ready else "the operator has not reconciled it yet"


def _result(
    access: Access, action: Action, before: HopperInstance, after: HopperInstance, success: bool, message: str
) -> ActionResult:
    statuses = STATUSES[before.status.phase], STATUSES[after.status.phase]
    return ActionResult(before.name, action.value, *statuses, success, message, access.context.clock())


async def terminate_instance(access: Access, instance: HopperInstance, *, cascade: bool) -> None:
    """Set the desired state Terminated, which applies to all descendants as well.

    Without `cascade`, raises `HttpConflictError` if there are live children.
    """
    if instance.spec.desired_state is DesiredState.TERMINATED or instance.status.phase is Phase.TERMINATED:
        raise HttpConflictError(f"{instance.name} is already terminated, or is being terminated")
    alive = [descendant for descendant in descendants(instance.name, access.index) if is_alive(descendant)]
    children = tuple(sorted(child.name for child in alive if child.parent_name == instance.name))
    if children and not cascade:
        raise HttpConflictError(
            f"{instance.name} has live children: {join_names(children)}; terminate them first, or use cascade=true"
        )
    protected = tuple(candidate.name for candidate in (instance, *alive) if candidate.spec.deletion_protection)
    if protected:
        raise ForbiddenError(
            f"protected from deletion: {join_names(protected)}; set spec.deletionProtection to false first"
        )
    spec = {"desiredState": DesiredState.TERMINATED.value, "reason": reason_with_caller(access, None)}
    await patch_instance(access, instance, spec)
