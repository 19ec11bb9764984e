"""Health of an instance: one value, with a reason and a message.

`hopper.api.enums.Health` orders the values from best to worst. `RULES` decides which one applies.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Health, Phase
from hopper.api.heartbeat import StoredHeartbeat
from hopper.api.instance import HopperInstance
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord, HeartbeatState, heartbeat_message, heartbeat_state
from hopper.domain.lifecycle import INACTIVE, STARTED


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """Health of one instance."""

    health: Health
    """The word."""
    reason: str
    """Machine-readable reason in CamelCase."""
    message: str = ""
    """Human-readable explanation."""


@dataclass(frozen=True, slots=True)
class HealthInput:
    """Input of the health rules."""

    instance: HopperInstance
    """The instance to judge."""
    heartbeat_state: HeartbeatState | None = None
    """Judgement of its heartbeats; None if it need not send any now."""
    heartbeat: StoredHeartbeat | None = None
    """Its last heartbeat, with the health that it reported."""


HealthRule = Callable[[HealthInput], HealthVerdict | None]

_CHANGING = frozenset({Phase.CREATED, Phase.STARTING, Phase.STOPPING})
# Reasons of a Ready condition that is False because of a change in progress, not because of a problem.
_PROGRESS_REASONS = frozenset({Reason.STARTING, Reason.STOPPING, Reason.ROLLING_OUT, Reason.CHILDREN_STOPPING})


def has_no_status(facts: HealthInput) -> HealthVerdict | None:
    """Apply to an instance that the operator has not seen."""
    if facts.instance.status.observed_generation is not None:
        return None
    return HealthVerdict(Health.UNKNOWN, Reason.NOT_OBSERVED, "the operator has not reconciled the instance yet")


def is_in_error(facts: HealthInput) -> HealthVerdict | None:
    """Apply to phase Error."""
    if facts.instance.status.phase is not Phase.ERROR:
        return None
    return _from_ready(facts.instance, Health.UNHEALTHY)


def is_stalled(facts: HealthInput) -> HealthVerdict | None:
    """Apply to an instance that cannot proceed without help. One that runs anyway is left to `is_not_ready`."""
    stalled = facts.instance.status.condition(ConditionType.STALLED)
    if stalled is None or facts.instance.status.phase in STARTED:
        return None
    return HealthVerdict(Health.UNHEALTHY, stalled.reason, stalled.message)


def is_inactive(facts: HealthInput) -> HealthVerdict | None:
    """Apply to an instance that has no pods by design."""
    phase = facts.instance.status.phase
    return HealthVerdict(Health.INACTIVE, phase.value) if phase in INACTIVE else None


def has_lost_heartbeats(facts: HealthInput) -> HealthVerdict | None:
    """Apply when heartbeats count as lost, which the operator will soon turn into an Error."""
    if facts.heartbeat_state is not HeartbeatState.LOST:
        return None
    return HealthVerdict(Health.UNHEALTHY, Reason.HEARTBEAT_LOST, _silence_message(facts.instance, HeartbeatState.LOST))


def reports_unhealthy(facts: HealthInput) -> HealthVerdict | None:
    """Apply when the last heartbeat says unhealthy."""
    return _reported(facts, Health.UNHEALTHY)


def has_overdue_heartbeat(facts: HealthInput) -> HealthVerdict | None:
    """Apply when a heartbeat is overdue, or was when the operator last decided and the state is inconclusive now."""
    condition = facts.instance.status.condition(ConditionType.HEARTBEAT)
    if facts.heartbeat_state is HeartbeatState.OVERDUE:
        message = _silence_message(facts.instance, HeartbeatState.OVERDUE)
        return HealthVerdict(Health.UNKNOWN, Reason.HEARTBEAT_OVERDUE, message)
    inconclusive = facts.heartbeat_state is HeartbeatState.INCONCLUSIVE
    if inconclusive and condition is not None and condition.status == "Unknown":
        return HealthVerdict(Health.UNKNOWN, condition.reason, condition.message)
    return None


def reports_degraded(facts: HealthInput) -> HealthVerdict | None:
    """Apply when the last heartbeat says degraded."""
    return _reported(facts, Health.DEGRADED)


def is_progressing(facts: HealthInput) -> HealthVerdict | None:
    """Apply to an instance that is changing its phase or rolling out a change."""
    ready = facts.instance.status.condition(ConditionType.READY)
    if facts.instance.status.phase not in _CHANGING and (ready is None or ready.reason not in _PROGRESS_REASONS):
        return None
    return _from_ready(facts.instance, Health.PROGRESSING)


def is_not_ready(facts: HealthInput) -> HealthVerdict | None:
    """Apply to a started instance whose Ready condition is not True."""
    return None if facts.instance.status.is_ready else _from_ready(facts.instance, Health.DEGRADED)


# The first rule that applies decides. An instance to which no rule applies is healthy.
RULES: tuple[HealthRule, ...] = (
    # All other rules need a status, so this one comes first.
    has_no_status,
    # Problems that the operator has found come before phases, because they hold whatever the phase is.
    is_in_error,
    is_stalled,
    # An inactive instance sends no heartbeats, so the rules below must not judge it.
    is_inactive,
    # The remaining rules go from worst to best: first the heartbeats, then the conditions.
    has_lost_heartbeats,
    reports_unhealthy,
    has_overdue_heartbeat,
    reports_degraded,
    is_progressing,
    is_not_ready,
)


def health_of(
    instance: HopperInstance, record: HeartbeatRecord = NO_HEARTBEATS, heartbeat: StoredHeartbeat | None = None
) -> HealthVerdict:
    """Return the health of an instance, from its phase, conditions and heartbeats, and the last heartbeat's report.

    The health of instances that send no heartbeats follows from their conditions alone.
    """
    facts = HealthInput(instance, heartbeat_state(instance, record), heartbeat)
    verdict = next((verdict for rule in RULES if (verdict := rule(facts))), None)
    return verdict or _from_ready(instance, Health.HEALTHY)


def worst(healths: Iterable[Health]) -> Health:
    """Return the worst of the given values; INACTIVE if there are none."""
    return max(healths, key=lambda health: health.severity, default=Health.INACTIVE)


def _from_ready(instance: HopperInstance, health: Health) -> HealthVerdict:
    """Return this health with the reason and message of the Ready condition, else with the phase as reason."""
    ready = instance.status.condition(ConditionType.READY)
    if ready is None:
        return HealthVerdict(health, instance.status.phase.value)
    return HealthVerdict(health, ready.reason, ready.message)


def _reported(facts: HealthInput, health: Health) -> HealthVerdict | None:
    """Return this health if the last heartbeat reports it, belongs to the current run and is not overdue."""
    run_started = facts.instance.status.last_transition_time
    silent = facts.heartbeat_state in (HeartbeatState.OVERDUE, HeartbeatState.LOST)
    if facts.heartbeat is None or facts.heartbeat.status is not health or silent:
        return None
    if run_started is None or facts.heartbeat.at < run_started:
        return None
    return HealthVerdict(health, Reason.REPORTED, f"the last heartbeat reports {health}")


def _silence_message(instance: HopperInstance, state: HeartbeatState) -> str:
    return heartbeat_message(state, instance.spec.heartbeat.timeout_seconds) if instance.spec.heartbeat else ""
