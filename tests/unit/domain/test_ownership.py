"""Ownership: what an instance does about an object that has the name of one of its own."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.names import API_VERSION, FIELD_MANAGER, INSTANCE_KIND
from hopper.api.resources import Manifest
from hopper.domain.ownership import Adoption, belongs_to, decide_adoption, has_other_managers
from tests.unit.domain.sample_instances import instance

OWNER = {
    "apiVersion": API_VERSION,
    "kind": INSTANCE_KIND,
    "name": "web",
    "uid": "uid-web",
    "controller": True,
    "blockOwnerDeletion": True,
}
PLAIN_OWNER = {**OWNER, "controller": False}
EARLIER_WEB = {**OWNER, "uid": "uid-earlier"}
OTHER_INSTANCE = {**OWNER, "name": "mail", "uid": "uid-mail"}
OTHER_KIND = {**OWNER, "apiVersion": "apps/v1", "kind": "Deployment", "uid": "uid-deployment"}
APPLIED = {"manager": FIELD_MANAGER, "operation": "Apply"}
UPDATED = {"manager": FIELD_MANAGER, "operation": "Update"}
EDITED = {"manager": "kubectl-edit", "operation": "Update"}


def live(*owners: Manifest, managers: tuple[Manifest, ...] = (), **metadata: Any) -> Manifest:
    references = {"ownerReferences": list(owners)} if owners else {}
    entries = {"managedFields": list(managers)} if managers else {}
    return {"kind": "Service", "metadata": {"name": "hopper-web", **references, **entries, **metadata}}


DELETED = {"deletionTimestamp": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("existing", "adoption"),
    [
        pytest.param(live(OWNER), Adoption.ADOPT, id="controlled by the instance"),
        pytest.param(live({**OTHER_KIND, "controller": False}, OWNER), Adoption.ADOPT, id="with another plain owner"),
        pytest.param(live(managers=(EDITED, APPLIED)), Adoption.ADOPT, id="stripped of its owner"),
        pytest.param(live({**OTHER_KIND, "controller": False}, managers=(APPLIED,)), Adoption.ADOPT, id="uncontrolled"),
        pytest.param(live(OWNER, **DELETED), Adoption.WAIT, id="being deleted"),
        pytest.param(live(**DELETED), Adoption.WAIT, id="somebody else's, being deleted"),
        pytest.param(live(EARLIER_WEB), Adoption.WAIT, id="of a deleted instance of the same name"),
        pytest.param(live(PLAIN_OWNER, OTHER_INSTANCE), Adoption.WAIT, id="handed over to a successor"),
        pytest.param(live(PLAIN_OWNER), Adoption.WAIT, id="handed over to a successor that is gone"),
        pytest.param(live(PLAIN_OWNER, managers=(APPLIED,)), Adoption.WAIT, id="handed over, applied by the operator"),
        pytest.param(live(), Adoption.REFUSE, id="without an owner"),
        pytest.param(live(managers=(EDITED,)), Adoption.REFUSE, id="without an owner, written by somebody else"),
        pytest.param(live(managers=(UPDATED,)), Adoption.REFUSE, id="patched but never applied by the operator"),
        pytest.param(live(OTHER_INSTANCE), Adoption.REFUSE, id="of another instance"),
        pytest.param(live(OTHER_INSTANCE, managers=(APPLIED,)), Adoption.REFUSE, id="of another instance, applied"),
        pytest.param(live(OTHER_KIND), Adoption.REFUSE, id="of another kind of owner with the same name"),
    ],
)
def test_an_existing_object_is_adopted_waited_for_or_refused(existing: Manifest, adoption: Adoption) -> None:
    decision = decide_adoption(existing, OWNER)
    assert decision.adoption is adoption
    assert bool(decision.message) is (adoption is not Adoption.ADOPT)


def test_a_decision_names_the_object_and_what_to_do() -> None:
    waits = decide_adoption(live(**DELETED), OWNER).message
    assert waits == 'Service "hopper-web" still exists and belongs to an earlier owner: wait until it is deleted'
    refused = decide_adoption(live(), OWNER).message
    assert refused == 'Service "hopper-web" already exists and does not belong to this instance: rename or delete it'


def claim(*owners: Manifest, name: str = "data") -> Manifest:
    return {**live(*owners, name=name), "kind": "PersistentVolumeClaim"}


@pytest.mark.parametrize(
    ("existing", "belongs"),
    [
        pytest.param(live(OWNER), True, id="controlled by the instance"),
        pytest.param(live(OTHER_INSTANCE), False, id="controlled by another instance"),
        pytest.param(live(PLAIN_OWNER, OTHER_INSTANCE), False, id="handed over to another instance"),
        pytest.param(live(), True, id="stripped, under its own name"),
        pytest.param(live(name="hopper-web-copy"), False, id="a copy under another name"),
        pytest.param(claim(), True, id="a stripped claim, whatever its name"),
        pytest.param(claim(OTHER_INSTANCE), False, id="a claim of another instance"),
    ],
)
def test_the_controller_decides_whom_an_object_belongs_to(existing: Manifest, belongs: bool) -> None:
    assert belongs_to(existing, instance("web"), "hopper-web") is belongs


@pytest.mark.parametrize(
    ("managers", "other"),
    [((), False), ((APPLIED,), False), ((APPLIED, UPDATED), False), ((APPLIED, EDITED), True), ((EDITED,), True)],
)
def test_other_managers_are_those_that_are_not_the_operator(managers: tuple[Manifest, ...], other: bool) -> None:
    assert has_other_managers(live(managers=managers)) is other
