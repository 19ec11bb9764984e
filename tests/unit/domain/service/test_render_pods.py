"""Rendered pods: container, probes and security settings."""

from __future__ import annotations

import pytest

from hopper.domain.service.render import Mode, render_objects
from tests.unit.domain.service.samples import (
    BASE,
    FULL,
    blueprint,
    container,
    pod,
    rendered,
)


class TestContainer:
    def test_has_the_fields_of_the_template(self) -> None:
        found = container(blueprint(FULL))
        assert found["image"] == "registry.example.com:5000/team/web:1.2"
        assert (found["command"], found["args"], found["workingDir"]) == (["/bin/web"], ["--port", "80"], "/srv")
        assert found["resources"] == {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"cpu": "1", "memory": "1536Mi"},
        }

    def test_leaves_out_fields_that_are_not_set(self) -> None:
        assert container(blueprint()).keys() == {"name", "image", "securityContext"}
        assert container(blueprint({"resources": {"limits": {}}})).keys() == {"name", "image", "securityContext"}

    def test_variables_follow_the_variables_they_refer_to(self) -> None:
        names = [entry["name"] for entry in container(blueprint(FULL))["env"]]
        assert sorted(names) == ["AAA_URL", "EMPTY", "LEVEL", "PASSWORD", "TOKEN", "TZ"]
        assert names[-1] == "AAA_URL"

    def test_variables_refer_to_their_secrets_and_config_maps(self) -> None:
        env = {entry.pop("name"): entry for entry in container(blueprint(FULL))["env"]}
        assert env["TZ"] == {"value": "Etc/UTC"}
        assert env["EMPTY"] == {}
        assert env["PASSWORD"] == {"valueFrom": {"secretKeyRef": {"name": BASE, "key": "PASSWORD"}}}
        assert env["TOKEN"] == {"valueFrom": {"secretKeyRef": {"name": "tokens", "key": "web"}}}
        assert env["LEVEL"] == {"valueFrom": {"configMapKeyRef": {"name": "levels", "key": "web.level"}}}

    def test_ports_are_named_by_protocol_and_number(self) -> None:
        assert container(blueprint(FULL))["ports"] == [
            {"name": "tcp-80", "containerPort": 80, "protocol": "TCP"},
            {"name": "tcp-443", "containerPort": 443, "protocol": "TCP"},
            {"name": "udp-443", "containerPort": 443, "protocol": "UDP"},
        ]


class TestProbes:
    def test_all_probes_run_the_test_of_the_healthcheck(self) -> None:
        found = container(blueprint(FULL))
        probe = {
            "exec": {"command": ["sh", "-c", "wget -q localhost"]},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 3,
        }
        assert found["readinessProbe"] == found["livenessProbe"] == probe
        assert found["startupProbe"] == {**probe, "failureThreshold": 6}  # 25 s in steps of 10 s, and 3 retries

    def test_a_short_start_period_shortens_the_probe_period(self) -> None:
        check = {"test": ["CMD", "a", "b"], "startPeriodSeconds": 5, "retries": 2}
        found = container(blueprint({"healthcheck": check}))["startupProbe"]
        assert (found["exec"]["command"], found["periodSeconds"], found["failureThreshold"]) == (["a", "b"], 5, 3)

    def test_a_disabled_healthcheck_has_no_probes(self) -> None:
        assert "readinessProbe" not in container(blueprint({"healthcheck": {"test": ["NONE"]}}))

    def test_the_progress_deadline_includes_the_start_period(self) -> None:
        assert rendered(blueprint())["Deployment"]["spec"]["progressDeadlineSeconds"] == 600
        assert rendered(blueprint(FULL))["Deployment"]["spec"]["progressDeadlineSeconds"] == 655


class TestSecurity:
    def test_is_restricted_by_default(self) -> None:
        found = pod(blueprint())
        assert found["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}
        assert (found["automountServiceAccountToken"], found["enableServiceLinks"]) == (False, False)
        assert container(blueprint())["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_baseline_gives_a_warning(self) -> None:
        subject = blueprint({"securityProfile": "Baseline", "user": "0"})
        assert "runAsNonRoot" not in pod(subject)["securityContext"]
        assert "securityContext" not in container(subject)
        (warning,) = render_objects(subject, Mode.UP).warnings
        assert "Baseline" in warning
        assert render_objects(blueprint(), Mode.UP).warnings == ()

    @pytest.mark.parametrize(
        ("user", "expected"),
        [
            ("1000", {"runAsUser": 1000, "fsGroup": 1000}),
            ("1000:2000", {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 2000}),
        ],
    )
    def test_user_and_group_are_set(self, user: str, expected: dict[str, int]) -> None:
        context = pod(blueprint({"user": user}))["securityContext"]
        assert {name: context[name] for name in context if name.startswith(("runAsU", "runAsG", "fsGroup"))} == {
            **expected,
            "fsGroupChangePolicy": "OnRootMismatch",
        }

    def test_low_ports_are_unprivileged(self) -> None:
        sysctls = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        assert pod(blueprint({"ports": [{"containerPort": 1023}]}))["securityContext"]["sysctls"] == sysctls
        assert "sysctls" not in pod(blueprint({"ports": [{"containerPort": 1024}]}))["securityContext"]

    def test_replicas_with_a_shared_claim_give_a_warning(self) -> None:
        volumes = {"volumes": [{"target": "/data"}]}
        (warning,) = blueprint(volumes, replicas=2).warnings
        assert "2 replicas share volumes" in warning
        assert blueprint(volumes).warnings == ()
