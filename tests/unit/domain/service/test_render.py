"""Rendered objects of an instance in each mode and for each type."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from hopper.api.enums import DesiredState, Phase
from hopper.api.service import Overrides
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.render import Mode, mode_for, render_objects
from tests.unit.domain.service.samples import (
    BASE,
    FULL,
    PORT,
    PROJECT,
    blueprint,
    instance,
    pod,
    pod_template,
    rendered,
    template,
)
from tests.unit.domain.service.strategies import OVERRIDES


class TestObjects:
    def test_all_objects_are_rendered_in_the_order_to_apply(self) -> None:
        objects = render_objects(blueprint(FULL), Mode.UP).objects
        assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in objects] == [
            ("Secret", BASE),
            ("ConfigMap", BASE),
            ("PersistentVolumeClaim", f"{BASE}-web-data"),
            ("Service", BASE),
            ("Ingress", BASE),
            ("Deployment", BASE),
        ]

    def test_empty_objects_are_not_rendered(self) -> None:
        assert list(rendered(blueprint())) == ["Deployment"]
        assert list(rendered(blueprint(PORT))) == ["Service", "Deployment"]

    def test_each_object_has_namespace_labels_and_owner(self) -> None:
        for manifest in render_objects(blueprint(FULL), Mode.UP).objects:
            metadata = manifest["metadata"]
            assert metadata["namespace"] == "default"
            assert metadata["labels"]["hopper.dev/instance"] == "web-1"
            assert metadata["labels"]["app.kubernetes.io/part-of"] == "shop"
            assert metadata["ownerReferences"] == [
                {
                    "apiVersion": "hopper.dev/v1",
                    "kind": "HopperInstance",
                    "name": "web-1",
                    "uid": "uid-web-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ]

    def test_objects_share_no_mutable_values(self) -> None:
        """A change of one manifest must not change another."""
        objects = render_objects(blueprint(FULL), Mode.UP).objects
        seen: set[int] = set()

        def walk(value: Any) -> None:
            if isinstance(value, dict | list) and value:
                assert id(value) not in seen, value
                seen.add(id(value))
                for child in value.values() if isinstance(value, dict) else value:
                    walk(child)

        walk(list(objects))
        json.dumps(objects)


class TestModes:
    @pytest.mark.parametrize(
        ("phase", "mode"),
        [
            (Phase.CREATED, None),
            (Phase.STARTING, Mode.UP),
            (Phase.RUNNING, Mode.UP),
            (Phase.ERROR, Mode.UP),
            (Phase.PAUSED, Mode.PAUSED),
            (Phase.STOPPING, Mode.STOPPED),
            (Phase.STOPPED, Mode.STOPPED),
            (Phase.ARCHIVED, Mode.ARCHIVED),
            (Phase.TERMINATED, Mode.TERMINATED),
        ],
    )
    def test_depends_on_the_phase(self, phase: Phase, mode: Mode | None) -> None:
        assert mode_for(phase) is mode

    def test_an_instance_that_starts_paused_receives_no_traffic(self) -> None:
        changed = {phase for phase in Phase if mode_for(phase, DesiredState.PAUSED) is not mode_for(phase)}
        assert changed == {Phase.STARTING, Phase.ERROR}
        assert (
            mode_for(Phase.STARTING, DesiredState.PAUSED) is mode_for(Phase.ERROR, DesiredState.PAUSED) is Mode.PAUSED
        )

    def test_paused_changes_only_the_service_selector(self) -> None:
        up, paused = rendered(blueprint(FULL)), rendered(blueprint(FULL), Mode.PAUSED)
        assert paused["Service"]["spec"]["selector"] == {"hopper.dev/instance": "web-1", "hopper.dev/paused": "true"}
        assert "hopper.dev/paused" not in up["Deployment"]["spec"]["template"]["metadata"]["labels"]
        paused["Service"]["spec"]["selector"] = up["Service"]["spec"]["selector"]
        assert paused == up

    def test_stopped_changes_only_the_replicas(self) -> None:
        up, stopped = rendered(blueprint(FULL)), rendered(blueprint(FULL), Mode.STOPPED)
        assert stopped["Deployment"]["spec"]["replicas"] == 0
        stopped["Deployment"]["spec"]["replicas"] = up["Deployment"]["spec"]["replicas"]
        assert stopped == up

    @pytest.mark.parametrize("mode", [Mode.ARCHIVED, Mode.TERMINATED])
    def test_a_final_mode_keeps_only_the_claims(self, mode: Mode) -> None:
        assert list(rendered(blueprint(FULL), mode)) == ["PersistentVolumeClaim"]
        assert list(rendered(blueprint(FULL, type="Singleton"), mode)) == ["PersistentVolumeClaim"]
        assert rendered(blueprint(FULL, type="Ephemeral"), mode) == {}


class TestTypes:
    def test_a_singleton_never_has_two_pods(self) -> None:
        spec = rendered(blueprint(PORT, type="Singleton", replicas=3))["Deployment"]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
        assert rendered(blueprint(PORT, type="Singleton", replicas=0))["Deployment"]["spec"]["replicas"] == 0

    def test_pods_with_a_claim_are_recreated_and_others_roll(self) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
        volumes = {"volumes": [{"target": "/data"}]}
        external = {"volumes": [{"target": "/data", "source": "x", "external": True}]}
        for subject, strategy in (
            (blueprint(PORT, replicas=3), rolling),
            (blueprint({"volumes": [{"target": "/data", "type": "tmpfs"}]}), rolling),
            (blueprint(volumes), {"type": "Recreate"}),
            (blueprint(volumes, type="Ephemeral"), rolling),
            (blueprint(external, type="Ephemeral"), {"type": "Recreate"}),
        ):
            assert rendered(subject)["Deployment"]["spec"]["strategy"] == strategy

    def test_volumes_of_an_ephemeral_instance_are_empty_dirs(self) -> None:
        volumes = pod(blueprint(FULL, type="Ephemeral"))["volumes"]
        scratch = {"sizeLimit": "512Mi"}
        memory = {"medium": "Memory", "sizeLimit": "64Mi"}
        assert [volume["emptyDir"] for volume in volumes if "emptyDir" in volume] == [scratch, memory]
        claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": "archive"}]

    def test_an_empty_dir_has_the_largest_requested_size(self) -> None:
        sizes = [{"target": f"/{n}", "source": "x", "size": size} for n, size in enumerate(("1Gi", "2Gi", None))]
        (volume,) = pod(blueprint({"volumes": sizes}, type="Ephemeral"))["volumes"]
        assert volume["emptyDir"] == {"sizeLimit": "2Gi"}


class TestNetwork:
    def test_the_service_has_the_ports_and_selector(self) -> None:
        assert rendered(blueprint(FULL))["Service"]["spec"] == {
            "type": "ClusterIP",
            "selector": {"hopper.dev/instance": "web-1"},
            "ports": [
                {"name": "tcp-8080", "port": 8080, "targetPort": 80, "protocol": "TCP"},
                {"name": "tcp-443", "port": 443, "targetPort": 443, "protocol": "TCP"},
                {"name": "udp-443", "port": 443, "targetPort": 443, "protocol": "UDP"},
            ],
        }

    def test_the_ingress_has_a_rule_per_domain(self) -> None:
        def rule(host: str, port: int) -> dict[str, Any]:
            backend = {"service": {"name": BASE, "port": {"number": port}}}
            return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}

        spec = rendered(blueprint(FULL))["Ingress"]["spec"]
        assert spec == {"rules": [rule("*.example.org", 443), rule("web.example.com", 8080)]}

    def test_a_domain_without_port_uses_the_lowest_tcp_port(self) -> None:
        ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 9000}, {"containerPort": 80}]
        objects = rendered(blueprint({"ports": ports, "domains": [{"domain": "a.b"}]}))
        backend = objects["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]
        assert backend["service"]["port"] == {"number": 80}


class TestDeterminism:
    @given(OVERRIDES)
    def test_equal_inputs_give_equal_objects(self, overrides: Overrides) -> None:
        subject, base = instance(), template()
        subject = replace(subject, spec=replace(subject.spec, overrides=overrides))
        before = copy.deepcopy((subject, base))
        first, second = (prepare_blueprint(subject, (PROJECT,), base) for _ in range(2))
        assert first == second
        assert (subject, base) == before
        if not first.problems:
            assert json.dumps(render_objects(first, Mode.UP).objects) == json.dumps(
                render_objects(second, Mode.UP).objects
            )

    def test_labels_of_users_do_not_replace_own_labels(self) -> None:
        labels = pod_template(blueprint(FULL))["metadata"]["labels"]
        assert labels["example.com/tier"] == "web"
        assert labels["hopper.dev/instance"] == "web-1"
