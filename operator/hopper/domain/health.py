"""Health: one word for how an instance is, why, and the worst of it and all below it.

The order of the words is that of `hopper.api.enums.Health`; the order of the checks below is the specification.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Health, Phase
from hopper.api.heartbeat import StoredHeartbeat
from hopper.api.instance import HopperInstance
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord, HeartbeatState, heartbeat_message, heartbeat_state
from hopper.domain.lifecycle import STARTED


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """How an instance is, with a CamelCase reason and the same for people."""

    health: Health
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class HealthInput:
    """What a verdict is made from."""

    instance: HopperInstance
    heartbeat_state: HeartbeatState | None = None
    beat: StoredHeartbeat | None = None


Check = Callable[[HealthInput], HealthVerdict | None]

_INACTIVE = frozenset({Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED})
_MOVING = frozenset({Phase.CREATED, Phase.STARTING, Phase.STOPPING})
# An instance that is not Ready for one of these is on its way, and nothing is wrong with it.
_ON_ITS_WAY = frozenset({Reason.STARTING, Reason.STOPPING, Reason.ROLLING_OUT, Reason.CHILDREN_STOPPING})


def nothing_was_reported(e: HealthInput) -> HealthVerdict | None:
    if e.instance.status.observed_generation is not None:
        return None
    return HealthVerdict(Health.UNKNOWN, Reason.NOT_OBSERVED, "the operator has not looked at it yet")


def is_in_error(e: HealthInput) -> HealthVerdict | None:
    if e.instance.status.phase is not Phase.ERROR:
        return None
    return _as_ready_says(e.instance, Health.UNHEALTHY)


def is_stalled(e: HealthInput) -> HealthVerdict | None:
    """What runs all the same is not ready, see below."""
    stalled = e.instance.status.condition(ConditionType.STALLED)
    if stalled is None or e.instance.status.phase in STARTED:
        return None
    return HealthVerdict(Health.UNHEALTHY, stalled.reason, stalled.message)


def nothing_is_to_run(e: HealthInput) -> HealthVerdict | None:
    phase = e.instance.status.phase
    return HealthVerdict(Health.INACTIVE, phase.value) if phase in _INACTIVE else None


def is_lost(e: HealthInput) -> HealthVerdict | None:
    if e.heartbeat_state is not HeartbeatState.LOST:
        return None
    return HealthVerdict(Health.UNHEALTHY, Reason.HEARTBEAT_LOST, _silence(e.instance, HeartbeatState.LOST))


def finds_itself_unhealthy(e: HealthInput) -> HealthVerdict | None:
    return _reported(e, Health.UNHEALTHY)


def is_overdue(e: HealthInput) -> HealthVerdict | None:
    said = e.instance.status.condition(ConditionType.HEARTBEAT)
    if e.heartbeat_state is HeartbeatState.OVERDUE:
        return HealthVerdict(Health.UNKNOWN, Reason.HEARTBEAT_OVERDUE, _silence(e.instance, HeartbeatState.OVERDUE))
    if e.heartbeat_state is HeartbeatState.INCONCLUSIVE and said is not None and said.status == "Unknown":
        return HealthVerdict(Health.UNKNOWN, said.reason, said.message)
    return None


def finds_itself_degraded(e: HealthInput) -> HealthVerdict | None:
    return _reported(e, Health.DEGRADED)


def is_moving(e: HealthInput) -> HealthVerdict | None:
    ready = e.instance.status.condition(ConditionType.READY)
    if e.instance.status.phase not in _MOVING and (ready is None or ready.reason not in _ON_ITS_WAY):
        return None
    return _as_ready_says(e.instance, Health.PROGRESSING)


def is_not_ready(e: HealthInput) -> HealthVerdict | None:
    return None if e.instance.status.is_ready else _as_ready_says(e.instance, Health.DEGRADED)


# The first that applies decides; an instance of which none does is healthy.
CHECKS: tuple[Check, ...] = (
    nothing_was_reported,
    is_in_error,
    is_stalled,
    nothing_is_to_run,
    is_lost,
    finds_itself_unhealthy,
    is_overdue,
    finds_itself_degraded,
    is_moving,
    is_not_ready,
)


def health_of(
    instance: HopperInstance, heard: HeartbeatRecord = NO_HEARTBEATS, beat: StoredHeartbeat | None = None
) -> HealthVerdict:
    """Judge one instance by its phase, its conditions, its heartbeats and what it said in the last one.

    Where no heartbeats are expected, the conditions tell of the state of its pods.
    """
    evidence = HealthInput(instance, heartbeat_state(instance, heard), beat)
    found = next((verdict for check in CHECKS if (verdict := check(evidence))), None)
    return found or _as_ready_says(instance, Health.HEALTHY)


def worst(healths: Iterable[Health]) -> Health:
    """Return the worst of them; inactive where there are none."""
    return max(healths, key=lambda health: health.severity, default=Health.INACTIVE)


def _as_ready_says(instance: HopperInstance, health: Health) -> HealthVerdict:
    ready = instance.status.condition(ConditionType.READY)
    return (
        HealthVerdict(health, ready.reason, ready.message)
        if ready
        else HealthVerdict(health, instance.status.phase.value)
    )


def _reported(e: HealthInput, health: Health) -> HealthVerdict | None:
    """Believe what the instance said of itself in this run, unless it has fallen silent since."""
    begun = e.instance.status.last_transition_time
    if (
        e.beat is None
        or e.beat.status is not health
        or e.heartbeat_state in (HeartbeatState.OVERDUE, HeartbeatState.LOST)
    ):
        return None
    if begun is None or e.beat.at < begun:
        return None
    return HealthVerdict(health, Reason.REPORTED, f"finds itself {health} (status of its last heartbeat)")


def _silence(instance: HopperInstance, state: HeartbeatState) -> str:
    return heartbeat_message(state, instance.spec.heartbeat.timeout_seconds) if instance.spec.heartbeat else ""
