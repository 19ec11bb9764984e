"""The heartbeats, as the ConfigMaps that they are kept in tell them, and as they come in."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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
from hopper.api.resources import NamespacedName
from hopper.domain.heartbeat import HeartbeatRecord

# A gateway that has told nothing for so many seconds, while another one has, has gone without saying so.
STALE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class HeartbeatChange:
    """What one version of a ConfigMap has told: whose entries are new. Time has gone on for all of that shard."""

    namespace: str
    shard: int
    names: tuple[str, ...]


@dataclass(slots=True)
class _Shard:
    uid: str = ""
    version: int = 0
    data: dict[str, str] = field(default_factory=dict)
    beats: dict[str, StoredHeartbeat] = field(default_factory=dict)
    gateways: dict[str, GatewayPresence] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)  # gateway → when it was last seen to say something new
    since: datetime | None = None
    until: datetime | None = None


class HeartbeatIndex:
    """The newest heartbeat of each instance. Fed from the watch of ConfigMaps, and from those who beat here.

    Whether a gateway is still there is judged by `clock` (seconds, monotonic) and by what it tells, as with Leases: not
    by the time that it says it is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shards: dict[tuple[str, int], _Shard] = {}
        self.revision = 0  # higher with every change of what is known of a heartbeat

    def last(self, instance: HopperInstance) -> StoredHeartbeat | None:
        """Return the last heartbeat of this very instance, not of a predecessor of the same name."""
        shard = self._shards.get((instance.namespace, shard_of(instance.name)))
        beat = shard.beats.get(instance.name) if shard else None
        return beat if beat and beat.uid == instance.metadata.uid else None

    def heard(self, instance: HopperInstance) -> HeartbeatRecord:
        """Return what is known of an instance's heartbeats."""
        shard, beat = self._shards.get((instance.namespace, shard_of(instance.name))), self.last(instance)
        return HeartbeatRecord(beat.at if beat else None, shard.since, shard.until) if shard else HeartbeatRecord()

    def note(self, namespace: str, name: str, beat: StoredHeartbeat) -> None:
        """Take in a heartbeat that has come in here; the newest wins."""
        self._keep(self._shards.setdefault((namespace, shard_of(name)), _Shard()), name, beat)

    def put(self, raw: Mapping[str, Any]) -> HeartbeatChange | None:
        """Take in a version of a ConfigMap; None where it holds no heartbeats, or none that are new."""
        number, metadata = shard_in(raw), raw["metadata"]
        if number is None:
            return None
        shard = self._shards.setdefault((metadata["namespace"], number), _Shard())
        version = int(metadata["resourceVersion"])
        if version <= shard.version:
            return None
        data: dict[str, str] = raw.get("data") or {}
        changed = [key for key, text in data.items() if shard.data.get(key) != text]
        shard.told |= dict.fromkeys(filter(is_gateway_key, changed), self._clock())
        for name in [name for name in shard.beats if name not in data and name in shard.data]:
            del shard.beats[name]
            self.revision += 1
        shard.uid, shard.version, shard.data = metadata["uid"], version, data
        entries = [key for key in changed if not is_gateway_key(key)]
        for name in entries:
            self._keep(shard, name, parse_heartbeat(data[name]))
        self._listen(shard)
        return HeartbeatChange(metadata["namespace"], number, tuple(entries))

    def remove(self, namespace: str, name: str, uid: str) -> HeartbeatChange | None:
        """Forget a ConfigMap that is gone, and what stood in it; None where it was not known."""
        for (of, number), shard in self._shards.items():
            if (of, configmap_name(number), shard.uid) == (namespace, name, uid):
                del self._shards[of, number]
                self.revision += 1
                return HeartbeatChange(namespace, number, tuple(shard.data))
        return None

    def uids(self) -> dict[NamespacedName, str]:
        """Return all known ConfigMaps: uids by namespace and name."""
        return {(of, configmap_name(number)): it.uid for (of, number), it in self._shards.items() if it.uid}

    def entries(self, namespace: str, shard: int) -> Mapping[str, str]:
        """Return what stands in a ConfigMap, as it is written there."""
        known = self._shards.get((namespace, shard))
        return known.data if known else {}

    def of(self, namespace: str, shard: int) -> Mapping[str, StoredHeartbeat]:
        """Return the heartbeats of a shard, by the name of the instance."""
        known = self._shards.get((namespace, shard))
        return known.beats if known else {}

    def silence_of_gateways(self, namespace: str, shard: int) -> dict[str, float]:
        """Return for how many seconds each gateway in a ConfigMap has told nothing; infinite for nonsense."""
        known, now = self._shards.get((namespace, shard)), self._clock()
        if known is None:
            return {}
        keys = filter(is_gateway_key, known.data)
        return {key: now - known.told[key] if key in known.gateways else math.inf for key in keys}

    def places(self) -> set[tuple[str, int]]:
        """Return the namespaces and shards of which something is known."""
        return set(self._shards)

    def _keep(self, shard: _Shard, name: str, beat: StoredHeartbeat | None) -> None:
        known = shard.beats.get(name)
        if beat is not None and (known is None or known.uid != beat.uid or known.at < beat.at):
            shard.beats[name] = beat
            self.revision += 1

    def _listen(self, shard: _Shard) -> None:
        """Work out for which time all heartbeats are known: as long as one gateway listens, and all have told."""
        texts = {key: text for key, text in shard.data.items() if is_gateway_key(key)}
        shard.gateways = {key: it for key, text in texts.items() if (it := parse_presence(text))}
        shard.told = {key: when for key, when in shard.told.items() if key in shard.gateways}
        newest = max(shard.told.values(), default=0.0)
        present = [it for key, it in shard.gateways.items() if newest - shard.told[key] <= STALE_SECONDS]
        shard.since = min((it.since for it in present), default=None)
        shard.until = min((it.seen for it in present), default=None)
