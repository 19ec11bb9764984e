"""Follow-ups: what is left to do after an owned object was applied, or its apply was refused."""

from __future__ import annotations

import copy

import pytest

from hopper.api.names import ANNOTATION_REVISION, FIELD_MANAGER
from hopper.api.resources import Manifest
from hopper.domain.followup import Refusal, can_apply_the_rest, follow_up, unblocking_patch, with_refusals
from tests.unit.domain.sample_instances import instance, observe
from tests.unit.domain.service.samples import FULL, blueprint, rendered

SERVICE = rendered(blueprint(FULL))["Service"]
OURS = {"manager": FIELD_MANAGER, "operation": "Apply"}
THEIRS = {"manager": "kubectl-edit", "operation": "Update"}
REMOVE_SELECTOR = [
    {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    {"op": "remove", "path": "/spec/selector/extra"},
]


def live(*managers: Manifest, foreign_field: bool = False, revision: str | None = None) -> Manifest:
    """Return the Service as the API server holds it."""
    existing = copy.deepcopy(SERVICE)
    existing["metadata"] |= {"resourceVersion": "7", "managedFields": list(managers)}
    if foreign_field:
        existing["spec"]["selector"]["extra"] = "yes"
    if revision is not None:
        existing["metadata"].setdefault("annotations", {})[ANNOTATION_REVISION] = revision
    return existing


@pytest.mark.parametrize(
    ("applied", "was_known", "removals", "was_adopted"),
    [
        pytest.param(live(OURS), False, [], False, id="created"),
        pytest.param(live(OURS), True, [], False, id="updated"),
        pytest.param(live(OURS, THEIRS), True, [], False, id="known, with other managers"),
        pytest.param(live(OURS, THEIRS), False, [], True, id="adopted"),
        pytest.param(live(OURS, THEIRS, foreign_field=True), True, REMOVE_SELECTOR, False, id="with a foreign field"),
        pytest.param(live(THEIRS, foreign_field=True), False, REMOVE_SELECTOR, True, id="adopted with a foreign field"),
    ],
)
def test_after_an_apply_foreign_fields_are_removed_and_adoptions_noticed(
    applied: Manifest, was_known: bool, removals: list[Manifest], was_adopted: bool
) -> None:
    rest = follow_up(SERVICE, applied, was_known=was_known)
    assert (rest.foreign_field_patch, rest.was_adopted) == (removals, was_adopted)


@pytest.mark.parametrize(
    ("existing", "removals"),
    [
        pytest.param(None, [], id="no such object"),
        pytest.param(live(), [], id="no foreign field"),
        pytest.param(live(foreign_field=True), REMOVE_SELECTOR, id="a foreign field"),
        pytest.param(live(foreign_field=True, revision="another"), [], id="a foreign field, but a new revision"),
    ],
)
def test_after_a_refusal_foreign_fields_are_removed_unless_a_change_is_rolled_out(
    existing: Manifest | None, removals: list[Manifest]
) -> None:
    assert unblocking_patch(SERVICE, existing) == removals


INSTANCE = Refusal("403: metadata")
SECRET = Refusal("403: no secrets", ("Secret", "hopper-web"))
CONFIG = Refusal("422: too long", ("ConfigMap", "hopper-web"))


@pytest.mark.parametrize(
    ("refusals", "continues"),
    [
        pytest.param([INSTANCE], False, id="the instance itself"),
        pytest.param([SECRET], True, id="an object"),
        pytest.param([SECRET, CONFIG], True, id="another object"),
        pytest.param([SECRET, CONFIG, SECRET], False, id="an object again"),
        pytest.param([SECRET, INSTANCE], False, id="the instance after an object"),
    ],
)
def test_the_rest_is_applied_as_long_as_new_objects_are_refused(refusals: list[Refusal], continues: bool) -> None:
    assert can_apply_the_rest(refusals) is continues


def test_an_observation_holds_all_refusals() -> None:
    observed = with_refusals(observe(instance("web")), [SECRET, CONFIG, INSTANCE])
    assert observed.refusal == "403: no secrets; 422: too long; 403: metadata"
    assert observed.refused == {SECRET.key, CONFIG.key}
