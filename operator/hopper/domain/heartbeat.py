"""Heartbeats: whether an instance that is expected to beat does. Silence counts only while somebody was listening."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.model import Condition

# An instance is given up when it has been silent for this many times its timeout.
LOST_AFTER = 3


@dataclass(frozen=True, slots=True)
class HeartbeatRecord:
    """What is known of an instance's heartbeats.

    `last` is when the last one came in. `since` and `until` bound the time for which everything that came in is known:
    at least one gateway was listening all the time, and has told. None where nothing is known.
    """

    last: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None


NO_HEARTBEATS = HeartbeatRecord()


class HeartbeatState(StrEnum):
    """What the heartbeats say. `INCONCLUSIVE`: nobody has listened long enough to say anything new."""

    ON_TIME = "OnTime"
    INCONCLUSIVE = "Inconclusive"
    OVERDUE = "Overdue"
    LOST = "Lost"


def heartbeat_state(instance: HopperInstance, heard: HeartbeatRecord) -> HeartbeatState | None:
    """Judge the heartbeats of an instance; None where none are expected of it now.

    They are expected while it is Running; of one in Error only a fresh one says something, namely that it lives.
    """
    expected, status = instance.spec.heartbeat, instance.status
    if expected is None or status.phase not in (Phase.RUNNING, Phase.ERROR):
        return None
    begun = status.last_transition_time or instance.metadata.creation_timestamp
    if heard.until is None or heard.since is None:
        return HeartbeatState.INCONCLUSIVE
    timeout = timedelta(seconds=expected.timeout_seconds)
    fresh = heard.last is not None and heard.until - heard.last < timeout
    if fresh and heard.last is not None and (status.phase is Phase.RUNNING or heard.last > begun):
        return HeartbeatState.ON_TIME
    silence = heard.until - max(begun, heard.since, heard.last or begun)
    if status.phase is Phase.ERROR or silence < timeout:
        return HeartbeatState.INCONCLUSIVE
    return HeartbeatState.LOST if silence >= LOST_AFTER * timeout else HeartbeatState.OVERDUE


def heartbeat_condition(instance: HopperInstance, heard: HeartbeatRecord) -> tuple[str, Reason, str] | None:
    """Return status, reason and message of the condition; None where nothing is to be said of heartbeats.

    A condition that holds on is not written again: no time is in it. Until there is news, what was said in this run of
    the instance still holds.
    """
    state, expected = heartbeat_state(instance, heard), instance.spec.heartbeat
    if state is None or expected is None:
        return None
    if instance.status.phase is Phase.ERROR:
        if not _was_silent(instance):
            return None
        state = HeartbeatState.ON_TIME if state is HeartbeatState.ON_TIME else HeartbeatState.LOST
    elif state is HeartbeatState.INCONCLUSIVE:
        before = _said_in_this_run(instance)
        if heard.until is None and (before is None or before.reason == Reason.NOBODY_LISTENS):
            return "Unknown", Reason.NOBODY_LISTENS, "no gateway listens to heartbeats"
        # Who starts is given the benefit of the doubt.
        state = (
            HeartbeatState.OVERDUE if before and before.reason == Reason.HEARTBEAT_OVERDUE else HeartbeatState.ON_TIME
        )
    status, reason = {
        HeartbeatState.ON_TIME: ("True", Reason.HEARTBEAT_IN_TIME),
        HeartbeatState.OVERDUE: ("Unknown", Reason.HEARTBEAT_OVERDUE),
        HeartbeatState.LOST: ("False", Reason.HEARTBEAT_LOST),
    }[state]
    return status, reason, heartbeat_message(state, expected.timeout_seconds)


def _was_silent(instance: HopperInstance) -> bool:
    history = instance.status.history
    return bool(history) and history[-1].reason == Reason.HEARTBEAT_LOST


def _said_in_this_run(instance: HopperInstance) -> Condition | None:
    said, begun = instance.status.condition(ConditionType.HEARTBEAT), instance.status.last_transition_time
    return said if said and (begun is None or said.last_transition_time >= begun) else None


def heartbeat_message(state: HeartbeatState, timeout_seconds: int) -> str:
    """Say it for people."""
    if state is HeartbeatState.ON_TIME:
        return f"a heartbeat is expected every {timeout_seconds} s"
    waited = timeout_seconds * (LOST_AFTER if state is HeartbeatState.LOST else 1)
    return f"no heartbeat within {waited} s (spec.heartbeat.timeoutSeconds: {timeout_seconds})"


def is_condition_outdated(instance: HopperInstance, heard: HeartbeatRecord) -> bool:
    """Tell whether the heartbeats say something else than the condition does: worth a look, and no look else."""
    said, right = instance.status.condition(ConditionType.HEARTBEAT), heartbeat_condition(instance, heard)
    return right is not None and (said is None or (said.status, said.reason) != right[:2])
