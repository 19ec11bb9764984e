"""Whose an object is, whatever somebody has done to what says so."""

from __future__ import annotations

import pytest

from hopper.api.resources import Manifest
from hopper.registry import OwnedObjectIndex


def child(version: int = 1, *, label: str | None = "a", owner: str | None = "a", uid: str = "1") -> Manifest:
    """Return a ConfigMap."""
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


def known(children: OwnedObjectIndex) -> list[str]:
    """Return the names of the instances that have something."""
    return [name for name in ("a", "b") if children.of("default", name)]


@pytest.fixture
def children() -> OwnedObjectIndex:
    """One object of one instance."""
    made = OwnedObjectIndex()
    assert made.put("ConfigMap", child()) == "a"
    return made


@pytest.mark.parametrize(
    "stripped",
    [
        child(2, owner=None),
        child(2, label=None),
        child(2, label=None, owner=None),
        child(2, label="b"),
        child(2, label="b", owner=None),
    ],
)
def test_stays_its_owners(children: OwnedObjectIndex, stripped: Manifest) -> None:
    assert children.put("ConfigMap", stripped) == "a"
    assert known(children) == ["a"]


def test_goes_back_to_the_owner_that_is_left(children: OwnedObjectIndex) -> None:
    """As when an instance is deleted that was about to take it over."""
    taken = child(2, label="a", owner="b")
    before = {"kind": "HopperInstance", "name": "a", "uid": "uid-a", "controller": False}
    taken["metadata"]["ownerReferences"].insert(0, before)
    assert children.put("ConfigMap", taken) == "b"
    left = child(3, owner=None)
    left["metadata"]["ownerReferences"] = [before]
    assert children.put("ConfigMap", left) == "a"
    assert known(children) == ["a"]


def test_another_of_the_same_name_may_be_anothers(children: OwnedObjectIndex) -> None:
    assert children.put("ConfigMap", child(2, label="b", owner=None, uid="2")) == "b"
    assert known(children) == ["b"]
    assert children.put("ConfigMap", child(3, label=None, owner=None, uid="3")) == "b"
    assert known(children) == []
    assert children.put("ConfigMap", child(4, label=None, owner=None, uid="3")) is None


def test_a_new_owner_takes_it_along(children: OwnedObjectIndex) -> None:
    assert children.put("ConfigMap", child(2, owner="b")) == "b"
    assert known(children) == ["b"]
    assert children.remove("ConfigMap", "default", "hopper-a", "1") == "b"
    assert known(children) == []


def test_of_pods_only_the_label_counts(children: OwnedObjectIndex) -> None:
    assert children.put("Pod", child(owner=None)) == "a"
    assert children.put("Pod", child(2, owner=None, label="b")) == "b"
    assert known(children) == ["a", "b"]
    assert children.put("Pod", child(3, owner=None, label=None)) == "b"
    assert known(children) == ["a"]


def test_news_that_come_late_take_nothing_out(children: OwnedObjectIndex) -> None:
    """The label by which it is watched was taken away in version 2, and is back since version 3."""
    children.put("ConfigMap", child(3))
    assert children.remove("ConfigMap", "default", "hopper-a", "1", "2") is None
    assert known(children) == ["a"]
    assert children.remove("ConfigMap", "default", "hopper-a", "1", "4") == "a"
    assert known(children) == []


def test_what_looks_the_same_concerns_nobody(children: OwnedObjectIndex) -> None:
    assert children.put("ConfigMap", child(2)) is None
    assert children.put("ConfigMap", child(1, label="b", owner="b")) is None
    assert known(children) == ["a"]
