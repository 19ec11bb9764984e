"""Indexes of the gateway without a cluster: memory per instance, and time of updates and queries."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hopper.api.enums import Phase, Scope
from hopper.api.heartbeat import SHARDS, StoredHeartbeat, configmap_labels, configmap_name, dump_heartbeat, shard_of
from hopper.api.instance import HopperInstance, parse_instance
from hopper.domain.tree import ancestors, subtree
from hopper.gateway.discovery import Catalogue, Criteria, find_instances, possible_parents
from hopper.registry import NamespaceIndex

NAMESPACE = "default"
WHEN = "2026-03-01T12:00:00Z"
PROJECTS = 100
INSTANCE_MEMORY, INDEX_MEMORY = "memory per instance", "memory of index entries per instance"
_REPEATS = 5
_ROUND_SECONDS = 0.05
_SHORT_ROUND_SECONDS = 0.002
_FULL_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number. `found` is the number of instances in the answer, None if the figure is not a query."""

    name: str
    instances: int
    value: float
    unit: str
    found: int | None = None


def measure(size: int) -> list[Figure]:
    """Fill a catalogue with a Global instance, Projects and Orchestrations, and measure updates and queries."""
    catalogue, memory = fill_catalogue(size)
    queries = _queries(catalogue, size)
    seconds = _ROUND_SECONDS if size >= _FULL_SIZE else _SHORT_ROUND_SECONDS
    answers = [Figure(name, size, _cpu_microseconds(query, seconds), "µs", len(query())) for name, query in queries]
    return [*memory, *_update_times(list(catalogue.instances)), *answers]


def fill_catalogue(size: int) -> tuple[Catalogue, list[Figure]]:
    """Return a catalogue of `size` instances, and its memory per instance."""
    raws = [_raw(n) for n in range(size)]
    gc.collect()
    tracemalloc.start()
    instances = [parse_instance(raw) for raw in raws]
    gc.collect()
    instance_bytes = tracemalloc.get_traced_memory()[0]
    catalogue = Catalogue()
    for instance in instances:
        if change := catalogue.instances.put(instance):
            catalogue.on_change(change)
    gc.collect()
    index_bytes = tracemalloc.get_traced_memory()[0] - instance_bytes
    tracemalloc.stop()
    memory = {INSTANCE_MEMORY: instance_bytes, INDEX_MEMORY: index_bytes}
    return catalogue, [Figure(name, size, total / size, "bytes") for name, total in memory.items()]


def _update_times(instances: list[HopperInstance]) -> list[Figure]:
    """Measure storing an instance, a new version of it and its heartbeat. Half of the versions change the phase."""
    size = len(instances)
    newer = [parse_instance(_raw(n, version=size + n + 1, phase="Paused" if n % 2 else "Running")) for n in range(size)]
    catalogue = Catalogue()
    catalogue.journal.open()

    def put_all(versions: list[HopperInstance]) -> float:
        started = time.process_time()
        for instance in versions:
            if change := catalogue.instances.put(instance):
                catalogue.on_change(change)
        return (time.process_time() - started) / size * 1e6

    new, updated = put_all(instances), put_all(newer)
    shards = _heartbeat_shards(instances)
    started = time.process_time()
    for raw in shards:
        if change := catalogue.heartbeats.put(raw):
            catalogue.on_heartbeats(change)
    heartbeat = (time.process_time() - started) / size * 1e6
    return [
        Figure("store a new instance", size, new, "µs"),
        Figure("store a new version", size, updated, "µs"),
        Figure("store a heartbeat", size, heartbeat, "µs"),
    ]


def _queries(catalogue: Catalogue, size: int) -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    index = catalogue.instances.namespace(NAMESPACE)
    name = index.names[size // 2]
    instance, root = _existing(index, name), _existing(index, "global")
    yield "by name", lambda: [index.get(name)]
    yield "by uid", lambda: [index.by_uid(instance.metadata.uid)]
    yield (
        "by a unique label and phase",
        lambda: find_instances(index, Criteria(labels={"app": name}, phases={Phase.RUNNING})),
    )
    yield "by name pattern", lambda: find_instances(index, Criteria(name=f"{name[:-1]}*"))
    yield "by parent", lambda: find_instances(index, Criteria(parent="project-1"))
    yield "by ancestor and phase", lambda: find_instances(index, Criteria(ancestor="project-1", phases={Phase.RUNNING}))
    yield "by capability and scope", lambda: find_instances(index, Criteria(capabilities=["gpu"], scope=Scope.PROJECT))
    yield "unhealthy instances", lambda: catalogue.find(NAMESPACE, Criteria(healthy=False))
    yield "possible parents", lambda: possible_parents(index, Scope.ORCHESTRATION)
    yield "ancestors", lambda: list(ancestors(instance, index))
    yield "tree of a Project", lambda: [None] * subtree(_existing(index, "project-1"), index)[1]
    yield "tree of all instances", lambda: [None] * subtree(root, index)[1]
    yield "all instances, sorted", lambda: find_instances(index, Criteria())


def _cpu_microseconds(query: Callable[[], object], seconds: float) -> float:
    """Return the CPU time of one call: the median of several rounds that take at least `seconds` each."""
    started, calls = time.process_time(), 0
    while time.process_time() - started < seconds:
        query()
        calls += 1
    rounds = []
    for _ in range(_REPEATS):
        started = time.process_time()
        for _ in range(calls):
            query()
        rounds.append((time.process_time() - started) / calls * 1e6)
    return statistics.median(rounds)


def _existing(index: NamespaceIndex, name: str) -> HopperInstance:
    instance = index.get(name)
    assert instance is not None, name
    return instance


def _raw(n: int, version: int | None = None, phase: str = "Running") -> dict[str, Any]:
    """Return the n-th instance as the API server sends it after the operator has reconciled it."""
    if n == 0:
        name, scope, parent = "global", "Global", None
    elif n <= PROJECTS:
        name, scope, parent = f"project-{n}", "Project", "global"
    else:
        name, scope, parent = f"worker-{n:05}", "Orchestration", f"project-{n % PROJECTS + 1}"
    spec = {"scope": scope, "desiredState": "Running", "heartbeat": {"timeoutSeconds": 30}}
    spec |= {"parentRef": {"name": parent}} if parent else {}
    spec |= {"config": {"capabilities": ["gpu"]}} if n % 10 == 0 else {}
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": parent, "uid": f"uid-{parent}"}
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"0b6f0a64-6f0f-4a53-93f3-{n:012d}",
            "resourceVersion": str(version or n + 1),
            "generation": 1,
            "creationTimestamp": WHEN,
            "labels": {"team": f"team-{n % 20}", "app": name},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}] if parent else [],
        },
        "spec": spec,
        "status": {
            "phase": phase,
            "effectiveState": phase,
            "observedGeneration": 1,
            "conditions": [
                _condition("Ready", phase),
                _condition("HierarchyValid", "ParentAccepted", f"child of {parent}"),
            ],
            "startedAt": WHEN,
            "lastTransitionTime": WHEN,
            "history": [_transition("Created", "Starting"), _transition("Starting", "Running")],
            "path": "/".join(filter(None, ("global", parent, name))),
            "depth": 2,
        },
    }


def _condition(kind: str, reason: str, message: str = "") -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return condition | {"lastTransitionTime": WHEN, "observedGeneration": 1}


def _transition(source: str, target: str) -> dict[str, str]:
    return {"from": source, "to": target, "time": WHEN, "reason": "DesiredState", "message": ""}


def _heartbeat_shards(instances: list[HopperInstance]) -> list[dict[str, Any]]:
    data: list[dict[str, str]] = [{} for _ in range(SHARDS)]
    for instance in instances:
        metadata = instance.metadata
        heartbeat = StoredHeartbeat(uid=metadata.uid, at=metadata.creation_timestamp, active_tasks=1, queue_depth=2)
        data[shard_of(instance.name)][instance.name] = dump_heartbeat(heartbeat)
    labels = configmap_labels()
    common = {"namespace": NAMESPACE, "uid": "1", "resourceVersion": "1", "labels": labels}
    return [{"metadata": common | {"name": configmap_name(n)}, "data": shard} for n, shard in enumerate(data)]
