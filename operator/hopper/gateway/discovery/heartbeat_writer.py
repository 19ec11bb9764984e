"""The gateway's side of heartbeats: they are collected in memory, and written many at a time."""

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
from hopper.registry.heartbeats import STALE_SECONDS, HeartbeatIndex
from hopper.registry.instances import InstanceIndex, NamespaceIndex

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# A gateway says that it listens at least this often where heartbeats are expected, oftener where timeouts are short.
LONGEST_PRESENCE_SECONDS = 10.0
_FORGET_GATEWAY_SECONDS = 10 * STALE_SECONDS
# By then, every gateway knows of an instance whose heartbeat another one has taken in.
_NEWS_TAKES = timedelta(seconds=30)
# A large ConfigMap is written less often: what goes to the API server and to everybody who watches stays bounded.
_ENTRIES_A_SECOND = 1000
_CLEAN_UP = timedelta(seconds=10)
_AT_ONCE = 4
_NO_VITALS = Vitals()

Place = tuple[str, int]  # namespace, shard
Changes = dict[str, str | None]


class HeartbeatWriter:
    """Takes heartbeats in and writes them down: one patch a shard and tick, whatever number of instances beat.

    The same patch says that this gateway was listening until then. `replica` names it among others. What cannot be
    written is tried again with the next tick; until it is, nobody takes it for silence.
    """

    def __init__(
        self,
        store: HeartbeatStore,
        beats: HeartbeatIndex,
        registry: InstanceIndex,
        *,
        replica: str,
        clock: Callable[[], datetime] = wall_clock,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._store = store
        self._beats = beats
        self._registry = registry
        self._key = gateway_key(replica)
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._pending: dict[Place, dict[str, StoredHeartbeat]] = {}
        self._since: dict[Place, datetime] = {}  # where this gateway has said that it listens, and since when
        self._written: dict[Place, datetime] = {}
        self._failing: set[Place] = set()
        self._cleaned_at: datetime | None = None
        self._ticked_at: datetime | None = None

    def beat(self, instance: HopperInstance, vitals: Vitals = _NO_VITALS) -> StoredHeartbeat:
        """Take in one heartbeat of an instance that the registry knows. Costs no request."""
        told = {name: getattr(vitals, name) for name in Vitals.__dataclass_fields__}
        beat = StoredHeartbeat(uid=instance.metadata.uid, at=self._clock(), **told)
        self._beats.note(instance.namespace, instance.name, beat)
        self._pending.setdefault((instance.namespace, shard_of(instance.name)), {})[instance.name] = beat
        return beat

    async def run(self) -> None:
        """Write every second until cancelled, then once more. Begin when the registry is complete."""
        try:
            while True:
                await self.flush()
                await asyncio.sleep(self._tick_seconds)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self.leave()

    async def flush(self) -> None:
        """Write what is due."""
        now = self._clock()
        self._notice_a_gap(now)
        cleans_up = self._cleaned_at is None or now - self._cleaned_at >= _CLEAN_UP
        places = self._places()
        if cleans_up:
            self._cleaned_at = now
            self._written = {place: when for place, when in self._written.items() if place in places}
            self._failing &= places
        slots = asyncio.Semaphore(_AT_ONCE)

        async def write(place: Place, left_over: Changes) -> None:
            async with slots:
                await self._write(place, left_over)

        due = ((place, self._left_over(place, now) if cleans_up else {}) for place in places)
        await asyncio.gather(*(write(*it) for it in due if it[1] or self._is_due(it[0], now)))

    async def leave(self) -> None:
        """Write what is left, and that this gateway does not listen any more."""
        for place in {*self._since, *self._pending}:
            await self._write(place, {}, leaves=True)

    def _notice_a_gap(self, now: datetime) -> None:
        """Whoever was stopped for a while (a suspended machine, say) was not listening, and has to say so."""
        before, self._ticked_at = self._ticked_at, now
        if before is not None and now - before > timedelta(seconds=3 * self._tick_seconds + 2):
            self._since.clear()

    def _places(self) -> set[Place]:
        """Return where there may be something to write."""
        served = {(name, shard) for name in self._registry.namespaces for shard in range(SHARDS)}
        return served | self._beats.places() | set(self._pending)

    def _is_due(self, place: Place, now: datetime) -> bool:
        written = self._written.get(place)
        size = len(self._beats.entries(*place))
        if written and size > _ENTRIES_A_SECOND and now - written < timedelta(seconds=size / _ENTRIES_A_SECOND):
            return False
        if self._pending.get(place):
            return True
        interval = _presence_interval(self._registry.namespace(place[0]), place[1])
        return interval is not None and (place not in self._since or written is None or now - written >= interval)

    def _left_over(self, place: Place, now: datetime) -> Changes:
        """Return what nobody needs any more: entries of instances and gateways that are gone, and what is none."""
        index, beats = self._registry.namespace(place[0]), self._beats.of(*place)
        silent = self._beats.silence_of_gateways(*place)
        changes: Changes = {}
        for key in self._beats.entries(*place):
            if is_gateway_key(key):
                gone = silent[key] > _FORGET_GATEWAY_SECONDS
            else:
                beat, known = beats.get(key), index.get(key)
                # Another gateway may have heard of an instance that is not known here yet.
                is_another = known is None or beat is None or known.metadata.uid != beat.uid
                gone = is_another and (beat is None or now - beat.at > _NEWS_TAKES)
            if gone and key != self._key:
                changes[key] = None
        return changes

    async def _write(self, place: Place, changes: Changes, *, leaves: bool = False) -> None:
        now, beaten = self._clock(), self._pending.pop(place, {})
        index = self._registry.namespace(place[0])
        beaten = {name: it for name, it in beaten.items() if _is_of(index.get(name), it)}
        changes = {**changes, **{name: dump_heartbeat(it) for name, it in beaten.items()}}
        changes[self._key] = (
            None if leaves else dump_presence(GatewayPresence(since=self._since.get(place, now), seen=now))
        )
        try:
            await self._merge(place, changes, now)
        except ApiError as error:
            log = logger.debug if place in self._failing or leaves else logger.warning
            log("cannot write heartbeats of %s: %s; trying again", place[0], error)
            self._failing.add(place)
            # Until it can be written nobody knows who has beaten, and those who beat may have been sent away.
            self._since.pop(place, None)
            self._pending[place] = {**beaten, **self._pending.get(place, {})}
            return
        self._failing.discard(place)
        self._written[place] = now
        if leaves:
            self._since.pop(place, None)
        else:
            self._since.setdefault(place, now)

    async def _merge(self, place: Place, changes: Changes, now: datetime) -> None:
        try:
            await self._store.merge(*place, changes)
        except NotFoundError:
            data = {key: value for key, value in changes.items() if value is not None}
            if self._key in data:  # of what stood there before, if anything did, nothing is known any more
                self._since.pop(place, None)
                data[self._key] = dump_presence(GatewayPresence(since=now, seen=now))
            await self._store.create(*place, data)


def _is_of(instance: HopperInstance | None, beat: StoredHeartbeat) -> bool:
    return instance is not None and instance.metadata.uid == beat.uid


def _presence_interval(index: NamespaceIndex, shard: int) -> timedelta | None:
    """Return how often a gateway has to say that it listens; None where nobody is expected to beat."""
    running = (it for it in index.expecting_beats(shard) if it.status.phase in (Phase.RUNNING, Phase.ERROR))
    shortest = min((it.spec.heartbeat.timeout_seconds for it in running if it.spec.heartbeat), default=None)
    if shortest is None:
        return None
    return timedelta(seconds=min(shortest / 2, LONGEST_PRESENCE_SECONDS))
