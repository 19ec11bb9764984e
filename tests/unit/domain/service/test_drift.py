"""Drift between rendered and live objects. tests/cluster/test_render_apply.py uses a real API server."""

from __future__ import annotations

import copy
import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.drift import drifted_paths, foreign_field_patch, manifest_to_apply
from hopper.domain.service.render import Manifest, Mode, render_objects
from tests.unit.domain.service.samples import FULL, blueprint, rendered


def live(manifest: Manifest) -> Manifest:
    """Return the live object: the manifest with the fields that the API server adds."""
    result = copy.deepcopy(manifest)
    result["metadata"] |= {"uid": "x", "resourceVersion": "7", "generation": 1, "managedFields": []}
    result["status"] = {"replicas": 1}
    if result["kind"] == "Deployment":
        result["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "1"
        pod = result["spec"]["template"]["spec"]
        pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
        pod["containers"][0] |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            pod["containers"][0].get(probe, {})["successThreshold"] = 1
    if result["kind"] == "Service":
        result["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    return result


OBJECTS = rendered(blueprint(FULL))


@pytest.mark.parametrize("kind", OBJECTS)
def test_defaults_are_not_drift(kind: str) -> None:
    assert drifted_paths(OBJECTS[kind], live(OBJECTS[kind])) == ()
    assert foreign_field_patch(OBJECTS[kind], live(OBJECTS[kind])) == []


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in _leaves(child, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for index, child in enumerate(value) for leaf in _leaves(child, (*path, index))]
    return [path]


LEAVES = [
    (kind, path)
    for kind, manifest in OBJECTS.items()
    for path in _leaves(manifest)
    if path[0] not in ("apiVersion", "kind") and path[:2] not in (("metadata", "name"), ("metadata", "namespace"))
]


@given(st.sampled_from(LEAVES), st.sampled_from(["other", None]))
def test_every_changed_or_removed_value_is_drift(leaf: tuple[str, tuple[Any, ...]], value: str | None) -> None:
    kind, path = leaf
    changed = live(OBJECTS[kind])
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    if value is not None or isinstance(place, list):
        place[path[-1]] = value
    else:
        del place[path[-1]]
    found = drifted_paths(OBJECTS[kind], changed)
    assert found
    assert all(where.startswith(path[0]) for where in found)


class TestDriftedPaths:
    def test_name_the_changed_fields(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["replicas"] = 9
        container = changed["spec"]["template"]["spec"]["containers"][0]
        container["command"][0] = "sh"
        container["env"][0] = {"name": "EMPTY", "value": "s3cret-canary"}
        assert drifted_paths(OBJECTS["Deployment"], changed) == (
            "spec.replicas",
            "spec.template.spec.containers[service].command[0]",
            "spec.template.spec.containers[service].env[EMPTY].value",
        )

    def test_ignore_the_order_of_keyed_lists(self) -> None:
        changed = live(OBJECTS["Deployment"])
        pod = changed["spec"]["template"]["spec"]
        pod["volumes"].reverse()
        pod["containers"][0]["volumeMounts"].reverse()
        assert drifted_paths(OBJECTS["Deployment"], changed) == ()

    def test_contain_the_list_if_an_argument_is_added(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["args"].append("--debug")
        assert drifted_paths(OBJECTS["Deployment"], changed) == ("spec.template.spec.containers[service].args",)

    def test_contain_reordered_arguments(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["args"].reverse()
        assert len(drifted_paths(OBJECTS["Deployment"], changed)) == 2

    def test_contain_values_of_another_type(self) -> None:
        changed = live(OBJECTS["Service"])
        changed["spec"]["ports"] = None
        del changed["spec"]["selector"]
        assert drifted_paths(OBJECTS["Service"], changed) == ("spec.selector", "spec.ports")
        assert foreign_field_patch(OBJECTS["Service"], changed) == []

    def test_contain_removed_fields(self) -> None:
        changed = live(OBJECTS["ConfigMap"])
        del changed["data"]
        assert drifted_paths(OBJECTS["ConfigMap"], changed) == ("data",)


class TestQuantities:
    @pytest.mark.parametrize(("live_value", "same"), [("1Gi", True), ("1024Mi", True), ("2Gi", False), ("much", False)])
    def test_are_compared_by_value(self, live_value: str, same: bool) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = live_value
        assert (drifted_paths(OBJECTS["Deployment"], changed) == ()) is same

    @pytest.mark.parametrize(("live_value", "same"), [("512Mi", True), ("0.5Gi", True), ("5Gi", True), ("1Mi", False)])
    def test_a_larger_claim_is_not_drift(self, live_value: str, same: bool) -> None:
        changed = live(OBJECTS["PersistentVolumeClaim"])
        changed["spec"]["resources"]["requests"]["storage"] = live_value
        assert (drifted_paths(OBJECTS["PersistentVolumeClaim"], changed) == ()) is same


class TestOwners:
    def test_additional_owners_are_not_drift(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["metadata"]["ownerReferences"].insert(0, {"kind": "X", "uid": "other"})
        assert drifted_paths(OBJECTS["Secret"], changed) == ()

    def test_the_instance_must_be_an_owner(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["metadata"]["ownerReferences"][0]["uid"] = "previous-uid"
        assert drifted_paths(OBJECTS["Secret"], changed) == ("metadata.ownerReferences",)
        del changed["metadata"]["ownerReferences"]
        assert drifted_paths(OBJECTS["Secret"], changed) == ("metadata.ownerReferences",)


class TestForeignFieldPatch:
    def test_removes_fields_of_other_managers(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["metadata"]["labels"]["app.kubernetes.io/part-of"] = "shop"
        pod = changed["spec"]["template"]["spec"]
        pod["hostNetwork"] = changed["spec"]["paused"] = True
        pod["containers"].insert(0, {"name": "sidecar"})
        own = pod["containers"][1]
        own["env"].append({"name": "X", "value": "x"})
        own["env"].insert(0, {"name": "EMPTY", "value": "twice"})
        own["securityContext"]["privileged"] = True
        own["ports"][0]["hostPort"] = 80
        container = "/spec/template/spec/containers/1"
        assert foreign_field_patch(OBJECTS["Deployment"], changed) == [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "remove", "path": f"{container}/ports/0/hostPort"},
            {"op": "remove", "path": f"{container}/env/7"},
            {"op": "remove", "path": f"{container}/env/0"},
            {"op": "remove", "path": f"{container}/securityContext/privileged"},
            {"op": "remove", "path": "/spec/template/spec/containers/0"},
            {"op": "remove", "path": "/spec/template/spec/hostNetwork"},
            {"op": "remove", "path": "/spec/paused"},
        ]

    def test_replaces_fields_that_exclude_rendered_ones(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {}}
        container = changed["spec"]["template"]["spec"]["containers"][0]
        source = {"name": "EMPTY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        place = next(index for index, entry in enumerate(container["env"]) if entry["name"] == "EMPTY")
        container["env"][place] = source
        assert foreign_field_patch(OBJECTS["Deployment"], changed)[1:] == [
            {"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}},
            {
                "op": "replace",
                "path": f"/spec/template/spec/containers/0/env/{place}",
                "value": {"name": "EMPTY"},
            },
        ]

    def test_removes_own_labels_that_were_not_rendered(self) -> None:
        alone = rendered(blueprint({"configFiles": [{"path": "/a"}]}))["ConfigMap"]
        del alone["metadata"]["labels"]["app.kubernetes.io/part-of"]
        changed = live(alone)
        changed["metadata"]["labels"] |= {"app.kubernetes.io/part-of": "x", "team": "blue"}
        changed["data"]["a/b~c"] = "x"
        assert drifted_paths(alone, changed) == ("metadata.labels.app.kubernetes.io/part-of", "data.a/b~c")
        assert foreign_field_patch(alone, changed)[1:] == [
            {"op": "remove", "path": "/metadata/labels/app.kubernetes.io~1part-of"},
            {"op": "remove", "path": "/data/a~1b~0c"},
        ]

    def test_contains_no_secret_values(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["data"] = dict.fromkeys(changed["data"], "b3RoZXI=") | {"x": "s3cret"}
        assert "s3cret" not in json.dumps(
            [drifted_paths(OBJECTS["Secret"], changed), foreign_field_patch(OBJECTS["Secret"], changed)]
        )


def test_the_inputs_are_not_changed() -> None:
    for manifest in render_objects(blueprint(FULL), Mode.UP).objects:
        current = live(manifest)
        before = copy.deepcopy((manifest, current))
        drifted_paths(manifest, current)
        foreign_field_patch(manifest, current)
        assert (manifest, current) == before


def test_a_comparison_without_drift_is_cheap() -> None:
    """Every reconcile compares. Calls are counted, because their number is the same on every machine."""
    manifest, current = OBJECTS["Deployment"], json.loads(json.dumps(live(OBJECTS["Deployment"])))
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        drifted_paths(manifest, current)
    finally:
        sys.setprofile(before)
    assert 0 < calls < 100


VOLUME = {"volumes": [{"target": "/data", "size": "2Gi"}]}
COMPLETE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2}
STUCK = {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 1}


@pytest.mark.parametrize(
    ("live_size", "applied_size"),
    [("1Gi", "2Gi"), ("2Gi", "2Gi"), ("2048Mi", "2048Mi"), ("2.5Gi", "2.5Gi"), ("1Ti", "1Ti")],
)
def test_a_claim_never_shrinks(live_size: str, applied_size: str) -> None:
    claim = rendered(blueprint(VOLUME))["PersistentVolumeClaim"]
    current = {**claim, "spec": {**claim["spec"], "resources": {"requests": {"storage": live_size}}}}
    assert manifest_to_apply(claim, current, Mode.UP)["spec"] == claim["spec"] | {
        "resources": {"requests": {"storage": applied_size}}
    }
    for final in (Mode.ARCHIVED, Mode.TERMINATED):
        assert manifest_to_apply(claim, current, final)["spec"] == current["spec"], "must not grow either"


def deployed(status: dict[str, Any], spec: dict[str, Any] | None = None) -> Manifest:
    manifest = rendered(blueprint(spec, replicas=2))["Deployment"]
    return {**manifest, "metadata": {**manifest["metadata"], "generation": 3}, "status": status}


@pytest.mark.parametrize("mode", [Mode.UP, Mode.STOPPED])
@pytest.mark.parametrize(
    "status", [STUCK, COMPLETE | {"observedGeneration": 2}, {}], ids=["stuck", "not observed", "new"]
)
def test_a_rollout_scales_to_zero_before_it_changes_to_recreate(status: dict[str, Any], mode: Mode) -> None:
    current, wanted = deployed(status), rendered(blueprint(VOLUME), mode)["Deployment"]
    first = manifest_to_apply(wanted, current, mode)
    assert first["spec"] == wanted["spec"] | {"replicas": 0, "strategy": current["spec"]["strategy"]}
    assert first["metadata"] == wanted["metadata"]
    empty = {**current, "status": {"observedGeneration": 3}}
    assert manifest_to_apply(wanted, empty, mode) == wanted


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (deployed(COMPLETE), VOLUME),
        (deployed(STUCK), {"image": "web:2"}),
        (deployed(STUCK, VOLUME), VOLUME | {"image": "web:2"}),
        (deployed(STUCK, VOLUME), {}),
    ],
    ids=["complete", "stays RollingUpdate", "stays Recreate", "changes to RollingUpdate"],
)
def test_other_deployments_are_applied_as_rendered(current: Manifest, wanted: dict[str, Any]) -> None:
    manifest = rendered(blueprint(wanted))["Deployment"]
    assert manifest_to_apply(manifest, current, Mode.UP) == manifest
