"""What must not or cannot run, and that each refusal names the field and the way out."""

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
from tests.unit.domain.service.hostile import HOSTILE, TEMPLATE, By
from tests.unit.domain.service.samples import FULL, PROJECT, blueprint, instance, merged, template
from tests.unit.domain.service.strategies import OVERRIDES, TEMPLATES


def told(spec: dict[str, Any], overrides: dict[str, Any] | None = None) -> list[str]:
    return [str(problem) for problem in blueprint(spec, overrides).problems]


@pytest.mark.parametrize("name", [name for name, hostile in HOSTILE.items() if hostile.by is not By.STRICT])
def test_hostile_overrides_are_named(name: str) -> None:
    hostile = HOSTILE[name]
    try:
        found = told(TEMPLATE, hostile.overrides)
    except ValidationError as refused:
        assert hostile.by is By.SERVER
        found = [str(refused)]
    assert any(hostile.field in problem for problem in found), found
    assert "s3cret-canary" not in str(found)


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


def test_a_service_that_can_run_has_none() -> None:
    assert told(FULL) == []
    assert told({}) == []
    assert told(TEMPLATE) == []


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
        (
            {"labels": [{"name": "x.kubernetes.io/a"}]},
            "labels[x.kubernetes.io/a].name: has the reserved prefix kubernetes.io/",
        ),
    ],
)
def test_problems_of_a_template(spec: dict[str, Any], expected: str) -> None:
    (found,) = told(spec)
    assert found.startswith(f"template: spec.{expected}")


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "registry.example.com:5000/a/b__c/d-e.f:V1.2_x@sha256:" + "a" * 64},
        {"image": "localhost/web"},
        {"user": "0", "securityProfile": "Baseline"},
        {"user": "1000:0"},
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
def test_what_is_allowed(spec: dict[str, Any]) -> None:
    assert told(spec) == []


class TestProblem:
    def test_is_blamed_on_whoever_wrote_it(self) -> None:
        spec, overrides = {"env": [{"name": "A"}]}, {"env": [{"name": "B"}]}
        theirs, own = told(spec, overrides)
        assert theirs.startswith("template: spec.env[A]: has neither")
        assert own.startswith("spec.overrides.env[B]: has neither")
        assert str(ServiceProblem("replicas", "x", Origin.INSTANCE)) == "spec.replicas: x"

    def test_of_a_file_names_path_and_line(self) -> None:
        file = {"path": "/etc/a.conf", "content": "\n{{ env.X }}", "template": True}
        (found,) = told({}, {"configFiles": [file]})
        assert found.startswith("spec.overrides.configFiles[/etc/a.conf].content: line 2: 'X' does not exist")

    def test_of_a_value_that_only_the_pod_knows(self) -> None:
        env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
        file = {"path": "/a", "content": "{{ env.X }}", "template": True}
        (found,) = told({"env": env, "configFiles": [file]})
        assert "line 1: X is set by valueFrom, and only the pod knows its value" in found

    def test_several_are_all_told(self) -> None:
        found = told({"user": "0", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 80}]})
        assert len(found) == 2

    def test_a_secret_of_a_megabyte(self) -> None:
        text = "{{ env.BIG }}" * 16
        env = [{"name": "BIG", "value": "x" * 32768, "secret": True}]
        files = [{"path": f"/f/{n}", "content": text, "template": True} for n in range(2)]
        (found,) = told({"env": env, "configFiles": files})
        assert "configFiles: need a Secret of 1056 KiB, more than 1024 KiB" in found


def test_what_is_not_rendered_is_not_rendered() -> None:
    with pytest.raises(ValueError, match="is root"):
        render_objects(blueprint({"user": "0"}), Mode.UP)


@given(TEMPLATES, OVERRIDES)
def test_random_services_are_refused_or_rendered(spec: TemplateSpec, overrides: Overrides) -> None:
    subject, base = instance(), template()
    subject = replace(subject, spec=replace(subject.spec, overrides=overrides))
    made = prepare_blueprint(subject, (PROJECT,), replace(base, spec=spec))
    for problem in made.problems:
        assert problem.field
        assert ": " in problem.message or "remove" in problem.message
    if not made.problems:
        assert render_objects(made, Mode.UP).objects == render_objects(made, Mode.UP).objects


def test_merge_alone_is_enough_for_a_template() -> None:
    assert find_problems(merged({"env": [{"name": "A"}]})) != ()
