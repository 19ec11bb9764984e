"""The definition of HopperTemplate on a real API server: what it refuses, what it stores, what kubectl shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hopper.local import Cluster
from tests.cluster.support.kubectl_instances import KubectlInstances, refusal
from tests.unit.domain.service.samples import FULL

pytestmark = pytest.mark.usefixtures("crds")
KIND = "hoppertemplates.hopper.dev"


def manifest(spec: dict[str, Any], name: str = "web") -> str:
    return json.dumps(
        {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture(scope="module")
def anywhere(cluster: Cluster) -> KubectlInstances:
    """For what writes nothing."""
    return KubectlInstances(cluster, "default")


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no image": ({}, "spec.image", "Required value"),
    "an image that is none": ({"image": "web 1"}, "spec.image", "set one such as nginx:1.27"),
    "an empty image": ({"image": ""}, "spec.image", "at least 1 char"),
    "a user by name": ({"image": "web", "user": "www-data"}, "spec.user", "such as 1000 or 1000:1000"),
    "a relative directory": ({"image": "web", "workingDir": "srv"}, "spec.workingDir", "start it with '/'"),
    "a quantity that is none": (
        {"image": "web", "resources": {"limits": {"memory": "1 GB"}}},
        "spec.resources.limits.memory",
        "such as 500m or 256Mi",
    ),
    "another resource": (
        {"image": "web", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        "spec.resources.limits.nvidia.com/gpu",
        "unknown field",
    ),
    "a dependency that is no name": (
        {"image": "web", "dependsOn": ["a b"]},
        "spec.dependsOn[0]",
        "use lower-case letters",
    ),
    "a dependency twice": ({"image": "web", "dependsOn": ["a", "a"]}, "spec.dependsOn[1]", "Duplicate value"),
    "an unknown profile": (
        {"image": "web", "securityProfile": "Privileged"},
        "spec.securityProfile",
        'supported values: "Restricted", "Baseline"',
    ),
    "an unknown field": ({"image": "web", "privileged": True}, "spec.privileged", "unknown field"),
}


@pytest.mark.parametrize("name", BAD)
def test_is_refused(anywhere: KubectlInstances, name: str) -> None:
    spec, field, fix = BAD[name]
    message = refusal(lambda: anywhere.kubectl("apply", "--dry-run=server", "--filename=-", input=manifest(spec)))
    assert field in message
    assert fix in message


def test_every_field_is_stored_as_written(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest(FULL))
    stored = json.loads(instances.kubectl("get", KIND, "web", "--output=json"))["spec"]
    assert stored.pop("securityProfile") == "Restricted"
    for kind, entries in FULL.items():
        if isinstance(entries, list) and isinstance(entries[0], dict):
            for found, written in zip(stored[kind], entries, strict=True):
                assert written.items() <= found.items()
        else:
            assert stored[kind] == entries or entries.items() <= stored[kind].items()


def test_columns(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest({"image": "web:1"}))
    ready = {"type": "Ready", "status": "False", "reason": "X", "message": "says why"}
    ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    patch = json.dumps({"status": {"users": 3, "usedBy": ["a", "b", "c"], "conditions": [ready]}})
    instances.kubectl("patch", "ht", "web", "--subresource=status", "--type=merge", f"--patch={patch}")
    head, row = instances.kubectl("get", "ht").splitlines()
    assert head.split() == ["NAME", "IMAGE", "USERS", "READY", "AGE"]
    assert row.split()[:-1] == ["web", "web:1", "3", "False"]
    head, row = instances.kubectl("get", "hoppertemplate", "--output=wide").splitlines()
    assert head.split()[5:] == ["MESSAGE"]
    assert row.split()[5:] == ["says", "why"]
    assert "hoppertemplate.hopper.dev/web" in instances.kubectl("get", "hopper", "--output=name")


def test_status_and_spec_are_written_apart(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest({"image": "web:1"}))
    patch = json.dumps({"spec": {"image": "web:2"}, "status": {"users": 1}})
    instances.kubectl("patch", "ht", "web", "--subresource=status", "--type=merge", f"--patch={patch}")
    found = json.loads(instances.kubectl("get", KIND, "web", "--output=json"))
    assert (found["spec"]["image"], found["status"]["users"]) == ("web:1", 1)
