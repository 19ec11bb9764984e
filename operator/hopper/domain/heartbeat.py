"""Judgement of heartbeats. Silence counts only while at least one gateway could have received a heartbeat."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.model import Condition

# Number of timeouts without a heartbeat after which the instance counts as failed.
LOST_AFTER = 3


@dataclass(frozen=True, slots=True)
class HeartbeatRecord:
    """Heartbeats of one instance, as far as the gateways have reported them.

    All heartbeats between `since` and `until` are known, because at least one gateway received them all the time.
    """

    last: datetime | None = None
    """Time of the last heartbeat; None if there was none."""
    since: datetime | None = None
    """Start of the period that the gateways cover; None if they cover none."""
    until: datetime | None = None
    """End of that period."""


NO_HEARTBEATS = HeartbeatRecord()


class HeartbeatState(StrEnum):
    """Judgement of the heartbeats of an instance."""

    ON_TIME = "OnTime"
    """The last heartbeat is more recent than the timeout."""
    INCONCLUSIVE = "Inconclusive"
    """The gateways do not cover a period long enough to decide."""
    OVERDUE = "Overdue"
    """No heartbeat within the timeout."""
    LOST = "Lost"
    """No heartbeat within `LOST_AFTER` timeouts."""


def heartbeat_state(instance: HopperInstance, record: HeartbeatRecord) -> HeartbeatState | None:
    """Return the judgement of an instance's heartbeats; None if it need not send any now.

    A Running instance must send heartbeats. In Error only a heartbeat since the failure counts, which shows that the
    instance is alive.
    """
    heartbeat, status = instance.spec.heartbeat, instance.status
    if heartbeat is None or status.phase not in (Phase.RUNNING, Phase.ERROR):
        return None
    phase_entered = status.last_transition_time or instance.metadata.creation_timestamp
    if record.until is None or record.since is None:
        return HeartbeatState.INCONCLUSIVE
    timeout = timedelta(seconds=heartbeat.timeout_seconds)
    fresh = record.last is not None and record.until - record.last < timeout
    if fresh and record.last is not None and (status.phase is Phase.RUNNING or record.last > phase_entered):
        return HeartbeatState.ON_TIME
    silence = record.until - max(phase_entered, record.since, record.last or phase_entered)
    if status.phase is Phase.ERROR or silence < timeout:
        return HeartbeatState.INCONCLUSIVE
    return HeartbeatState.LOST if silence >= LOST_AFTER * timeout else HeartbeatState.OVERDUE


def heartbeat_condition(instance: HopperInstance, record: HeartbeatRecord) -> tuple[str, Reason, str] | None:
    """Return status, reason and message of the Heartbeat condition; None if the instance has no such condition.

    The message contains no time, so that an unchanged condition needs no write. While the state is inconclusive, the
    condition keeps its status from earlier in the same run of the instance.
    """
    state, heartbeat = heartbeat_state(instance, record), instance.spec.heartbeat
    if state is None or heartbeat is None:
        return None
    if instance.status.phase is Phase.ERROR:
        if not _failed_by_silence(instance):
            return None
        state = HeartbeatState.ON_TIME if state is HeartbeatState.ON_TIME else HeartbeatState.LOST
    elif state is HeartbeatState.INCONCLUSIVE:
        before = _condition_of_this_run(instance)
        if record.until is None and (before is None or before.reason == Reason.NOBODY_LISTENS):
            return "Unknown", Reason.NOBODY_LISTENS, "no gateway receives heartbeats; start a gateway"
        # A new run counts as on time until the first timeout has passed.
        overdue = before is not None and before.reason == Reason.HEARTBEAT_OVERDUE
        state = HeartbeatState.OVERDUE if overdue else HeartbeatState.ON_TIME
    status, reason = {
        HeartbeatState.ON_TIME: ("True", Reason.HEARTBEAT_IN_TIME),
        HeartbeatState.OVERDUE: ("Unknown", Reason.HEARTBEAT_OVERDUE),
        HeartbeatState.LOST: ("False", Reason.HEARTBEAT_LOST),
    }[state]
    return status, reason, heartbeat_message(state, heartbeat.timeout_seconds)


def heartbeat_message(state: HeartbeatState, timeout_seconds: int) -> str:
    """Return the message for a state that is not inconclusive."""
    if state is HeartbeatState.ON_TIME:
        return f"a heartbeat is expected every {timeout_seconds} s"
    silence = timeout_seconds * (LOST_AFTER if state is HeartbeatState.LOST else 1)
    return f"no heartbeat within {silence} s (spec.heartbeat.timeoutSeconds: {timeout_seconds})"


def is_condition_outdated(instance: HopperInstance, record: HeartbeatRecord) -> bool:
    """Whether the Heartbeat condition must change, and so the instance must be reconciled."""
    condition, expected = instance.status.condition(ConditionType.HEARTBEAT), heartbeat_condition(instance, record)
    if expected is None:
        return False
    return condition is None or (condition.status, condition.reason) != expected[:2]


def _failed_by_silence(instance: HopperInstance) -> bool:
    history = instance.status.history
    return bool(history) and history[-1].reason == Reason.HEARTBEAT_LOST


def _condition_of_this_run(instance: HopperInstance) -> Condition | None:
    """Return the Heartbeat condition if it was written since the last transition."""
    condition, run_started = instance.status.condition(ConditionType.HEARTBEAT), instance.status.last_transition_time
    return condition if condition and (run_started is None or condition.last_transition_time >= run_started) else None
