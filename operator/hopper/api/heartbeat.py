"""Heartbeats: the ConfigMaps they are kept in, and what stands there.

A namespace has a few of them, and each instance's heartbeats are in one, always the same. Its key is the instance's
name. Gateways note in the same place that they listen: without that, nobody could tell an instance that is silent from
one that nobody hears. All times are those of the gateways' clocks.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from zlib import crc32

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.dataclasses import dataclass

from hopper.api.enums import Health
from hopper.api.model import SHARE
from hopper.api.names import LABEL_HEARTBEATS, LABEL_MANAGED_BY, MANAGED_BY

SHARDS = 4
# No instance can be called so: the keys of gateways are apart from those of instances.
_GATEWAY_PREFIX = "_gateway."
_LONGEST_REPLICA = 200
_NAME_PREFIX = "hopper-heartbeats-"

_STRICT = ConfigDict(extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)
_Time = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC) if moment.tzinfo else _reject())]
# What an instance can say of itself: the words for health that are a matter of opinion.
REPORTABLE = (Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY)


def _reject() -> datetime:
    raise ValueError("a time needs a zone")


def _reportable(value: Any) -> Any:
    if value not in REPORTABLE:
        raise ValueError(f"has to be one of {', '.join(REPORTABLE)}")
    return Health(value)


_Reportable = Annotated[
    Health,
    BeforeValidator(_reportable),
    WithJsonSchema({"type": "string", "enum": [it.value for it in REPORTABLE]}),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Vitals:
    """What an instance may tell with a heartbeat."""

    active_tasks: Annotated[int | None, Field(ge=0, le=2**53, description="Tasks being worked on.")] = None
    queue_depth: Annotated[int | None, Field(ge=0, le=2**53, description="Tasks waiting.")] = None
    response_time_ms: Annotated[float | None, Field(ge=0, description="Mean time of an answer, milliseconds.")] = None
    error_rate: Annotated[float | None, Field(ge=0, le=1, description="Share of answers that are errors.")] = None
    status: Annotated[_Reportable | None, Field(description="How it finds itself.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Beat(Vitals):
    """One heartbeat, as it is kept: when it came in, and from which object of that name."""

    uid: Annotated[str, SHARE]
    at: _Time


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Presence:
    """A gateway listens, or did: without a gap from `since`, and `seen` is when it last said so.

    Every heartbeat that it had received by `seen` stands in the same ConfigMap.
    """

    since: _Time
    seen: _Time


_BEAT: TypeAdapter[Beat] = TypeAdapter(Beat)
_PRESENCE: TypeAdapter[Presence] = TypeAdapter(Presence)


def shard_of(instance: str) -> int:
    """Return the number of the ConfigMap that holds an instance's heartbeats."""
    return crc32(instance.encode()) % SHARDS


def configmap_name(shard: int) -> str:
    """Return the name of a ConfigMap of heartbeats."""
    return f"{_NAME_PREFIX}{shard}"


def shard_in(raw: Mapping[str, Any]) -> int | None:
    """Return the number of the shard that a ConfigMap is; None for one that holds no heartbeats."""
    metadata = raw["metadata"]
    if (metadata.get("labels") or {}).get(LABEL_HEARTBEATS) != "true":
        return None
    number = metadata["name"].removeprefix(_NAME_PREFIX)
    return next((shard for shard in range(SHARDS) if str(shard) == number), None)


def configmap_labels() -> dict[str, str]:
    """Return the labels by which ConfigMaps of heartbeats are watched and told apart."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_HEARTBEATS: "true"}


def gateway_key(replica: str) -> str:
    """Return the key under which a gateway notes its presence; a host may have a name that no key can have."""
    return _GATEWAY_PREFIX + re.sub(r"[^-._a-zA-Z0-9]", "-", replica)[:_LONGEST_REPLICA]


def is_gateway_key(key: str) -> bool:
    return key.startswith(_GATEWAY_PREFIX)


def dump_beat(beat: Beat) -> str:
    return _compact(_BEAT.dump_python(beat, mode="json", exclude_none=True))


def dump_presence(presence: Presence) -> str:
    return _compact(_PRESENCE.dump_python(presence, mode="json"))


def parse_beat(text: str) -> Beat | None:
    """Read an entry; None where it is not one: the ConfigMap is open to whoever may write ConfigMaps."""
    try:
        return _BEAT.validate_json(text)
    except ValidationError:
        return None


def parse_presence(text: str) -> Presence | None:
    """Read the entry of a gateway; None where it is not one."""
    try:
        return _PRESENCE.validate_json(text)
    except ValidationError:
        return None


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
