"""Differences between what was rendered and what is there. The real API server is asked in test_render_apply.py."""

from __future__ import annotations

import copy
import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.drift import drifted_paths, foreign_field_patch
from hopper.domain.service.render import Manifest, Mode, render_objects
from tests.unit.domain.service.samples import FULL, blueprint, rendered


def live(manifest: Manifest) -> Manifest:
    """Return the object as it comes back: with what the API server adds."""
    found = copy.deepcopy(manifest)
    found["metadata"] |= {"uid": "x", "resourceVersion": "7", "generation": 1, "managedFields": []}
    found["status"] = {"replicas": 1}
    if found["kind"] == "Deployment":
        found["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "1"
        pod = found["spec"]["template"]["spec"]
        pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
        pod["containers"][0] |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            pod["containers"][0].get(probe, {})["successThreshold"] = 1
    if found["kind"] == "Service":
        found["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    return found


OBJECTS = rendered(blueprint(FULL))


@pytest.mark.parametrize("kind", OBJECTS)
def test_defaults_are_no_difference(kind: str) -> None:
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
def test_no_value_can_be_changed_or_taken_away_unseen(leaf: tuple[str, tuple[Any, ...]], value: str | None) -> None:
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


class TestPaths:
    def test_name_the_place(self) -> None:
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

    def test_the_order_of_keyed_lists_does_not_matter(self) -> None:
        changed = live(OBJECTS["Deployment"])
        pod = changed["spec"]["template"]["spec"]
        pod["volumes"].reverse()
        pod["containers"][0]["volumeMounts"].reverse()
        assert drifted_paths(OBJECTS["Deployment"], changed) == ()

    def test_an_argument_more(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["args"].append("--debug")
        assert drifted_paths(OBJECTS["Deployment"], changed) == ("spec.template.spec.containers[service].args",)

    def test_the_order_of_arguments_does(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["args"].reverse()
        assert len(drifted_paths(OBJECTS["Deployment"], changed)) == 2

    def test_a_thing_of_another_kind(self) -> None:
        changed = live(OBJECTS["Service"])
        changed["spec"]["ports"] = None
        del changed["spec"]["selector"]
        assert drifted_paths(OBJECTS["Service"], changed) == ("spec.selector", "spec.ports")
        assert foreign_field_patch(OBJECTS["Service"], changed) == []

    def test_a_field_that_is_gone(self) -> None:
        changed = live(OBJECTS["ConfigMap"])
        del changed["data"]
        assert drifted_paths(OBJECTS["ConfigMap"], changed) == ("data",)


class TestQuantities:
    @pytest.mark.parametrize(("there", "same"), [("1Gi", True), ("1024Mi", True), ("2Gi", False), ("much", False)])
    def test_are_compared_by_value(self, there: str, same: bool) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = there
        assert (drifted_paths(OBJECTS["Deployment"], changed) == ()) is same

    @pytest.mark.parametrize(("there", "same"), [("512Mi", True), ("0.5Gi", True), ("5Gi", True), ("1Mi", False)])
    def test_a_claim_that_was_made_larger_stays(self, there: str, same: bool) -> None:
        changed = live(OBJECTS["PersistentVolumeClaim"])
        changed["spec"]["resources"]["requests"]["storage"] = there
        assert (drifted_paths(OBJECTS["PersistentVolumeClaim"], changed) == ()) is same


class TestOwners:
    def test_others_may_own_it_too(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["metadata"]["ownerReferences"].insert(0, {"kind": "X", "uid": "other"})
        assert drifted_paths(OBJECTS["Secret"], changed) == ()

    def test_the_instance_has_to(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["metadata"]["ownerReferences"][0]["uid"] = "that of one before"
        assert drifted_paths(OBJECTS["Secret"], changed) == ("metadata.ownerReferences",)
        del changed["metadata"]["ownerReferences"]
        assert drifted_paths(OBJECTS["Secret"], changed) == ("metadata.ownerReferences",)


class TestRemovals:
    def test_take_away_what_others_added(self) -> None:
        changed = live(OBJECTS["Deployment"])
        changed["metadata"]["labels"]["app.kubernetes.io/part-of"] = "shop"
        pod = changed["spec"]["template"]["spec"]
        pod["hostNetwork"] = changed["spec"]["paused"] = True
        pod["containers"].insert(0, {"name": "sidecar"})
        ours = pod["containers"][1]
        ours["env"].append({"name": "X", "value": "x"})
        ours["env"].insert(0, {"name": "EMPTY", "value": "twice"})
        ours["securityContext"]["privileged"] = True
        ours["ports"][0]["hostPort"] = 80
        here = "/spec/template/spec/containers/1"
        assert foreign_field_patch(OBJECTS["Deployment"], changed) == [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "remove", "path": f"{here}/ports/0/hostPort"},
            {"op": "remove", "path": f"{here}/env/7"},
            {"op": "remove", "path": f"{here}/env/0"},
            {"op": "remove", "path": f"{here}/securityContext/privileged"},
            {"op": "remove", "path": "/spec/template/spec/containers/0"},
            {"op": "remove", "path": "/spec/template/spec/hostNetwork"},
            {"op": "remove", "path": "/spec/paused"},
        ]

    def test_put_right_what_excludes_what_we_say(self) -> None:
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

    def test_labels_of_ours_that_are_not_ours(self) -> None:
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

    def test_name_no_value_of_a_secret(self) -> None:
        changed = live(OBJECTS["Secret"])
        changed["data"] = dict.fromkeys(changed["data"], "b3RoZXI=") | {"x": "s3cret"}
        assert "s3cret" not in json.dumps(
            [drifted_paths(OBJECTS["Secret"], changed), foreign_field_patch(OBJECTS["Secret"], changed)]
        )


def test_nothing_that_goes_in_is_changed() -> None:
    for one in render_objects(blueprint(FULL), Mode.UP).objects:
        there = live(one)
        before = copy.deepcopy((one, there))
        drifted_paths(one, there)
        foreign_field_patch(one, there)
        assert (one, there) == before


def test_a_comparison_costs_next_to_nothing() -> None:
    """It is asked at every look. Counted in calls, the same on every machine: what is equal is not entered."""
    one, there = OBJECTS["Deployment"], json.loads(json.dumps(live(OBJECTS["Deployment"])))
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        drifted_paths(one, there)
    finally:
        sys.setprofile(before)
    assert 0 < calls < 100
