"""Owned objects in the plan while the API server rejects some of them."""

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


def observe_full_service(changed: Manifest | None = None, *, phase: Phase = Phase.RUNNING, **spec: Any) -> Observed:
    """Observe an instance with one object of each kind, rendered before the `changed` fields of its template."""
    before, after = blueprint(FULL), blueprint({**FULL, **(changed or {})})
    objects = copy.deepcopy(render_objects(before, Mode.UP).objects)
    owned = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}
    subject = replace(after.instance, spec=replace(after.instance.spec, scope=Scope.PROJECT, **spec))
    subject = replace(subject, status=replace(subject.status, phase=phase, observed_generation=1))
    made = replace(after, instance=subject)
    return observe(subject, workload=ACTIVE, runtime=Runtime(owned=owned, blueprint=made, current=changed is None))


def drifted(o: Observed, *, without: tuple[str, ...] = ()) -> Observed:
    """Return the observation after a user edited each object and deleted those of some kinds."""
    assert o.runtime
    owned = {
        key: {**manifest, "metadata": {**manifest["metadata"], **DRIFT}}
        for key, manifest in o.runtime.owned.items()
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
def test_drift_of_all_other_objects_is_repaired(kind: str) -> None:
    assert applied(refused(drifted(observe_full_service()), kind)) == [other for other in ALL if other != kind]
    assert applied(refused(drifted(observe_full_service()), *ALL)) == []


@pytest.mark.parametrize("kind", ALL)
def test_a_rollout_with_a_rejected_object_does_not_proceed(kind: str) -> None:
    assert (
        refused(observe_full_service({"image": "web:2", "ports": [{"containerPort": 81}], "domains": []}), kind)
        == ObjectChanges()
    )


def test_missing_objects_are_created_during_a_rejected_rollout() -> None:
    changed = drifted(observe_full_service({"image": "web:2"}), without=("Service", "Secret"))
    assert applied(refused(changed, "ConfigMap")) == ["Secret", "Service"]


def test_an_instance_can_stop_and_pause_during_a_rejected_rollout() -> None:
    stopping = observe_full_service({"image": "web:2"}, phase=Phase.STOPPING, desired_state=DesiredState.STOPPED)
    ((live, change),) = refused(stopping, "Deployment").patch
    assert (live["kind"], change) == ("Deployment", {"spec": {"replicas": 0}})
    pausing = observe_full_service({"image": "web:2"}, desired_state=DesiredState.PAUSED)
    ((live, _),) = refused(pausing, "ConfigMap").patch
    assert live["kind"] == "Service"


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "PersistentVolumeClaim"])
def test_the_deployment_is_not_created_without_the_objects_that_pods_need(kind: str) -> None:
    assert "Deployment" not in applied(refused(drifted(observe_full_service(), without=("Deployment",)), kind))


@pytest.mark.parametrize("kind", ["Service", "Ingress"])
def test_the_deployment_is_created_without_objects_that_pods_do_not_need(kind: str) -> None:
    assert "Deployment" in applied(refused(drifted(observe_full_service(), without=("Deployment",)), kind))


def test_an_instance_with_a_rejected_object_does_not_start() -> None:
    o = observe_full_service(phase=Phase.CREATED)
    assert o.runtime
    nothing = replace(o, runtime=replace(o.runtime, owned={}), workload=Workload())
    assert applied(plan(nothing).objects) == ALL
    assert refused(nothing, "Ingress") == ObjectChanges()


def test_archiving_deletes_all_objects_but_the_rejected_one() -> None:
    o = observe_full_service(phase=Phase.STOPPED, desired_state=DesiredState.ARCHIVED)
    o = drifted(replace(o, workload=Workload(available=False)))
    assert [manifest["kind"] for manifest in refused(o, "Service").delete] == [
        kind for kind in ALL if kind not in ("PersistentVolumeClaim", "Service")
    ]


def test_an_oversized_claim_keeps_its_size_and_is_reported() -> None:
    """A claim cannot shrink. A smaller size would make the API server reject all other changes to the claim."""
    o = drifted(observe_full_service())
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
    message = (
        f'PersistentVolumeClaim "{CLAIM}" keeps 5Gi, because claims cannot shrink to 0.5Gi; '
        "set the size of the volume to 5Gi"
    )
    assert message in warning.message
