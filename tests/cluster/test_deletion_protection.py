"""Deletion protection: who is refused, who waits, and how it is lifted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hopper.local.errors import KubectlError
from tests.cluster.support.kubectl_instances import KIND, KubectlInstances, refusal, until

pytestmark = pytest.mark.usefixtures("crds")


@pytest.fixture
def protected(instances: KubectlInstances) -> Iterator[str]:
    """The name of an instance whose protection is in force."""
    name = "kept"
    instances.apply(name, {"scope": "Project", "deletionProtection": True})
    until(lambda: not may_delete(instances, name), "the policy is in force")
    yield name
    if name in instances.names():
        instances.patch(name, {"deletionProtection": False})


def may_delete(instances: KubectlInstances, name: str) -> bool:
    try:
        instances.kubectl("delete", KIND, name, "--dry-run=server")
    except KubectlError:
        return False
    return True


def test_refuses_and_says_how_to_lift_it(instances: KubectlInstances, protected: str) -> None:
    message = refusal(instances.kubectl, "delete", KIND, protected)
    assert "Forbidden" in message
    assert f"spec.deletionProtection of {protected} is true" in message
    assert f"kubectl patch hopperinstance {protected} --namespace {instances.namespace} --type merge" in message
    instances.patch(protected, {"deletionProtection": False})
    instances.kubectl("delete", KIND, protected)
    assert instances.names() == set()


def test_others_are_deleted(instances: KubectlInstances, protected: str) -> None:
    instances.apply("other", {"scope": "Project"})
    assert protected in refusal(instances.kubectl, "delete", KIND, "--all")
    assert instances.names() == {protected}


def test_garbage_collection_waits_for_it(instances: KubectlInstances, protected: str) -> None:
    instances.apply("global", {"scope": "Global"})
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "global"}
    owner["uid"] = instances.get("global")["metadata"]["uid"]
    for name in (protected, "other"):
        patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
        instances.apply(name, {"scope": "Project", "deletionProtection": name == protected})
        instances.kubectl("patch", KIND, name, "--type=merge", f"--patch={patch}")
    instances.kubectl("delete", KIND, "global")
    # Garbage collection looks for new kinds only every 30 s, and backs off after a refusal.
    until(lambda: instances.names() == {protected}, "all but the protected instance are collected", seconds=120)
    instances.patch(protected, {"deletionProtection": False})
    until(lambda: instances.names() == set(), "the rest is collected", seconds=120)


def test_a_deletion_that_has_begun_is_not_held_up(instances: KubectlInstances, protected: str) -> None:
    finalizers = {"metadata": {"finalizers": ["example.com/hold"]}, "spec": {"deletionProtection": False}}
    instances.kubectl("patch", KIND, protected, "--type=merge", f"--patch={json.dumps(finalizers)}")
    instances.kubectl("delete", KIND, protected, "--wait=false")
    instances.patch(protected, {"deletionProtection": True})
    instances.kubectl("delete", KIND, protected, "--wait=false")
    instances.kubectl("patch", KIND, protected, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    until(lambda: instances.names() == set(), "the instance is gone")


def test_a_namespace_waits_and_says_why(instances: KubectlInstances, protected: str) -> None:
    instances.apply("other", {"scope": "Project"})
    instances.kubectl("delete", "namespace", instances.namespace, "--wait=false")

    def told() -> bool:
        conditions = instances.kubectl("get", "namespace", instances.namespace, "--output=jsonpath={.status}")
        return f"spec.deletionProtection of {protected} is true" in conditions

    until(told, "the namespace names the protected instance")
    assert protected in instances.names()
    instances.patch(protected, {"deletionProtection": False})
    instances.kubectl("wait", f"namespace/{instances.namespace}", "--for=delete", "--timeout=60s")
