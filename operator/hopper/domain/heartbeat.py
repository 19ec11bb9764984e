"""Heartbeats: whether an instance that is expected to beat does. Silence counts only while somebody was listening."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance

# An instance is given up when it has been silent for this many times its timeout.
LOST_AFTER = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of an instance's heartbeats.

    `last` is when the last one came in. `since` and `until` bound the time for which everything that came in is known:
    at least one gateway was listening all the time, and has told. None where nothing is known.
    """

    last: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None


NOTHING = Heard()


class Pulse(StrEnum):
    """What the heartbeats say. `NO_NEWS`: nobody has listened long enough to say anything new."""

    BEATS = "Beats"
    NO_NEWS = "NoNews"
    OVERDUE = "Overdue"
    LOST = "Lost"


def pulse_of(instance: HopperInstance, heard: Heard) -> Pulse | None:
    """Judge the heartbeats of an instance; None where none are expected of it now.

    They are expected while it is Running; of one in Error only a fresh one says something, namely that it lives.
    """
    expected, status = instance.spec.heartbeat, instance.status
    if expected is None or status.phase not in (Phase.RUNNING, Phase.ERROR):
        return None
    begun = status.last_transition_time or instance.metadata.creation_timestamp
    if heard.until is None or heard.since is None:
        return Pulse.NO_NEWS
    timeout = timedelta(seconds=expected.timeout_seconds)
    fresh = heard.last is not None and heard.until - heard.last < timeout
    if fresh and heard.last is not None and (status.phase is Phase.RUNNING or heard.last > begun):
        return Pulse.BEATS
    silence = heard.until - max(begun, heard.since, heard.last or begun)
    if status.phase is Phase.ERROR or silence < timeout:
        return Pulse.NO_NEWS
    return Pulse.LOST if silence >= LOST_AFTER * timeout else Pulse.OVERDUE
