"""Owned objects: which instance an object belongs to, also after a client has changed its label or owners."""

from __future__ import annotations

import pytest

from hopper.api.resources import Manifest
from hopper.registry import OwnedObjectIndex


def owned_object(version: int = 1, *, label: str | None = "a", owner: str | None = "a", uid: str = "1") -> Manifest:
    """Return an object with this instance label and this owner."""
    controller = {"kind": "HopperInstance", "name": owner, "uid": f"uid-{owner}", "controller": True}
    return {
        "metadata": {
            "namespace": "default",
            "name": "hopper-a",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"hopper.dev/instance": label} if label else {},
            "ownerReferences": [controller] if owner else [],
        }
    }


def owners(index: OwnedObjectIndex) -> list[str]:
    """Return the instances that have objects in the index."""
    return [name for name in ("a", "b") if index.of("default", name)]


@pytest.fixture
def index() -> OwnedObjectIndex:
    """Return an index with an object of instance a."""
    index = OwnedObjectIndex()
    assert index.put("ConfigMap", owned_object()) == "a"
    return index


@pytest.mark.parametrize(
    "changed",
    [
        owned_object(2, owner=None),
        owned_object(2, label=None),
        owned_object(2, label=None, owner=None),
        owned_object(2, label="b"),
        owned_object(2, label="b", owner=None),
    ],
)
def test_an_object_without_owner_or_label_keeps_its_instance(index: OwnedObjectIndex, changed: Manifest) -> None:
    assert index.put("ConfigMap", changed) == "a"
    assert owners(index) == ["a"]


def test_the_remaining_owner_gets_the_object_back(index: OwnedObjectIndex) -> None:
    """For example, after a successor has been deleted during its takeover."""
    taken_over = owned_object(2, label="a", owner="b")
    predecessor = {"kind": "HopperInstance", "name": "a", "uid": "uid-a", "controller": False}
    taken_over["metadata"]["ownerReferences"].insert(0, predecessor)
    assert index.put("ConfigMap", taken_over) == "b"
    given_back = owned_object(3, owner=None)
    given_back["metadata"]["ownerReferences"] = [predecessor]
    assert index.put("ConfigMap", given_back) == "a"
    assert owners(index) == ["a"]


def test_a_recreated_object_may_belong_to_another_instance(index: OwnedObjectIndex) -> None:
    assert index.put("ConfigMap", owned_object(2, label="b", owner=None, uid="2")) == "b"
    assert owners(index) == ["b"]
    assert index.put("ConfigMap", owned_object(3, label=None, owner=None, uid="3")) == "b"
    assert owners(index) == []
    assert index.put("ConfigMap", owned_object(4, label=None, owner=None, uid="3")) is None


def test_a_new_owner_takes_the_object_over(index: OwnedObjectIndex) -> None:
    assert index.put("ConfigMap", owned_object(2, owner="b")) == "b"
    assert owners(index) == ["b"]
    assert index.remove("ConfigMap", "default", "hopper-a", "1") == "b"
    assert owners(index) == []


def test_a_pod_belongs_to_the_instance_of_its_label(index: OwnedObjectIndex) -> None:
    assert index.put("Pod", owned_object(owner=None)) == "a"
    assert index.put("Pod", owned_object(2, owner=None, label="b")) == "b"
    assert owners(index) == ["a", "b"]
    assert index.put("Pod", owned_object(3, owner=None, label=None)) == "b"
    assert owners(index) == ["a"]


def test_an_old_deletion_event_removes_nothing(index: OwnedObjectIndex) -> None:
    """A client removed the label of the selector in version 2, and the operator restored it in version 3."""
    index.put("ConfigMap", owned_object(3))
    assert index.remove("ConfigMap", "default", "hopper-a", "1", "2") is None
    assert owners(index) == ["a"]
    assert index.remove("ConfigMap", "default", "hopper-a", "1", "4") == "a"
    assert owners(index) == []


def test_an_equal_or_older_version_affects_no_instance(index: OwnedObjectIndex) -> None:
    assert index.put("ConfigMap", owned_object(2)) is None
    assert index.put("ConfigMap", owned_object(1, label="b", owner="b")) is None
    assert owners(index) == ["a"]
