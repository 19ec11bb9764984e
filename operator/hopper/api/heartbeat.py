"""Heartbeats in ConfigMaps, the heartbeat shards.

Each namespace has a few shards. The name of an instance determines its shard and is its key there. Gateways also write
their presence into each shard: without it, a silent instance could not be distinguished from a time without gateways.
All times are those of the gateways' clocks.
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
# An invalid start of an instance name, so that the keys of gateways and instances never collide.
_GATEWAY_PREFIX = "_gateway."
_MAX_REPLICA_LENGTH = 200
_NAME_PREFIX = "hopper-heartbeats-"

_STRICT = ConfigDict(extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)
# The health values that an instance may report about itself. Hopper computes the others.
REPORTABLE = (Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY)


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("time has no time zone; add one, such as Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("time is before year 1 or after year 9999 in UTC; correct it") from None


def _to_reportable(value: Any) -> Any:
    if value not in REPORTABLE:
        raise ValueError(f"has to be one of {', '.join(REPORTABLE)}")
    return Health(value)


_Time = Annotated[datetime, AfterValidator(_to_utc)]
_Reportable = Annotated[
    Health,
    BeforeValidator(_to_reportable),
    WithJsonSchema({"type": "string", "enum": [health.value for health in REPORTABLE]}),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Vitals:
    """Measurements that an instance may send with a heartbeat."""

    active_tasks: Annotated[int | None, Field(ge=0, le=2**53, description="Number of running tasks.")] = None
    queue_depth: Annotated[int | None, Field(ge=0, le=2**53, description="Number of waiting tasks.")] = None
    response_time_ms: Annotated[float | None, Field(ge=0, description="Mean response time in milliseconds.")] = None
    error_rate: Annotated[float | None, Field(ge=0, le=1, description="Share of responses that are errors.")] = None
    status: Annotated[_Reportable | None, Field(description="Health as the instance itself reports it.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class StoredHeartbeat(Vitals):
    """Last heartbeat of an instance, with the uid of the instance and the time of arrival."""

    uid: Annotated[str, SHARE]
    at: _Time


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class GatewayPresence:
    """Presence of a gateway: it has received heartbeats without a gap from `since` to at least `seen`.

    Every heartbeat that it received by `seen` is stored in the same ConfigMap.
    """

    since: _Time
    seen: _Time


_HEARTBEAT: TypeAdapter[StoredHeartbeat] = TypeAdapter(StoredHeartbeat)
_PRESENCE: TypeAdapter[GatewayPresence] = TypeAdapter(GatewayPresence)


def shard_of(instance: str) -> int:
    """Return the number of the shard for an instance."""
    return crc32(instance.encode()) % SHARDS


def configmap_name(shard: int) -> str:
    """Return the name of the ConfigMap for a shard."""
    return f"{_NAME_PREFIX}{shard}"


def shard_in(raw: Mapping[str, Any]) -> int | None:
    """Return the number of the shard in a ConfigMap, or None if the ConfigMap is not a shard."""
    metadata = raw["metadata"]
    if (metadata.get("labels") or {}).get(LABEL_HEARTBEATS) != "true":
        return None
    number = metadata["name"].removeprefix(_NAME_PREFIX)
    return next((shard for shard in range(SHARDS) if str(shard) == number), None)


def configmap_labels() -> dict[str, str]:
    """Return the labels of shards, by which they are watched and recognized."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_HEARTBEATS: "true"}


def gateway_key(replica: str) -> str:
    """Return the key for the presence of a gateway. Characters that a ConfigMap key cannot have are replaced."""
    return _GATEWAY_PREFIX + re.sub(r"[^-._a-zA-Z0-9]", "-", replica)[:_MAX_REPLICA_LENGTH]


def is_gateway_key(key: str) -> bool:
    return key.startswith(_GATEWAY_PREFIX)


def dump_heartbeat(heartbeat: StoredHeartbeat) -> str:
    return _compact_json(_HEARTBEAT.dump_python(heartbeat, mode="json", exclude_none=True))


def dump_presence(presence: GatewayPresence) -> str:
    return _compact_json(_PRESENCE.dump_python(presence, mode="json"))


def parse_heartbeat(text: str) -> StoredHeartbeat | None:
    """Return the heartbeat in an entry, or None if the entry is invalid, because others may write the ConfigMap too."""
    try:
        return _HEARTBEAT.validate_json(text)
    except ValidationError:
        return None


def parse_presence(text: str) -> GatewayPresence | None:
    """Return the presence of a gateway in an entry, or None if the entry is invalid."""
    try:
        return _PRESENCE.validate_json(text)
    except ValidationError:
        return None


def _compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
