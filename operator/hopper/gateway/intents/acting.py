"""Actions of the lifecycle: they write what is wanted and report what is. No state is ever made up."""

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
from hopper.gateway.http.errors import BadRequestError, ForbiddenError, TakenError
from hopper.gateway.intents.writes import change, reason_of
from hopper.gateway.models.instances import ActionResult
from hopper.gateway.models.requests import ActionRequest
from hopper.gateway.models.words import STATUSES
from hopper.gateway.views.waiting import UntilGone


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a caller wants to wait, if they do not go away before."""

    seconds: float
    until_gone: UntilGone


async def act(
    access: Access, instance: HopperInstance, action: Action, wanted: ActionRequest, wait: Patience | None
) -> ActionResult:
    """Ask for an action; with `wait`, answer when it has happened, or after so long."""
    ruling = check_action(action, instance)
    if ruling.verdict == "illegal" and not (wanted.force and _may_force(action, instance)):
        raise BadRequestError(ruling.message)
    if ruling.verdict == "already" and not wanted.force:
        raise TakenError(ruling.message)
    asked = spec_change(action, instance)
    spec = {"desiredState": asked.state.value, "reason": reason_of(access, wanted.reason)}
    if asked.restart:
        spec["restartedAt"] = _fresh(access, instance)
    written = await change(access, instance, spec, force=wanted.force)
    if wait is None:
        message = f"{action} was asked for; {instance.name} is {written.status.phase}"
        return _result(access, action, instance, written, True, message)
    return await _wait(access, action, instance, written, wait)


def _may_force(action: Action, instance: HopperInstance) -> bool:
    """Tell whether an action can be forced: what was stopped can be, what is over cannot."""
    over = (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    return instance.spec.desired_state not in over and instance.status.phase not in (TARGET_PHASE[it] for it in over)


def _fresh(access: Access, instance: HopperInstance) -> str:
    """Return a time that `restartedAt` does not have yet; it has whole seconds."""
    now, last = access.context.clock().replace(microsecond=0), instance.spec.restarted_at
    return (max(now, last + timedelta(seconds=1)) if last else now).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _wait(
    access: Access, action: Action, before: HopperInstance, written: HopperInstance, patience: Patience
) -> ActionResult:
    goal, generation = goal_of(action, written), written.metadata.generation

    def is_over(it: HopperInstance | None) -> bool:
        return it is None or _is_done(it, goal, generation) or bool(_cannot(it, goal, generation))

    known = access.index.get(written.name) or written
    over = await access.context.waiting.until(known, is_over, patience.seconds, patience.until_gone)
    newest = access.index.get(written.name)
    if newest is None or newest.metadata.uid != written.metadata.uid:
        return _result(access, action, before, written, False, f"{written.name} was deleted meanwhile")
    if _is_done(newest, goal, generation):
        return _result(access, action, before, newest, True, f"{newest.name} is {newest.status.phase}")
    state = f"{newest.name} is {newest.status.phase}"
    if not over and access.context.stopping.is_set():
        return _result(access, action, before, newest, False, f"{state}: this gateway is about to end, ask again")
    waited = "" if over else f" after {patience.seconds:g} s"
    why = _cannot(newest, goal, generation) or _ready_message(newest)
    return _result(access, action, before, newest, False, f"{state}{waited}: {why}")


def _is_done(it: HopperInstance, goal: DesiredState, generation: int) -> bool:
    return (
        (it.status.observed_generation or 0) >= generation
        and it.status.phase is TARGET_PHASE[goal]
        and it.status.restarted_at == it.spec.restarted_at
    )


def _cannot(it: HopperInstance, goal: DesiredState, generation: int) -> str:
    """Say why waiting is of no use; empty while it is."""
    if (it.status.observed_generation or 0) < generation:
        return ""
    stalled = it.status.condition(ConditionType.STALLED)
    held = it.status.effective_state not in (None, goal) and it.status.phase is TARGET_PHASE[it.status.effective_state]
    failed = it.status.phase is Phase.ERROR and wants_started(goal)
    return _ready_message(it) if stalled or held or failed else ""


def _ready_message(it: HopperInstance) -> str:
    ready = it.status.condition(ConditionType.READY)
    return (ready.message or ready.reason) if ready else "the operator has not looked at it yet"


def _result(
    access: Access, action: Action, before: HopperInstance, after: HopperInstance, success: bool, message: str
) -> ActionResult:
    statuses = STATUSES[before.status.phase], STATUSES[after.status.phase]
    return ActionResult(before.name, action.value, *statuses, success, message, access.context.clock())


async def terminate(access: Access, instance: HopperInstance, *, cascade: bool) -> None:
    """Ask for the end of an instance, and with `cascade` of everything below it, which follows by itself."""
    if instance.spec.desired_state is DesiredState.TERMINATED or instance.status.phase is Phase.TERMINATED:
        raise TakenError(f"{instance.name} is terminated already")
    below = [it for it in descendants(instance.name, access.index) if is_alive(it)]
    children = tuple(sorted(it.name for it in below if it.parent_name == instance.name))
    if children and not cascade:
        raise TakenError(
            f"{instance.name} has live children: {join_names(children)}; terminate them first, or cascade=true"
        )
    if protected := tuple(it.name for it in (instance, *below) if it.spec.deletion_protection):
        raise ForbiddenError(
            f"protected from deletion: {join_names(protected)}; set spec.deletionProtection to false first"
        )
    await change(access, instance, {"desiredState": DesiredState.TERMINATED.value, "reason": reason_of(access, None)})
