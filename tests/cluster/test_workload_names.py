"""What instances own is theirs: two whose names lead to the same name do not meet, and what was changed comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hopper.controller.operator import Operator
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import STATELESS_SERVICE, Workloads

JSON_PATCH = "application/json-patch+json"
POD = "/spec/template/spec"


class TestNamesakes:
    async def test_each_has_its_own(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("web")
        for name in ("worker", "web-worker"):
            await live.create(name, "Orchestration", "web", templateRef={"name": "web"})
        await live.until_phase("Running", "web", "worker", "web-worker")
        names = {it: live.status(it)["workloadName"] for it in ("worker", "web-worker")}
        assert "hopper-web-worker" in names.values()
        for instance, name in names.items():
            owned = workloads.owned_objects(instance)
            assert owned.keys() == {"Deployment", "Service", "ConfigMap", "Secret"}
            assert {it["metadata"]["name"] for it in owned.values()} == {name}
        assert len(set(names.values())) == 2

    async def test_a_name_once_given_stays(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_template(**STATELESS_SERVICE, volumes=[{"target": "/data", "size": "1Mi"}])
        await live.create("web")
        await live.create("other")
        await live.create("worker", "Orchestration", "web", templateRef={"name": "web"})
        await live.until_phase("Running", "worker")
        before = {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("worker").items()}
        pods = workloads.pods("worker").keys()
        await live.edit("worker", parentRef={"name": "other"})
        part_of = "app.kubernetes.io/part-of"
        moved = lambda: workloads.deployment("worker")["metadata"]["labels"].get(part_of) == "other"  # noqa: E731
        await live.until(moved, "the labels tell of the new parent")
        assert {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("worker").items()} == before
        assert workloads.pods("worker").keys() == pods


IN_THE_WAY: dict[str, list[dict[str, Any]]] = {
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


@pytest.mark.parametrize("name", IN_THE_WAY)
async def test_what_would_be_refused_is_healed_too(
    live: LiveInstances, operator: Operator, workloads: Workloads, name: str
) -> None:
    """What somebody put there excludes what is rendered, so that an apply alone is refused."""
    await workloads.create_template(**STATELESS_SERVICE)
    await live.create("a", "Project", type="Singleton", templateRef={"name": "web"})
    await live.until_phase("Running", "a")
    before = content(workloads, "a")
    await workloads.edit("Deployment", "hopper-a", IN_THE_WAY[name], JSON_PATCH)
    await live.until(lambda: content(workloads, "a") != before, "the change has arrived")
    await live.until(lambda: content(workloads, "a") == before, "all is as it was")


def content(workloads: Workloads, instance: str) -> str:
    return json.dumps(workloads.deployment(instance)["spec"], sort_keys=True)
