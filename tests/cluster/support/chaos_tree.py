"""A tree of 100 instances for the chaos tests, and what is compared of it afterwards."""

from __future__ import annotations

import random
from typing import Any

from hopper.api.enums import DesiredState
from hopper.domain.lifecycle import INHERITED
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.watch_recorder import Object

SIZE = 100
# What differs between two runs that went the same way.
_PASSING = {"time", "lastTransitionTime", "startedAt", "stoppedAt"}
_STATES = ("Running",) * 6 + ("Paused", "Stopped", "Terminated")


def forest(rng: random.Random) -> list[Object]:
    """Return the manifests in random order: four levels, all states, some projects held paused or stopped."""
    branches = [manifest(f"project-{n}", "Project", "global", desiredState=_held(n)) for n in range(6)]
    branches += [manifest(f"person-{n}", "Personal", "family") for n in range(3)]
    made = [manifest("global", "Global"), manifest("family", "Family", "global"), *branches]
    parents = [branch["metadata"]["name"] for branch in branches]
    for n in range(SIZE - len(made)):
        state = rng.choice(_STATES)
        made.append(manifest(f"leaf-{n:02}", "Orchestration", parents[n % len(parents)], desiredState=state))
    rng.shuffle(made)
    return made


def bystanders() -> list[Object]:
    """Return instances that have nothing to do with the tree."""
    return [manifest("other"), manifest("other-1", "Orchestration", "other"), manifest("alone", "Federated")]


def outcome(live: LiveInstances) -> dict[str, Any]:
    """Return everything of all instances that does not depend on when it happened."""
    return {name: _timeless(it) for name, it in live.instances.now.items()}


def has_converged(live: LiveInstances, size: int) -> bool:
    """Tell whether that many instances are there, ready, held down as their parents are, and counted by them."""
    if len(live.names) != size or not all(_is_ready(live, name) for name in live.names):
        return False
    children: dict[str, list[str]] = {name: [] for name in live.names}
    for name, it in live.instances.now.items():
        if "parentRef" in it["spec"]:
            children.setdefault(it["spec"]["parentRef"]["name"], []).append(name)
    return all(_is_counted(live, name, below) for name, below in children.items())


def _is_ready(live: LiveInstances, name: str) -> bool:
    return live.is_ready(name) and "deletionTimestamp" not in live[name]["metadata"]


def _is_counted(live: LiveInstances, name: str, children: list[str]) -> bool:
    counted = {"total": len(children), "ready": len(children)} if children else None
    if live.status(name).get("children") != counted:
        return False
    passed_on = INHERITED[DesiredState(live.status(name)["effectiveState"])]
    return all(DesiredState(live.status(it)["effectiveState"]).severity >= passed_on.severity for it in children)


def _held(n: int) -> str:
    return {4: "Paused", 5: "Stopped"}.get(n, "Running")


def _timeless(instance: Object) -> Object:
    metadata = instance["metadata"]
    owners = [(it["kind"], it["name"], it.get("controller")) for it in metadata.get("ownerReferences", [])]
    return {
        "spec": instance["spec"],
        "generation": metadata["generation"],
        "owners": owners,
        "finalizers": metadata.get("finalizers", []),
        "status": _without_times(instance.get("status", {})),
    }


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "some time" if key in _PASSING else _without_times(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_without_times(it) for it in value]
    return value
