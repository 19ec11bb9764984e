"""The registry alone, without a cluster: what an entry takes, and how long it takes to find some."""

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
ENTRY, INDEX = "an instance", "its entries in the indexes"
_REPEATS = 5
_ROUND_SECONDS = 0.05
_QUICK_ROUND_SECONDS = 0.002
_FULL_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: `found` says how many instances an answer holds, None where that says nothing."""

    name: str
    instances: int
    value: float
    unit: str
    found: int | None = None


def measure(size: int) -> list[Figure]:
    """Fill a catalogue with a Global instance, Projects and Orchestrations, and ask it."""
    catalogue, memory = filled(size)
    questions = _questions(catalogue, size)
    seconds = _ROUND_SECONDS if size >= _FULL_SIZE else _QUICK_ROUND_SECONDS
    answers = [Figure(name, size, _timed(ask, seconds), "µs", len(ask())) for name, ask in questions]
    return [*memory, *_taking_in(list(catalogue.instances)), *answers]


def filled(size: int) -> tuple[Catalogue, list[Figure]]:
    """Return a catalogue of so many, and what they take in it."""
    raws = [_raw(n) for n in range(size)]
    gc.collect()
    tracemalloc.start()
    instances = [parse_instance(raw) for raw in raws]
    gc.collect()
    entries = tracemalloc.get_traced_memory()[0]
    catalogue = Catalogue()
    for instance in instances:
        if change := catalogue.instances.put(instance):
            catalogue.on_change(change)
    gc.collect()
    indexes = tracemalloc.get_traced_memory()[0] - entries
    tracemalloc.stop()
    return catalogue, [Figure(ENTRY, size, entries / size, "bytes"), Figure(INDEX, size, indexes / size, "bytes")]


def _taking_in(instances: list[HopperInstance]) -> list[Figure]:
    """Time new instances, new versions of them, and their heartbeats, each; half of them change their phase."""
    size = len(instances)
    newer = [parse_instance(_raw(n, version=size + n + 1, phase="Paused" if n % 2 else "Running")) for n in range(size)]
    catalogue = Catalogue()
    catalogue.journal.open()

    def put(all_of_them: list[HopperInstance]) -> float:
        started = time.process_time()
        for instance in all_of_them:
            if change := catalogue.instances.put(instance):
                catalogue.on_change(change)
        return (time.process_time() - started) / size * 1e6

    first, again = put(instances), put(newer)
    maps = _heartbeats(instances)
    started = time.process_time()
    for raw in maps:
        if news := catalogue.heartbeats.put(raw):
            catalogue.on_heartbeats(news)
    beats = (time.process_time() - started) / size * 1e6
    return [
        Figure("take in a new one", size, first, "µs"),
        Figure("take in a new version", size, again, "µs"),
        Figure("take in a heartbeat", size, beats, "µs"),
    ]


def _questions(catalogue: Catalogue, size: int) -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    index = catalogue.instances.namespace(NAMESPACE)
    name = index.names[size // 2]
    one, root = _there(index, name), _there(index, "global")
    yield "by name", lambda: [index.get(name)]
    yield "by uid", lambda: [index.by_uid(one.metadata.uid)]
    yield (
        "by a label that one has",
        lambda: find_instances(index, Criteria(labels={"app": name}, phases={Phase.RUNNING})),
    )
    yield "by the beginning of a name", lambda: find_instances(index, Criteria(name=f"{name[:-1]}*"))
    yield "by parent", lambda: find_instances(index, Criteria(parent="project-1"))
    yield "by ancestor and phase", lambda: find_instances(index, Criteria(ancestor="project-1", phases={Phase.RUNNING}))
    yield "by capability and scope", lambda: find_instances(index, Criteria(capabilities=["gpu"], scope=Scope.PROJECT))
    yield "those in trouble", lambda: catalogue.find(NAMESPACE, Criteria(healthy=False))
    yield "possible parents", lambda: possible_parents(index, Scope.ORCHESTRATION)
    yield "ancestors", lambda: list(ancestors(one, index))
    yield "tree of a Project", lambda: [None] * subtree(_there(index, "project-1"), index)[1]
    yield "tree of all", lambda: [None] * subtree(root, index)[1]
    yield "all, in order", lambda: find_instances(index, Criteria())


def _timed(ask: Callable[[], object], seconds: float) -> float:
    """Return the CPU time of one call in microseconds: the median of some rounds of at least so many seconds."""
    started, calls = time.process_time(), 0
    while time.process_time() - started < seconds:
        ask()
        calls += 1
    rounds = []
    for _ in range(_REPEATS):
        started = time.process_time()
        for _ in range(calls):
            ask()
        rounds.append((time.process_time() - started) / calls * 1e6)
    return statistics.median(rounds)


def _there(index: NamespaceIndex, name: str) -> HopperInstance:
    found = index.get(name)
    assert found is not None, name
    return found


def _raw(n: int, version: int | None = None, phase: str = "Running") -> dict[str, Any]:
    """Build the n-th instance as the API server sends it, as the operator leaves it behind."""
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
            "conditions": [_true("Ready", phase), _true("HierarchyValid", "ParentAccepted", f"child of {parent}")],
            "startedAt": WHEN,
            "lastTransitionTime": WHEN,
            "history": [_step("Created", "Starting"), _step("Starting", "Running")],
            "path": "/".join(filter(None, ("global", parent, name))),
            "depth": 2,
        },
    }


def _true(kind: str, reason: str, message: str = "") -> dict[str, Any]:
    found = {"type": kind, "status": "True", "reason": reason, "message": message}
    return found | {"lastTransitionTime": WHEN, "observedGeneration": 1}


def _step(source: str, target: str) -> dict[str, str]:
    return {"from": source, "to": target, "time": WHEN, "reason": "DesiredState", "message": ""}


def _heartbeats(instances: list[HopperInstance]) -> list[dict[str, Any]]:
    data: list[dict[str, str]] = [{} for _ in range(SHARDS)]
    for it in instances:
        beat = StoredHeartbeat(uid=it.metadata.uid, at=it.metadata.creation_timestamp, active_tasks=1, queue_depth=2)
        data[shard_of(it.name)][it.name] = dump_heartbeat(beat)
    labels = configmap_labels()
    metadata = {"namespace": NAMESPACE, "uid": "1", "resourceVersion": "1", "labels": labels}
    return [{"metadata": metadata | {"name": configmap_name(n)}, "data": it} for n, it in enumerate(data)]
