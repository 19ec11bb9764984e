"""CRD of HopperTemplate on a real API server: validation, storage and kubectl columns."""

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
def default_namespace(cluster: Cluster) -> KubectlInstances:
    """Namespace for dry runs."""
    return KubectlInstances(cluster, "default")


INVALID_SPECS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no image": ({}, "spec.image", "Required value"),
    "an invalid image": ({"image": "web 1"}, "spec.image", "set one such as nginx:1.27"),
    "an empty image": ({"image": ""}, "spec.image", "at least 1 char"),
    "a user by name": ({"image": "web", "user": "www-data"}, "spec.user", "such as 1000 or 1000:1000"),
    "a relative directory": ({"image": "web", "workingDir": "srv"}, "spec.workingDir", "start it with '/'"),
    "an invalid quantity": (
        {"image": "web", "resources": {"limits": {"memory": "1 GB"}}},
        "spec.resources.limits.memory",
        "such as 500m or 256Mi",
    ),
    "an unsupported resource": (
        {"image": "web", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        "spec.resources.limits.nvidia.com/gpu",
        "unknown field",
    ),
    "an invalid dependency": (
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


@pytest.mark.parametrize("name", INVALID_SPECS)
def test_the_api_server_rejects_an_invalid_template(default_namespace: KubectlInstances, name: str) -> None:
    spec, field, fix = INVALID_SPECS[name]
    message = refusal(
        lambda: default_namespace.kubectl("apply", "--dry-run=server", "--filename=-", input=manifest(spec))
    )
    assert field in message
    assert fix in message


def test_every_field_is_stored_as_written(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest(FULL))
    stored = json.loads(instances.kubectl("get", KIND, "web", "--output=json"))["spec"]
    assert stored.pop("securityProfile") == "Restricted"
    for field, value in FULL.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            for stored_entry, entry in zip(stored[field], value, strict=True):
                assert entry.items() <= stored_entry.items()
        else:
            assert stored[field] == value or value.items() <= stored[field].items()


def test_kubectl_prints_the_columns(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest({"image": "web:1"}))
    ready = {"type": "Ready", "status": "False", "reason": "X", "message": "says why"}
    ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    patch = json.dumps({"status": {"users": 3, "usedBy": ["a", "b", "c"], "conditions": [ready]}})
    instances.kubectl("patch", "ht", "web", "--subresource=status", "--type=merge", f"--patch={patch}")
    header, row = instances.kubectl("get", "ht").splitlines()
    assert header.split() == ["NAME", "IMAGE", "USERS", "READY", "AGE"]
    assert row.split()[:-1] == ["web", "web:1", "3", "False"]
    header, row = instances.kubectl("get", "hoppertemplate", "--output=wide").splitlines()
    assert header.split()[5:] == ["MESSAGE"]
    assert row.split()[5:] == ["says", "why"]
    assert "hoppertemplate.hopper.dev/web" in instances.kubectl("get", "hopper", "--output=name")


def test_a_patch_of_the_status_does_not_change_the_spec(instances: KubectlInstances) -> None:
    instances.kubectl("apply", "--filename=-", input=manifest({"image": "web:1"}))
    patch = json.dumps({"spec": {"image": "web:2"}, "status": {"users": 1}})
    instances.kubectl("patch", "ht", "web", "--subresource=status", "--type=merge", f"--patch={patch}")
    stored = json.loads(instances.kubectl("get", KIND, "web", "--output=json"))
    assert (stored["spec"]["image"], stored["status"]["users"]) == ("web:1", 1)
