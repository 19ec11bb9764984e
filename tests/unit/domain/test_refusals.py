"""What is still done about the objects of an instance when the API server refuses some of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.resources import Manifest
from hopper.domain.observed import Observed, Runtime
from hopper.domain.plan import ObjectChanges
from hopper.domain.planner import plan
from hopper.domain.service.render import Mode, render_objects
from hopper.domain.workload import Workload
from tests.unit.domain.sample_instances import observe
from tests.unit.domain.service.samples import FULL, blueprint

NAME = "hopper-shop-web-1"
CLAIM = f"{NAME}-web-data"
DRIFT = {"labels": {"app.kubernetes.io/name": "other"}}
ACTIVE = Workload(gone=False)


def world(changed: Manifest | None = None, *, phase: Phase = Phase.RUNNING, **spec: Any) -> Observed:
    """Observe an instance with one object of each kind, rendered before some fields of its template have changed."""
    before, after = blueprint(FULL), blueprint({**FULL, **(changed or {})})
    objects = copy.deepcopy(render_objects(before, Mode.UP).objects)
    owned = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    subject = replace(after.instance, spec=replace(after.instance.spec, scope=Scope.PROJECT, **spec))
    subject = replace(subject, status=replace(subject.status, phase=phase, observed_generation=1))
    made = replace(after, instance=subject)
    return observe(subject, workload=ACTIVE, runtime=Runtime(owned=owned, blueprint=made, current=changed is None))


def drifted(o: Observed, *, without: tuple[str, ...] = ()) -> Observed:
    """Have somebody change each object, and delete those of some kinds."""
    assert o.runtime
    owned = {
        key: {**one, "metadata": {**one["metadata"], **DRIFT}}
        for key, one in o.runtime.owned.items()
        if key[0] not in without
    }
    return replace(o, runtime=replace(o.runtime, owned=owned))


def refused(o: Observed, *kinds: str) -> ObjectChanges:
    keys = frozenset((kind, CLAIM if kind == "PersistentVolumeClaim" else NAME) for kind in kinds)
    return plan(replace(o, refusal="403: no", refused=keys)).objects


def applied(changes: ObjectChanges) -> list[str]:
    return [manifest["kind"] for manifest, _ in changes.apply]


ALL = ["Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "Ingress", "Deployment"]


@pytest.mark.parametrize("kind", ALL)
def test_drift_of_all_others_is_healed(kind: str) -> None:
    assert applied(refused(drifted(world()), kind)) == [it for it in ALL if it != kind]
    assert applied(refused(drifted(world()), *ALL)) == []


@pytest.mark.parametrize("kind", ALL)
def test_of_a_change_nothing_else_is_carried_out(kind: str) -> None:
    assert refused(world({"image": "web:2", "ports": [{"containerPort": 81}], "domains": []}), kind) == ObjectChanges()


def test_but_what_is_missing_is_made_again() -> None:
    changed = drifted(world({"image": "web:2"}), without=("Service", "Secret"))
    assert applied(refused(changed, "ConfigMap")) == ["Secret", "Service"]


def test_and_it_can_be_stopped_and_paused() -> None:
    stopping = world({"image": "web:2"}, phase=Phase.STOPPING, desired_state=DesiredState.STOPPED)
    ((live, change),) = refused(stopping, "Deployment").patch
    assert (live["kind"], change) == ("Deployment", {"spec": {"replicas": 0}})
    pausing = world({"image": "web:2"}, desired_state=DesiredState.PAUSED)
    ((live, _),) = refused(pausing, "ConfigMap").patch
    assert live["kind"] == "Service"


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "PersistentVolumeClaim"])
def test_no_pods_without_what_they_need(kind: str) -> None:
    assert "Deployment" not in applied(refused(drifted(world(), without=("Deployment",)), kind))


@pytest.mark.parametrize("kind", ["Service", "Ingress"])
def test_pods_come_back_without_what_they_do_not_need(kind: str) -> None:
    assert "Deployment" in applied(refused(drifted(world(), without=("Deployment",)), kind))


def test_nothing_is_started() -> None:
    o = world(phase=Phase.CREATED)
    assert o.runtime
    nothing = replace(o, runtime=replace(o.runtime, owned={}), workload=Workload())
    assert applied(plan(nothing).objects) == ALL
    assert refused(nothing, "Ingress") == ObjectChanges()


def test_what_is_archived_loses_the_rest() -> None:
    o = world(phase=Phase.STOPPED, desired_state=DesiredState.ARCHIVED)
    o = drifted(replace(o, workload=Workload(available=False)))
    assert [one["kind"] for one in refused(o, "Service").delete] == [
        it for it in ALL if it not in ("PersistentVolumeClaim", "Service")
    ]


def test_a_claim_that_is_larger_than_asked_for_keeps_its_size() -> None:
    """None can shrink: whatever else there is to change about it would be refused as well, and the rollout with it."""
    o = drifted(world())
    assert o.runtime
    larger = copy.deepcopy(o.runtime.owned["PersistentVolumeClaim", CLAIM])
    larger["spec"]["resources"]["requests"]["storage"] = "5Gi"
    owned = {**o.runtime.owned, ("PersistentVolumeClaim", CLAIM): larger}
    planned = plan(replace(o, runtime=replace(o.runtime, owned=owned)))
    (claim,) = (manifest for manifest, _ in planned.objects.apply if manifest["kind"] == "PersistentVolumeClaim")
    assert claim["spec"] == larger["spec"]
    assert claim["metadata"]["labels"] == blueprint(FULL).names.labels
    assert planned.status
    warning = planned.status.condition(ConditionType.WARNING)
    assert warning
    told = (
        f'PersistentVolumeClaim "{CLAIM}" keeps 5Gi, because claims cannot shrink to 0.5Gi; '
        "set the size of the volume to 5Gi"
    )
    assert told in warning.message
