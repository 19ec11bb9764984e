"""Index of heartbeats: those in the ConfigMap shards, and those that this gateway has received."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hopper.api.heartbeat import (
    GatewayPresence,
    StoredHeartbeat,
    configmap_name,
    is_gateway_key,
    parse_heartbeat,
    parse_presence,
    shard_in,
    shard_of,
)
from hopper.api.instance import HopperInstance
from hopper.api.resources import Manifest, NamespacedName
from hopper.domain.heartbeat import HeartbeatRecord

# A gateway that is this far behind the others no longer counts: it has ended without removing its entry.
GATEWAY_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class HeartbeatChange:
    """A new version of a heartbeat shard. `names` are the instances with a new heartbeat in it.

    The other instances of the shard are affected too, because the shard also says until when heartbeats are complete.
    """

    namespace: str
    shard: int
    names: tuple[str, ...]


@dataclass(slots=True)
class _Shard:
    """State of a ConfigMap. All heartbeats between `since` and `until` are known."""

    uid: str = ""
    version: int = 0
    data: dict[str, str] = field(default_factory=dict)
    heartbeats: dict[str, StoredHeartbeat] = field(default_factory=dict)
    gateways: dict[str, GatewayPresence] = field(default_factory=dict)
    changed_at: dict[str, float] = field(default_factory=dict)  # gateway key → local time of its last change
    since: datetime | None = None
    until: datetime | None = None


class HeartbeatIndex:
    """The latest heartbeat of each instance.

    Whether a gateway still runs is decided by `clock` (monotonic seconds) and by changes of its entry, as with Leases.
    The time that a gateway reports does not count, because its clock may be wrong.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shards: dict[tuple[str, int], _Shard] = {}
        self.revision = 0  # increases with every change of a heartbeat

    def last_heartbeat(self, instance: HopperInstance) -> StoredHeartbeat | None:
        """Return the latest heartbeat of the instance; None if that came from an earlier instance of the same name."""
        shard = self._shards.get((instance.namespace, shard_of(instance.name)))
        heartbeat = shard.heartbeats.get(instance.name) if shard else None
        return heartbeat if heartbeat and heartbeat.uid == instance.metadata.uid else None

    def record(self, instance: HopperInstance) -> HeartbeatRecord:
        """Return when the instance sent its latest heartbeat, and for which time all heartbeats are known."""
        shard = self._shards.get((instance.namespace, shard_of(instance.name)))
        if shard is None:
            return HeartbeatRecord()
        heartbeat = self.last_heartbeat(instance)
        return HeartbeatRecord(heartbeat.at if heartbeat else None, shard.since, shard.until)

    def add(self, namespace: str, name: str, heartbeat: StoredHeartbeat) -> None:
        """Add a heartbeat that this gateway has received. An older one than the latest is ignored."""
        self._add_to(self._shards.setdefault((namespace, shard_of(name)), _Shard()), name, heartbeat)

    def put(self, manifest: Manifest) -> HeartbeatChange | None:
        """Store a version of a ConfigMap; return None if that is no heartbeat shard, or no newer version."""
        number, metadata = shard_in(manifest), manifest["metadata"]
        if number is None:
            return None
        shard = self._shards.setdefault((metadata["namespace"], number), _Shard())
        version = int(metadata["resourceVersion"])
        if version <= shard.version:
            return None
        data: dict[str, str] = manifest.get("data") or {}
        changed = [key for key, text in data.items() if shard.data.get(key) != text]
        shard.changed_at |= dict.fromkeys(filter(is_gateway_key, changed), self._clock())
        for name in [name for name in shard.heartbeats if name not in data and name in shard.data]:
            del shard.heartbeats[name]
            self.revision += 1
        shard.uid, shard.version, shard.data = metadata["uid"], version, data
        names = [key for key in changed if not is_gateway_key(key)]
        for name in names:
            self._add_to(shard, name, parse_heartbeat(data[name]))
        _update_coverage(shard)
        return HeartbeatChange(metadata["namespace"], number, tuple(names))

    def remove(self, namespace: str, name: str, uid: str) -> HeartbeatChange | None:
        """Remove a deleted ConfigMap with its heartbeats; return None if it is not in the index."""
        for (shard_namespace, number), shard in self._shards.items():
            if (shard_namespace, configmap_name(number), shard.uid) == (namespace, name, uid):
                del self._shards[shard_namespace, number]
                self.revision += 1
                return HeartbeatChange(namespace, number, tuple(shard.data))
        return None

    def uids(self) -> dict[NamespacedName, str]:
        """Return the uids of all ConfigMaps in the index, by namespace and name."""
        return {
            (namespace, configmap_name(number)): shard.uid
            for (namespace, number), shard in self._shards.items()
            if shard.uid
        }

    def data(self, namespace: str, shard: int) -> Mapping[str, str]:
        """Return the data of a ConfigMap as it is stored in the cluster."""
        state = self._shards.get((namespace, shard))
        return state.data if state else {}

    def heartbeats(self, namespace: str, shard: int) -> Mapping[str, StoredHeartbeat]:
        """Return the heartbeats of a shard by the name of the instance."""
        state = self._shards.get((namespace, shard))
        return state.heartbeats if state else {}

    def gateway_silence_seconds(self, namespace: str, shard: int) -> dict[str, float]:
        """Return by gateway key how long its entry in a ConfigMap has not changed; infinity for an invalid entry."""
        state, now = self._shards.get((namespace, shard)), self._clock()
        if state is None:
            return {}
        keys = filter(is_gateway_key, state.data)
        return {key: now - state.changed_at[key] if key in state.gateways else math.inf for key in keys}

    def shards(self) -> set[tuple[str, int]]:
        """Return namespace and number of each shard in the index."""
        return set(self._shards)

    def _add_to(self, shard: _Shard, name: str, heartbeat: StoredHeartbeat | None) -> None:
        previous = shard.heartbeats.get(name)
        if heartbeat is not None and (previous is None or previous.uid != heartbeat.uid or previous.at < heartbeat.at):
            shard.heartbeats[name] = heartbeat
            self.revision += 1


def _update_coverage(shard: _Shard) -> None:
    """Set `since` and `until`: the time in which at least one gateway has listened, and all gateways have reported."""
    texts = {key: text for key, text in shard.data.items() if is_gateway_key(key)}
    shard.gateways = {key: presence for key, text in texts.items() if (presence := parse_presence(text))}
    shard.changed_at = {key: changed_at for key, changed_at in shard.changed_at.items() if key in shard.gateways}
    latest = max(shard.changed_at.values(), default=0.0)
    running = [
        presence
        for key, presence in shard.gateways.items()
        if latest - shard.changed_at[key] <= GATEWAY_TIMEOUT_SECONDS
    ]
    shard.since = min((presence.since for presence in running), default=None)
    shard.until = min((presence.seen for presence in running), default=None)
