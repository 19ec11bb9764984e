"""Validation of services: each problem names the field and the fix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.merge import Origin, ServiceProblem
from hopper.domain.service.problems import find_problems
from hopper.domain.service.render import Mode, render_objects
from tests.unit.domain.service.hostile import HOSTILE, TEMPLATE, RejectedBy
from tests.unit.domain.service.samples import FULL, PROJECT, blueprint, instance, merged, template
from tests.unit.domain.service.strategies import OVERRIDES, TEMPLATES


def problems_of(spec: dict[str, Any], overrides: dict[str, Any] | None = None) -> list[str]:
    return [str(problem) for problem in blueprint(spec, overrides).problems]


@pytest.mark.parametrize("name", [name for name, hostile in HOSTILE.items() if hostile.by is not RejectedBy.STRICT])
def test_hostile_overrides_are_rejected_with_their_field(name: str) -> None:
    hostile = HOSTILE[name]
    try:
        found = problems_of(TEMPLATE, hostile.overrides)
    except ValidationError as error:
        assert hostile.by is RejectedBy.SERVER
        found = [str(error)]
    assert any(hostile.field in problem for problem in found), found
    assert "s3cret-canary" not in str(found)


def test_the_list_of_hostile_overrides_is_long() -> None:
    assert len(HOSTILE) >= 60


def test_a_valid_service_has_no_problems() -> None:
    assert problems_of(FULL) == []
    assert problems_of({}) == []
    assert problems_of(TEMPLATE) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"image": "Web:1"}, "image: is not a valid image name: use a lower-case name such as nginx:1.27"),
        ({"image": "web:1:2"}, "image: is not a valid image name"),
        ({"user": "0"}, "user: is root: use another user, or set securityProfile Baseline"),
        ({"user": "0:5"}, "user: is root"),
        ({"user": "5000000000"}, "user: is too large: use numbers up to 2147483647"),
        ({"user": "1:5000000000"}, "user: is too large"),
        ({"command": ["a", "b\0"]}, "command[1]: contains a zero byte"),
        ({"args": ["b\0"]}, "args[0]: contains a zero byte"),
        ({"healthcheck": {}}, "healthcheck.test: is empty: set a test, [NONE] for no healthcheck"),
        ({"workingDir": "/a/../b"}, "workingDir: contains '..'"),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, "resources.requests.cpu: is higher than"),
        (
            {"resources": {"limits": {"memory": "100m"}}},
            "resources.limits.memory: is not a multiple of 1 byte: round it",
        ),
        ({"resources": {"requests": {"cpu": "0.0001"}}}, "resources.requests.cpu: is not a multiple of 1m"),
        ({"args": ["x" * 32768] * 30}, "env: has 960 KiB together with command and args, more than 768 KiB"),
        ({"domains": [{"domain": "a.b"}]}, "domains[a.b]: has no TCP port to forward to"),
        ({"env": [{"name": "A"}]}, "env[A]: has neither value nor valueFrom"),
        ({"user": "1000:0"}, "user: has the group of root"),
        ({"user": "1000:00"}, "user: has the group of root"),
        *(
            ({"volumes": [{"target": target}]}, f"volumes[{target}].target: {error}")
            for target, error in (
                ("//proc", "is not a normalized path: use /proc"),
                ("///sys/fs", "is not a normalized path: use /sys/fs"),
                ("//", "is not a normalized path: use /"),
                ("/proc/./", "is not a normalized path: use /proc"),
                ("/data//x", "is not a normalized path: use /data/x"),
                ("/proc/", "is in the system directory /proc"),
                ("/etc", "is the system directory /etc"),
                ("/etc/", "is the system directory /etc"),
                ("/etc/hosts", "is /etc/hosts, which the kubelet writes"),
            )
        ),
        *(
            ({"configFiles": [{"path": path}]}, f"configFiles[{path}].path: {error}")
            for path, error in (
                ("//etc/passwd", "is not a normalized path: use /etc/passwd"),
                ("/etc//passwd", "is not a normalized path: use /etc/passwd"),
                ("/etc/resolv.conf", "is /etc/resolv.conf, which the kubelet writes"),
                ("/dev/null", "is in the system directory /dev"),
            )
        ),
        ({"workingDir": "//srv"}, "workingDir: is not a normalized path: use /srv"),
        (
            {"labels": [{"name": "x.kubernetes.io/a"}]},
            "labels[x.kubernetes.io/a].name: has the reserved prefix kubernetes.io/",
        ),
    ],
)
def test_an_invalid_template_has_a_problem(spec: dict[str, Any], expected: str) -> None:
    (found,) = problems_of(spec)
    assert found.startswith(f"template: spec.{expected}")


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "registry.example.com:5000/a/b__c/d-e.f:V1.2_x@sha256:" + "a" * 64},
        {"image": "localhost/web"},
        {"user": "0", "securityProfile": "Baseline"},
        {"user": "1000:0", "securityProfile": "Baseline"},
        {"user": "1000:1"},
        {"healthcheck": {"test": ["NONE"]}},
        {"healthcheck": {"test": ["CMD", "sh", "-c", "x"]}},
        {"labels": [{"name": "app.kubernetes.io/version", "value": "1"}, {"name": "app"}]},
        {"labels": [{"name": "k8s.io.example/x"}]},
        {"volumes": [{"target": "/dev/shm", "type": "tmpfs"}, {"target": "/a/"}, {"target": "/a/b"}]},
        {"volumes": [{"target": "/a", "source": "x"}, {"target": "/b", "source": "x", "readOnly": True}]},
        {"volumes": [{"target": "/a"}], "configFiles": [{"path": "/a/b/c.conf"}]},
        {"ports": [{"containerPort": 80, "hostIP": "::"}, {"containerPort": 80, "protocol": "UDP"}]},
        {"env": [{"name": "PATH", "value": "$(PATH):/x"}]},
        {"env": [{"name": "B", "value": "$$(C)"}, {"name": "C", "value": "$(B)"}]},
        {"env": [{"name": "A", "value": "$(B)", "secret": True}, {"name": "B", "value": "$(A)"}]},
        {"configFiles": [{"path": "/a", "content": "{{ not a template", "mode": "755"}]},
        {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}}},
    ],
)
def test_a_valid_template_has_no_problems(spec: dict[str, Any]) -> None:
    assert problems_of(spec) == []


class TestProblem:
    def test_names_the_template_or_the_overrides_as_origin(self) -> None:
        spec, overrides = {"env": [{"name": "A"}]}, {"env": [{"name": "B"}]}
        in_template, in_overrides = problems_of(spec, overrides)
        assert in_template.startswith("template: spec.env[A]: has neither")
        assert in_overrides.startswith("spec.overrides.env[B]: has neither")
        assert str(ServiceProblem("replicas", "x", Origin.INSTANCE)) == "spec.replicas: x"

    def test_in_a_file_names_path_and_line(self) -> None:
        file = {"path": "/etc/a.conf", "content": "\n{{ env.X }}", "template": True}
        (found,) = problems_of({}, {"configFiles": [file]})
        assert found.startswith("spec.overrides.configFiles[/etc/a.conf].content: line 2: env.X does not exist")

    def test_names_a_variable_whose_value_only_the_pod_knows(self) -> None:
        env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
        file = {"path": "/a", "content": "{{ env.X }}", "template": True}
        (found,) = problems_of({"env": env, "configFiles": [file]})
        assert "line 1: X is set by valueFrom, and only the pod knows its value" in found

    def test_all_problems_are_reported(self) -> None:
        found = problems_of({"user": "0", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 80}]})
        assert len(found) == 2

    def test_a_secret_that_is_too_large(self) -> None:
        text = "{{ env.BIG }}" * 16
        env = [{"name": "BIG", "value": "x" * 32768, "secret": True}]
        files = [{"path": f"/f/{n}", "content": text, "template": True} for n in range(2)]
        (found,) = problems_of({"env": env, "configFiles": files})
        assert "configFiles: need a Secret of 1056 KiB, more than 1024 KiB" in found


def test_a_blueprint_with_problems_is_not_rendered() -> None:
    with pytest.raises(ValueError, match="is root"):
        render_objects(blueprint({"user": "0"}), Mode.UP)


@given(TEMPLATES, OVERRIDES)
def test_random_services_have_problems_or_are_rendered(spec: TemplateSpec, overrides: Overrides) -> None:
    subject, base = instance(), template()
    subject = replace(subject, spec=replace(subject.spec, overrides=overrides))
    prepared = prepare_blueprint(subject, (PROJECT,), replace(base, spec=spec))
    for problem in prepared.problems:
        assert problem.field
        assert ": " in problem.message
    if not prepared.problems:
        assert render_objects(prepared, Mode.UP).objects == render_objects(prepared, Mode.UP).objects


def test_a_template_is_validated_without_an_instance() -> None:
    assert find_problems(merged({"env": [{"name": "A"}]})) != ()
