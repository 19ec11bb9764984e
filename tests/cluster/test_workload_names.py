"""Names of owned objects, and foreign changes that conflict with an apply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hopper.controller.operator import Operator
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import STATELESS_SERVICE, Workloads

JSON_PATCH = "application/json-patch+json"
POD = "/spec/template/spec"


class TestObjectNames:
    async def test_instances_whose_names_collide_get_different_object_names(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("web")
        for name in ("worker", "web-worker"):
            await live.create(name, "Orchestration", "web", templateRef={"name": "web"})
        await live.until_phase("Running", "web", "worker", "web-worker")
        names = {instance: live.status(instance)["workloadName"] for instance in ("worker", "web-worker")}
        assert "hopper-web-worker" in names.values()
        for instance, name in names.items():
            owned = workloads.owned_objects(instance)
            assert owned.keys() == {"Deployment", "Service", "ConfigMap", "Secret"}
            assert {manifest["metadata"]["name"] for manifest in owned.values()} == {name}
        assert len(set(names.values())) == 2

    async def test_a_moved_instance_keeps_its_object_names(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE, volumes=[{"target": "/data", "size": "1Mi"}])
        await live.create("web")
        await live.create("other")
        await live.create("worker", "Orchestration", "web", templateRef={"name": "web"})
        await live.until_phase("Running", "worker")
        before = uids(workloads, "worker")
        pods = workloads.pods("worker").keys()
        await live.edit("worker", parentRef={"name": "other"})
        part_of = "app.kubernetes.io/part-of"
        moved = lambda: workloads.deployment("worker")["metadata"]["labels"].get(part_of) == "other"  # noqa: E731
        await live.until(moved, "the labels name the new parent")
        assert uids(workloads, "worker") == before
        assert workloads.pods("worker").keys() == pods


CONFLICTING_CHANGES: dict[str, list[dict[str, Any]]] = {
    "another volume": [
        {"op": "add", "path": f"{POD}/volumes", "value": [{"name": "files", "hostPath": {"path": "/"}}]},
    ],
    "another source of a value": [
        {
            "op": "add",
            "path": f"{POD}/containers/0/env",
            "value": [{"name": "LEVEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        }
    ],
    "another strategy": [{"op": "add", "path": "/spec/strategy", "value": {"type": "RollingUpdate"}}],
}


@pytest.mark.parametrize("name", CONFLICTING_CHANGES)
async def test_a_foreign_change_that_makes_the_apply_invalid_is_reverted(
    live: LiveInstances, operator: Operator, workloads: Workloads, name: str
) -> None:
    """The API server rejects the apply until the foreign field is removed."""
    await workloads.create_template(**STATELESS_SERVICE)
    await live.create("a", "Project", type="Singleton", templateRef={"name": "web"})
    await live.until_phase("Running", "a")
    before = deployment_spec(workloads, "a")
    await workloads.edit("Deployment", "hopper-a", CONFLICTING_CHANGES[name], JSON_PATCH)
    await live.until(lambda: deployment_spec(workloads, "a") != before, "the Deployment is changed")
    await live.until(lambda: deployment_spec(workloads, "a") == before, "the change is reverted")


def uids(workloads: Workloads, instance: str) -> dict[str, str]:
    """Return the uids of the owned objects by kind."""
    return {kind: manifest["metadata"]["uid"] for kind, manifest in workloads.owned_objects(instance).items()}


def deployment_spec(workloads: Workloads, instance: str) -> str:
    return json.dumps(workloads.deployment(instance)["spec"], sort_keys=True)
