"""Writer of heartbeats: collects them in memory and writes each shard at most once per tick."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from hopper.api.enums import Phase
from hopper.api.heartbeat import (
    SHARDS,
    GatewayPresence,
    StoredHeartbeat,
    Vitals,
    dump_heartbeat,
    dump_presence,
    gateway_key,
    is_gateway_key,
    shard_of,
)
from hopper.api.instance import HopperInstance
from hopper.ports import ApiError, HeartbeatStore, NotFoundError
from hopper.process.system import wall_clock
from hopper.registry.heartbeats import GATEWAY_TIMEOUT_SECONDS, HeartbeatIndex
from hopper.registry.instances import InstanceIndex, NamespaceIndex

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# A gateway refreshes its presence at least this often while heartbeats are expected, and more often for short timeouts.
LONGEST_PRESENCE_SECONDS = 10.0
_REMOVE_GATEWAY_SECONDS = 10 * GATEWAY_TIMEOUT_SECONDS
# By then, the watch of every gateway has seen an instance whose heartbeat another gateway has received.
_WATCH_DELAY = timedelta(seconds=30)
# A large ConfigMap is written less often, to bound the load on the API server and on every watch.
_ENTRIES_PER_SECOND = 1000
_CLEAN_UP_INTERVAL = timedelta(seconds=10)
_CONCURRENT_WRITES = 4
_LEAVE_SECONDS = 5
_NO_VITALS = Vitals()

ShardKey = tuple[str, int]  # namespace, shard
Changes = dict[str, str | None]


class HeartbeatWriter:
    """Collector of heartbeats, which writes them with one patch per shard and tick, however many instances send them.

    The same patch refreshes this gateway's presence, under the name `replica`. A patch that fails is repeated with the
    next tick. Until then the shard has no fresh presence, so that no instance is judged by its missing heartbeats.
    """

    def __init__(
        self,
        store: HeartbeatStore,
        heartbeats: HeartbeatIndex,
        instances: InstanceIndex,
        *,
        replica: str,
        clock: Callable[[], datetime] = wall_clock,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._store = store
        self._heartbeats = heartbeats
        self._instances = instances
        self._own_key = gateway_key(replica)
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._pending: dict[ShardKey, dict[str, StoredHeartbeat]] = {}
        self._present_since: dict[ShardKey, datetime] = {}
        self._written_at: dict[ShardKey, datetime] = {}
        self._failing: set[ShardKey] = set()
        self._cleaned_up_at: datetime | None = None
        self._ticked_at: datetime | None = None

    def receive(self, instance: HopperInstance, vitals: Vitals = _NO_VITALS) -> StoredHeartbeat:
        """Store a heartbeat of an instance in the index; the next tick writes it."""
        values = {name: getattr(vitals, name) for name in Vitals.__dataclass_fields__}
        heartbeat = StoredHeartbeat(uid=instance.metadata.uid, at=self._clock(), **values)
        self._heartbeats.add(instance.namespace, instance.name, heartbeat)
        self._pending.setdefault((instance.namespace, shard_of(instance.name)), {})[instance.name] = heartbeat
        return heartbeat

    async def run(self) -> None:
        """Write every tick until cancelled, then leave. Start when the initial list of instances is complete."""
        try:
            while True:
                await self.flush()
                await asyncio.sleep(self._tick_seconds)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self.leave()

    async def flush(self) -> None:
        """Write all shards that are due."""
        now = self._clock()
        self._detect_suspension(now)
        cleans_up = self._cleaned_up_at is None or now - self._cleaned_up_at >= _CLEAN_UP_INTERVAL
        shards = self._shards()
        if cleans_up:
            self._cleaned_up_at = now
            self._written_at = {shard: when for shard, when in self._written_at.items() if shard in shards}
            self._failing &= shards
        slots = asyncio.Semaphore(_CONCURRENT_WRITES)

        async def write(shard: ShardKey, removals: Changes) -> None:
            async with slots:
                await self._write(shard, removals)

        candidates = [(shard, self._obsolete_entries(shard, now) if cleans_up else {}) for shard in shards]
        await asyncio.gather(
            *(write(shard, removals) for shard, removals in candidates if removals or self._is_due(shard, now))
        )

    async def leave(self) -> None:
        """Write the pending heartbeats, and remove this gateway's presence from all shards."""
        for shard in {*self._present_since, *self._pending}:
            await self._write(shard, {}, leaves=True)

    def _detect_suspension(self, now: datetime) -> None:
        """Restart the presence after a gap between ticks: a suspended machine received no heartbeats."""
        last_tick, self._ticked_at = self._ticked_at, now
        if last_tick is not None and now - last_tick > timedelta(seconds=3 * self._tick_seconds + 2):
            self._present_since.clear()

    def _shards(self) -> set[ShardKey]:
        """Return all shards that may need a write."""
        served = {(name, shard) for name in self._instances.namespaces for shard in range(SHARDS)}
        return served | self._heartbeats.shards() | set(self._pending)

    def _is_due(self, shard: ShardKey, now: datetime) -> bool:
        written = self._written_at.get(shard)
        size = len(self._heartbeats.data(*shard))
        if written and size > _ENTRIES_PER_SECOND and now - written < timedelta(seconds=size / _ENTRIES_PER_SECOND):
            return False
        if self._pending.get(shard):
            return True
        interval = _presence_interval(self._instances.namespace(shard[0]), shard[1])
        if interval is None:
            return False
        return shard not in self._present_since or written is None or now - written >= interval

    def _obsolete_entries(self, shard: ShardKey, now: datetime) -> Changes:
        """Return the removal of entries that are invalid or belong to deleted instances and stopped gateways."""
        index, heartbeats = self._instances.namespace(shard[0]), self._heartbeats.heartbeats(*shard)
        silence = self._heartbeats.gateway_silence_seconds(*shard)
        removals: Changes = {}
        for key in self._heartbeats.data(*shard):
            if is_gateway_key(key):
                is_obsolete = silence[key] > _REMOVE_GATEWAY_SECONDS
            else:
                heartbeat, instance = heartbeats.get(key), index.get(key)
                is_orphaned = instance is None or heartbeat is None or instance.metadata.uid != heartbeat.uid
                # The index may not contain the instance yet, if another gateway received the heartbeat.
                is_obsolete = is_orphaned and (heartbeat is None or now - heartbeat.at > _WATCH_DELAY)
            if is_obsolete and key != self._own_key:
                removals[key] = None
        return removals

    async def _write(self, shard: ShardKey, removals: Changes, *, leaves: bool = False) -> None:
        now, index = self._clock(), self._instances.namespace(shard[0])
        pending = self._pending.pop(shard, {})
        sent = {name: heartbeat for name, heartbeat in pending.items() if _is_sender(index.get(name), heartbeat)}
        changes = {**removals, **{name: dump_heartbeat(heartbeat) for name, heartbeat in sent.items()}}
        presence = GatewayPresence(since=self._present_since.get(shard, now), seen=now)
        changes[self._own_key] = None if leaves else dump_presence(presence)
        try:
            await self._merge(shard, changes, now)
        except ApiError as error:
            log = logger.debug if shard in self._failing or leaves else logger.warning
            log("cannot write heartbeats of namespace %s: %s; retrying with the next tick", shard[0], error)
            self._failing.add(shard)
            # The presence must not cover this gap, because heartbeats in it may never be written.
            self._present_since.pop(shard, None)
            self._pending[shard] = {**sent, **self._pending.get(shard, {})}
            return
        self._failing.discard(shard)
        self._written_at[shard] = now
        if leaves:
            self._present_since.pop(shard, None)
        else:
            self._present_since.setdefault(shard, now)

    async def _merge(self, shard: ShardKey, changes: Changes, now: datetime) -> None:
        try:
            await self._store.merge(*shard, changes)
        except NotFoundError:
            data = {key: value for key, value in changes.items() if value is not None}
            if self._own_key in data:  # the new ConfigMap has lost all earlier heartbeats, so the presence starts now
                self._present_since.pop(shard, None)
                data[self._own_key] = dump_presence(GatewayPresence(since=now, seen=now))
            await self._store.create(*shard, data)


def _is_sender(instance: HopperInstance | None, heartbeat: StoredHeartbeat) -> bool:
    return instance is not None and instance.metadata.uid == heartbeat.uid


def _presence_interval(index: NamespaceIndex, shard: int) -> timedelta | None:
    """Return how often a gateway must refresh its presence; None if no instance must send heartbeats."""
    running = (
        instance for instance in index.with_heartbeat(shard) if instance.status.phase in (Phase.RUNNING, Phase.ERROR)
    )
    timeouts = (instance.spec.heartbeat.timeout_seconds for instance in running if instance.spec.heartbeat)
    shortest = min(timeouts, default=None)
    if shortest is None:
        return None
    return timedelta(seconds=min(shortest / 2, LONGEST_PRESENCE_SECONDS))
