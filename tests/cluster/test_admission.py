"""Validation of HopperInstances by the API server: accepted specs, and errors that name the field and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hopper.api.enums import Scope
from hopper.api.scopes import SCOPE_CONFIG, SCOPES
from hopper.local import Cluster
from tests.cluster.support.kubectl_instances import KubectlInstances, refusal

pytestmark = pytest.mark.usefixtures("crds")


@pytest.fixture(scope="module")
def dry_run_instances(cluster: Cluster) -> KubectlInstances:
    """HopperInstances of the default namespace, for dry runs only."""
    return KubectlInstances(cluster, "default")


def overrides(**kinds: Any) -> dict[str, Any]:
    return {"scope": "Project", "overrides": kinds}


ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "a global instance": ("global", {"scope": "Global"}),
    "a project without a parent": ("a", {"scope": "Project"}),
    "the longest name": ("a" * 63, {"scope": "Project"}),
    "a name with dots": ("a.b-c", {"scope": "Federated"}),
    "more than one replica": ("a", {"scope": "Project", "replicas": 3}),
    "a singleton with one replica": ("a", {"scope": "Project", "type": "Singleton", "replicas": 1}),
    "a stopped singleton": ("global", {"scope": "Global", "replicas": 0}),
    "a global instance of another type": ("global", {"scope": "Global", "type": "Persistent", "replicas": 2}),
    "a rename with a claim prefix": (
        "b",
        {"scope": "Project", "renamedFrom": {"name": "a.b", "claimPrefix": "hopper-a"}},
    ),
    "an instance created in state Archived": ("a", {"scope": "Project", "desiredState": "Archived"}),
    "a restart policy with only one field": ("a", {"scope": "Project", "restartPolicy": {"maxRetries": 1}}),
    "equal first and longest delays": (
        "a",
        {"scope": "Project", "restartPolicy": {"backoffSeconds": 9, "maxBackoffSeconds": 9}},
    ),
    "free-form configuration": (
        "a",
        {"scope": "Federated", "config": {"extra": {"a": [1, {"b": None}], "c": 1.5}, "capabilities": ["x", "y"]}},
    ),
    "a restart time with an offset": ("a", {"scope": "Project", "restartedAt": "2026-01-31T12:00:00+01:00"}),
    "every kind of override": (
        "a",
        overrides(
            ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
            volumes=[
                {"target": "/data", "size": "1.5Gi"},
                {"target": "/etc/..x/y..z", "type": "config", "source": "settings"},
                {"target": "/old", "external": True, "source": "claim"},
            ],
            env=[
                {"name": "A", "value": ""},
                {"name": "B", "value": "x", "secret": True},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}, "secret": True},
                {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}},
            ],
            labels=[{"name": "example.com/tier", "value": "web"}, {"name": "plain"}],
            domains=[{"domain": "*.example.com", "proxyPort": 8080}],
            healthcheck={"test": ["CMD", "true"]},
            configFiles=[{"path": "/etc/app.conf", "content": "x", "mode": "600"}],
        ),
    ),
    "the removal of every kind": (
        "a",
        overrides(
            ports=[{"containerPort": 80, "$remove": True}],
            volumes=[{"target": "/data", "$remove": True}],
            env=[{"name": "A", "$remove": True}],
            labels=[{"name": "a", "$remove": True}],
            domains=[{"domain": "a.b", "$remove": True}],
            healthcheck={"$remove": True},
            configFiles=[{"path": "/a", "$remove": True}],
        ),
    ),
    "the removal of a health check, with other fields set": (
        "a",
        overrides(healthcheck={"$remove": True, "retries": 1}),
    ),
    "a health check with a null $remove": ("a", overrides(healthcheck={"$remove": None, "test": ["NONE"]})),
}

# Name, spec, the field that the message must name, and a part of the fix that it must suggest.
REJECTED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no scope": ("a", {}, "spec.scope", "Required value"),
    "an unknown scope": ("a", {"scope": "Team"}, "spec.scope", 'supported values: "Global", "Project"'),
    "a global instance that is not named global": ("a", {"scope": "Global"}, "metadata.name", "must be global"),
    "an instance of another scope named global": ("global", {"scope": "Project"}, "metadata.name", "use another name"),
    "a name that is too long for a label": ("a" * 64, {"scope": "Project"}, "metadata.name", "use a shorter name"),
    "an instance that is its own parent": (
        "a",
        {"scope": "Event", "parentRef": {"name": "a"}},
        "spec.parentRef.name",
        "set another instance",
    ),
    "an invalid parent name": (
        "a",
        {"scope": "Event", "parentRef": {"name": "A b"}},
        "spec.parentRef.name",
        "use lower-case letters",
    ),
    "an empty parentRef": ("a", {"scope": "Event", "parentRef": {}}, "spec.parentRef.name", "Required value"),
    "an instance renamed from itself": (
        "a",
        {"scope": "Project", "renamedFrom": {"name": "a"}},
        "spec.renamedFrom.name",
        "set the instance to replace",
    ),
    "an instance renamed from the global instance": (
        "a",
        {"scope": "Project", "renamedFrom": {"name": "global"}},
        "spec.renamedFrom",
        "remove renamedFrom",
    ),
    "a global instance that was renamed": (
        "global",
        {"scope": "Global", "renamedFrom": {"name": "a"}},
        "spec.renamedFrom",
        "remove renamedFrom",
    ),
    "an invalid predecessor name": (
        "a",
        {"scope": "Project", "renamedFrom": {"name": "B"}},
        "spec.renamedFrom.name",
        "use lower-case letters",
    ),
    "an invalid claim prefix": (
        "a",
        {"scope": "Project", "renamedFrom": {"name": "b", "claimPrefix": "a."}},
        "spec.renamedFrom.claimPrefix",
        "use lower-case letters",
    ),
    "an unknown desired state": (
        "a",
        {"scope": "Project", "desiredState": "ACTIVE"},
        "spec.desiredState",
        'supported values: "Running", "Paused"',
    ),
    "an invalid restart time": ("a", {"scope": "Project", "restartedAt": "now"}, "spec.restartedAt", "date-time"),
    "too many replicas": ("a", {"scope": "Project", "replicas": 1001}, "spec.replicas", "less than or equal to 1000"),
    "two replicas of a singleton": (
        "a",
        {"scope": "Project", "type": "Singleton", "replicas": 2},
        "spec.replicas",
        "set replicas to 1",
    ),
    "two replicas of the global instance, a singleton by default": (
        "global",
        {"scope": "Global", "replicas": 2},
        "spec.replicas",
        "or choose another type",
    ),
    "a negative time to live": (
        "a",
        {"scope": "Event", "ttlSecondsAfterFinished": -1},
        "spec.ttlSecondsAfterFinished",
        "greater than or equal to 0",
    ),
    "a first delay above the default longest delay": (
        "a",
        {"scope": "Project", "restartPolicy": {"backoffSeconds": 301}},
        "spec.restartPolicy.backoffSeconds",
        "raise maxBackoffSeconds",
    ),
    "a heartbeat without a timeout": (
        "a",
        {"scope": "Project", "heartbeat": {}},
        "spec.heartbeat.timeoutSeconds",
        "Required value",
    ),
    "an unknown field": ("a", {"scope": "Project", "parent": "b"}, "spec.parent", "unknown field"),
    "an unknown configuration field": (
        "a",
        {"scope": "Project", "config": {"limits": {"maxPods": 1}}},
        "spec.config.limits.maxPods",
        "unknown field",
    ),
    "a limit that is not a number": (
        "a",
        {"scope": "Project", "config": {"limits": {"maxDepth": "many"}}},
        "spec.config.limits.maxDepth",
        "must be of type integer",
    ),
    "a duplicate capability": (
        "a",
        {"scope": "Project", "config": {"capabilities": ["x", "x"]}},
        "spec.config.capabilities[1]",
        "Duplicate value",
    ),
    "a duplicate port": (
        "a",
        overrides(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]),
        "spec.overrides.ports[1]",
        "Duplicate value",
    ),
    "a port out of range": (
        "a",
        overrides(ports=[{"containerPort": 70000}]),
        "spec.overrides.ports[0].containerPort",
        "less than or equal to 65535",
    ),
    "a volume with a relative target": (
        "a",
        overrides(volumes=[{"target": "data"}]),
        "spec.overrides.volumes[0].target",
        "start it with '/'",
    ),
    "a volume target with a .. segment": (
        "a",
        overrides(volumes=[{"target": "/data/../etc"}]),
        "spec.overrides.volumes[0].target",
        "set the path without it",
    ),
    "a volume target that ends with a .. segment": (
        "a",
        overrides(volumes=[{"target": "/data/.."}]),
        "spec.overrides.volumes[0].target",
        "set the path without it",
    ),
    "a volume of type bind": (
        "a",
        overrides(volumes=[{"target": "/data", "type": "bind", "source": "/"}]),
        "spec.overrides.volumes[0].type",
        "use volume, tmpfs or config",
    ),
    "an external volume without a source": (
        "a",
        overrides(volumes=[{"target": "/data", "external": True}]),
        "spec.overrides.volumes[0].source",
        "set source",
    ),
    "an invalid volume size": (
        "a",
        overrides(volumes=[{"target": "/data", "size": "1 GB"}]),
        "spec.overrides.volumes[0].size",
        "such as 1Gi",
    ),
    "an invalid variable name": (
        "a",
        overrides(env=[{"name": "1A", "value": "x"}]),
        "spec.overrides.env[0].name",
        "start it with a letter",
    ),
    "a variable with both value and valueFrom": (
        "a",
        overrides(env=[{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        "spec.overrides.env[0].valueFrom",
        "remove one of them",
    ),
    "a variable with an empty valueFrom": (
        "a",
        overrides(env=[{"name": "A", "valueFrom": {}}]),
        "spec.overrides.env[0].valueFrom",
        "set one",
    ),
    "a variable from both a Secret and a ConfigMap": (
        "a",
        overrides(
            env=[
                {
                    "name": "A",
                    "valueFrom": {
                        "secretKeyRef": {"name": "s", "key": "k"},
                        "configMapKeyRef": {"name": "s", "key": "k"},
                    },
                }
            ]
        ),
        "spec.overrides.env[0].valueFrom",
        "remove the other",
    ),
    "a secret variable from a ConfigMap": (
        "a",
        overrides(
            env=[{"name": "A", "secret": True, "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}],
        ),
        "spec.overrides.env[0].secret",
        "use secretKeyRef",
    ),
    "a label with the prefix of Hopper": (
        "a",
        overrides(labels=[{"name": "hopper.dev/instance", "value": "b"}]),
        "spec.overrides.labels[0].name",
        "use another name",
    ),
    "an invalid label name": (
        "a",
        overrides(labels=[{"name": "a/b/c"}]),
        "spec.overrides.labels[0].name",
        "with an optional prefix",
    ),
    "an invalid label value": (
        "a",
        overrides(labels=[{"name": "a", "value": "b c"}]),
        "spec.overrides.labels[0].value",
        "use letters, digits",
    ),
    "an invalid domain": (
        "a",
        overrides(domains=[{"domain": "https://a.b"}]),
        "spec.overrides.domains[0].domain",
        "parts joined by dots",
    ),
    **{
        f"a health check without a test, {json.dumps(check)}": (
            "a",
            overrides(healthcheck=check),
            "spec.overrides.healthcheck.test: Required value: test is required",
            "$remove: true to remove the inherited health check",
        )
        for check in ({}, {"retries": 1}, {"$remove": False}, {"$remove": None}, {"$remove": None, "retries": 1})
    },
    "a health check with an empty test": (
        "a",
        overrides(healthcheck={"test": []}),
        "spec.overrides.healthcheck.test",
        "should have at least 1 items",
    ),
    "a health check without CMD or CMD-SHELL": (
        "a",
        overrides(healthcheck={"test": ["curl"]}),
        "spec.overrides.healthcheck.test",
        "add one, as in",
    ),
    "a config file with a relative path": (
        "a",
        overrides(configFiles=[{"path": "etc/app.conf"}]),
        "spec.overrides.configFiles[0].path",
        "start it with '/'",
    ),
    "a config file path with a .. segment": (
        "a",
        overrides(configFiles=[{"path": "/etc/../root/.profile"}]),
        "spec.overrides.configFiles[0].path",
        "set the path without it",
    ),
    "an invalid file mode": (
        "a",
        overrides(configFiles=[{"path": "/a", "mode": "0888"}]),
        "spec.overrides.configFiles[0].mode",
        "such as 0644",
    ),
}


def parent_cases() -> Iterator[Any]:
    """Yield every scope without a parent, below Global and below another instance, with the suggested fix or None."""
    for scope, rule in SCOPES.items():
        fix = None if rule.may_be_root else "set parentRef.name to"
        yield pytest.param(scope, None, fix, id=f"{scope} without a parent")
        below_global = Scope.GLOBAL in rule.parents
        fix = "set it to" if rule.parents else "remove parentRef"
        yield pytest.param(scope, "global", None if below_global else fix, id=f"{scope} below Global")
        below_other = bool(set(rule.parents) - {Scope.GLOBAL})
        yield pytest.param(scope, "other", None if below_other else "remove parentRef", id=f"{scope} below another")


@pytest.mark.parametrize(("name", "spec"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_valid_spec_is_accepted(dry_run_instances: KubectlInstances, name: str, spec: dict[str, Any]) -> None:
    dry_run_instances.dry_run(name, spec)


@pytest.mark.parametrize(("name", "spec", "field", "fix"), REJECTED.values(), ids=REJECTED.keys())
def test_invalid_spec_is_rejected_with_field_and_fix(
    dry_run_instances: KubectlInstances, name: str, spec: dict[str, Any], field: str, fix: str
) -> None:
    message = refusal(dry_run_instances.dry_run, name, spec)
    assert field in message
    assert fix in message


@pytest.mark.parametrize(("scope", "parent", "fix"), list(parent_cases()))
def test_parent_reference_must_suit_the_scope(
    dry_run_instances: KubectlInstances, scope: Scope, parent: str | None, fix: str | None
) -> None:
    name = "global" if scope is Scope.GLOBAL else "a"
    spec = {"scope": scope} | ({"parentRef": {"name": parent}} if parent else {})
    if fix is None:
        dry_run_instances.dry_run(name, spec)
        return
    message = refusal(dry_run_instances.dry_run, name, spec)
    assert "spec.parentRef" in message
    assert fix in message


@pytest.mark.parametrize("scope", list(Scope))
def test_config_fields_must_belong_to_the_scope(dry_run_instances: KubectlInstances, scope: Scope) -> None:
    """All fields of a scope are accepted together; the error names each field of another scope."""
    values: dict[str, Any] = {
        "routing.strategy": "Rules",
        "routing.fallback": "Rules",
        "capabilities": ["x"],
        "extra": {"a": 1},
    }
    values |= {f"delegation.{field}": True for field in ("enabled", "autoCreateProjectInstances")}
    values |= {f"limits.{field}": 1 for field in ("maxChildInstances", "maxConcurrentTasks", "maxDepth")}
    own = SCOPE_CONFIG[scope].fields.keys()
    base: dict[str, Any] = {"scope": scope}
    if not SCOPES[scope].may_be_root:
        base["parentRef"] = {"name": "other"}
    name = "global" if scope is Scope.GLOBAL else "a"

    dry_run_instances.dry_run(name, base | {"config": nested({path: values[path] for path in own})})
    foreign = values.keys() - own
    if foreign:
        message = refusal(dry_run_instances.dry_run, name, base | {"config": nested({p: values[p] for p in foreign})})
        for path in foreign:
            assert f"config.{path} is a field of scope" in message
        assert message.count("remove it") == len(foreign)


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Turn dotted paths into nested objects."""
    result: dict[str, Any] = {}
    for path, value in values.items():
        *outer, last = path.split(".")
        inner = result
        for step in outer:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return result
