"""Tree of 100 instances for the chaos tests, and the part of its state that two correct runs share."""

from __future__ import annotations

import random
from typing import Any

from hopper.api.enums import DesiredState
from hopper.api.resources import Manifest
from hopper.domain.lifecycle import INHERITED
from tests.cluster.support.live_instances import LiveInstances, manifest

SIZE = 100
# Fields of the status that differ between two correct runs.
_TIMES = {"time", "lastTransitionTime", "startedAt", "stoppedAt"}
_STATES = ("Running",) * 6 + ("Paused", "Stopped", "Terminated")


def random_tree(rng: random.Random) -> list[Manifest]:
    """Return manifests in random order: four levels, all states, some projects paused or stopped."""
    branches = [manifest(f"project-{n}", "Project", "global", desiredState=_project_state(n)) for n in range(6)]
    branches += [manifest(f"person-{n}", "Personal", "family") for n in range(3)]
    manifests = [manifest("global", "Global"), manifest("family", "Family", "global"), *branches]
    parents = [branch["metadata"]["name"] for branch in branches]
    for n in range(SIZE - len(manifests)):
        state = rng.choice(_STATES)
        manifests.append(manifest(f"leaf-{n:02}", "Orchestration", parents[n % len(parents)], desiredState=state))
    rng.shuffle(manifests)
    return manifests


def unrelated_instances() -> list[Manifest]:
    """Return manifests of instances outside the tree."""
    return [manifest("other"), manifest("other-1", "Orchestration", "other"), manifest("alone", "Federated")]


def outcome(live: LiveInstances) -> dict[str, Any]:
    """Return the state of all instances by name, without everything that depends on time."""
    return {name: _comparable(instance) for name, instance in live.instances.objects.items()}


def has_converged(live: LiveInstances, size: int) -> bool:
    """Whether this number of instances exists, all ready, as restricted as their parents, and counted by them."""
    if len(live.names) != size or not all(_is_ready(live, name) for name in live.names):
        return False
    children: dict[str, list[str]] = {name: [] for name in live.names}
    for name, instance in live.instances.objects.items():
        if "parentRef" in instance["spec"]:
            children.setdefault(instance["spec"]["parentRef"]["name"], []).append(name)
    return all(_is_consistent(live, name, names) for name, names in children.items())


def _is_ready(live: LiveInstances, name: str) -> bool:
    return live.is_ready(name) and "deletionTimestamp" not in live[name]["metadata"]


def _is_consistent(live: LiveInstances, name: str, children: list[str]) -> bool:
    """Whether the summary in the status of a parent is right, and no child is less restricted than the parent."""
    summary = {"total": len(children), "ready": len(children)} if children else None
    if live.status(name).get("children") != summary:
        return False
    inherited = INHERITED[DesiredState(live.status(name)["effectiveState"])]
    states = [DesiredState(live.status(child)["effectiveState"]) for child in children]
    return all(state.severity >= inherited.severity for state in states)


def _project_state(n: int) -> str:
    return {4: "Paused", 5: "Stopped"}.get(n, "Running")


def _comparable(instance: Manifest) -> Manifest:
    """Return what a user would compare: no uids, no versions, no times."""
    metadata = instance["metadata"]
    references = metadata.get("ownerReferences", [])
    owners = [(reference["kind"], reference["name"], reference.get("controller")) for reference in references]
    return {
        "spec": instance["spec"],
        "generation": metadata["generation"],
        "owners": owners,
        "finalizers": metadata.get("finalizers", []),
        "status": _without_times(instance.get("status", {})),
    }


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "some time" if key in _TIMES else _without_times(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_times(element) for element in value]
    return value
