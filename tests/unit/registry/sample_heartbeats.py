"""Instances with heartbeats, heartbeat shards, and a store of shards in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hopper.api.enums import Phase
from hopper.api.heartbeat import (
    SHARDS,
    GatewayPresence,
    StoredHeartbeat,
    configmap_labels,
    configmap_name,
    dump_heartbeat,
    dump_presence,
    gateway_key,
    shard_of,
)
from hopper.api.instance import Heartbeat, HopperInstance
from hopper.ports import ApiError, ConflictError, NotFoundError, UnavailableError
from tests.unit.domain.sample_instances import NOW, instance, ready, seconds

TIMEOUT = 10


def heartbeat_instance(
    name: str = "web", *, timeout: int | None = TIMEOUT, phase: Phase = Phase.RUNNING, **fields: Any
) -> HopperInstance:
    """Return a Ready instance with `spec.heartbeat`; without that if `timeout` is None."""
    spec_heartbeat = Heartbeat(timeout_seconds=timeout) if timeout else None
    return ready(instance(name, phase=phase, heartbeat=spec_heartbeat, **fields))


def later(count: float) -> datetime:
    """Return the time some seconds after NOW."""
    return NOW + seconds(count)


def heartbeat(name: str = "web", at: float = 0.0, *, uid: str = "", **vitals: Any) -> StoredHeartbeat:
    return StoredHeartbeat(uid=uid or f"uid-{name}", at=later(at), **vitals)


def names_in_same_shard(count: int, like: str = "web") -> list[str]:
    """Return `like` and more names whose heartbeats are in the same shard, `count` in all."""
    others = (f"{like}-{n}" for n in range(100 * count))
    return [like, *(name for name in others if shard_of(name) == shard_of(like))][:count]


def shard_configmap(
    version: int,
    *heartbeats: tuple[str, StoredHeartbeat],
    gateways: Mapping[str, tuple[float, float]] | None = None,
    namespace: str = "default",
    shard: int | None = None,
    uid: str = "1",
) -> dict[str, Any]:
    """Return a heartbeat shard. `gateways` gives `since` and `seen` of each gateway in seconds after NOW."""
    number = shard_of(heartbeats[0][0] if heartbeats else "web") if shard is None else shard
    present = {
        gateway_key(name): dump_presence(GatewayPresence(since=later(since), seen=later(seen)))
        for name, (since, seen) in (gateways or {}).items()
    }
    return {
        "metadata": {
            "namespace": namespace,
            "name": configmap_name(number),
            "uid": uid,
            "resourceVersion": str(version),
            "labels": configmap_labels(),
        },
        "data": {**{name: dump_heartbeat(stored) for name, stored in heartbeats}, **present},
    }


class FakeHeartbeatStore:
    """`ports.HeartbeatStore` in memory. `objects` are the ConfigMaps, `writes` the written shards."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, int], dict[str, Any]] = {}
        self.writes: list[tuple[str, int]] = []
        self.written = asyncio.Event()
        self.failure: ApiError | None = None
        self._version = 0

    def data(self, namespace: str = "default") -> dict[str, str]:
        """Return the entries of all shards of a namespace."""
        entries: dict[str, str] = {}
        for shard in range(SHARDS):
            entries |= self.objects.get((namespace, shard), {"data": {}})["data"]
        return entries

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        self._begin(namespace, shard)
        if (namespace, shard) not in self.objects:
            raise NotFoundError("404")
        self.writes.append((namespace, shard))
        data = {**self.objects[namespace, shard]["data"], **changes}
        self._write(namespace, shard, {key: value for key, value in data.items() if value is not None})

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        self._begin(namespace, shard)
        if (namespace, shard) in self.objects:
            raise ConflictError("409")
        self.writes.append((namespace, shard))
        self._write(namespace, shard, dict(data))

    def _begin(self, namespace: str, shard: int) -> None:
        if self.failure:
            raise self.failure

    def _write(self, namespace: str, shard: int, data: dict[str, str]) -> None:
        self._version += 1
        self.objects[namespace, shard] = {
            **shard_configmap(self._version, namespace=namespace, shard=shard),
            "data": data,
        }
        self.written.set()


OUTAGE = UnavailableError("the API server is away")


def recreated(instance: HopperInstance) -> HopperInstance:
    """Return an instance of the same name with another uid."""
    metadata = replace(instance.metadata, uid=f"{instance.metadata.uid}-2", resource_version="99")
    return replace(instance, metadata=metadata)
