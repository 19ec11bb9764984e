"""Deletion protection: which deletions the API server rejects or delays, and how to lift the protection."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hopper.local.errors import KubectlError
from tests.cluster.support.kubectl_instances import KIND, KubectlInstances, refusal, until

pytestmark = pytest.mark.usefixtures("crds")


@pytest.fixture
def protected(instances: KubectlInstances) -> Iterator[str]:
    """Name of a protected instance; the admission policy is in force."""
    name = "kept"
    instances.apply(name, {"scope": "Project", "deletionProtection": True})
    until(lambda: not can_delete(instances, name), "the admission policy rejects the deletion")
    yield name
    if name in instances.names():
        instances.patch(name, {"deletionProtection": False})


def can_delete(instances: KubectlInstances, name: str) -> bool:
    try:
        instances.kubectl("delete", KIND, name, "--dry-run=server")
    except KubectlError:
        return False
    return True


def test_rejected_deletion_says_how_to_lift_the_protection(instances: KubectlInstances, protected: str) -> None:
    message = refusal(instances.kubectl, "delete", KIND, protected)
    assert "Forbidden" in message
    assert f"spec.deletionProtection of {protected} is true" in message
    assert f"kubectl patch hopperinstance {protected} --namespace {instances.namespace} --type merge" in message
    instances.patch(protected, {"deletionProtection": False})
    instances.kubectl("delete", KIND, protected)
    assert instances.names() == set()


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"desiredState": "Terminated"}, "spec.desiredState"),
        ({"type": "Ephemeral"}, "spec.type"),
        ({"type": "Ephemeral", "desiredState": "Terminated"}, "spec.type"),
        ({"type": "Ephemeral", "replicas": 2, "deletionProtection": True}, "spec.type"),
    ],
)
def test_no_update_destroys_the_data_of_a_protected_instance(
    instances: KubectlInstances, protected: str, patch: dict[str, object], field: str
) -> None:
    with pytest.raises(KubectlError) as refused:
        instances.patch(protected, patch)
    assert field in str(refused.value)
    assert "set deletionProtection to false first" in str(refused.value)
    instances.patch(protected, {"desiredState": "Stopped", "displayName": "kept", "type": "Singleton"})
    instances.patch(protected, {**patch, "deletionProtection": False, "replicas": 1})


def test_protected_event_keeps_its_volumes_type(instances: KubectlInstances, protected: str) -> None:
    """Without a type, an Event is Ephemeral, so removing the type is the same change."""
    instances.apply("party", {"scope": "Event", "type": "Persistent", "deletionProtection": True})
    with pytest.raises(KubectlError, match=r"spec\.type"):
        instances.patch("party", {"type": None})
    instances.patch("party", {"deletionProtection": False, "type": None})
    instances.patch("party", {"deletionProtection": True})
    instances.patch("party", {"displayName": "was Ephemeral before it was protected"})
    instances.patch("party", {"deletionProtection": False})


def test_unprotected_instances_are_deleted(instances: KubectlInstances, protected: str) -> None:
    instances.apply("other", {"scope": "Project"})
    assert protected in refusal(instances.kubectl, "delete", KIND, "--all")
    assert instances.names() == {protected}


def test_garbage_collector_waits_for_protected_instance(instances: KubectlInstances, protected: str) -> None:
    instances.apply("global", {"scope": "Global"})
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "global"}
    owner["uid"] = instances.get("global")["metadata"]["uid"]
    for name in (protected, "other"):
        patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
        instances.apply(name, {"scope": "Project", "deletionProtection": name == protected})
        instances.kubectl("patch", KIND, name, "--type=merge", f"--patch={patch}")
    instances.kubectl("delete", KIND, "global")
    # The garbage collector discovers new kinds only every 30 s, and backs off after an error.
    until(lambda: instances.names() == {protected}, "only the protected instance is left", seconds=120)
    instances.patch(protected, {"deletionProtection": False})
    until(lambda: instances.names() == set(), "the protected instance is collected", seconds=120)


def test_protection_does_not_stop_a_deletion_in_progress(instances: KubectlInstances, protected: str) -> None:
    finalizers = {"metadata": {"finalizers": ["example.com/hold"]}, "spec": {"deletionProtection": False}}
    instances.kubectl("patch", KIND, protected, "--type=merge", f"--patch={json.dumps(finalizers)}")
    instances.kubectl("delete", KIND, protected, "--wait=false")
    instances.patch(protected, {"deletionProtection": True})
    instances.kubectl("delete", KIND, protected, "--wait=false")
    instances.kubectl("patch", KIND, protected, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    until(lambda: instances.names() == set(), "the instance is deleted")


def test_namespace_deletion_waits_and_names_the_protected_instance(instances: KubectlInstances, protected: str) -> None:
    instances.apply("other", {"scope": "Project"})
    instances.kubectl("delete", "namespace", instances.namespace, "--wait=false")

    def names_the_instance() -> bool:
        status = instances.kubectl("get", "namespace", instances.namespace, "--output=jsonpath={.status}")
        return f"spec.deletionProtection of {protected} is true" in status

    until(names_the_instance, "the namespace status names the protected instance")
    assert protected in instances.names()
    instances.patch(protected, {"deletionProtection": False})
    instances.kubectl("wait", f"namespace/{instances.namespace}", "--for=delete", "--timeout=60s")
