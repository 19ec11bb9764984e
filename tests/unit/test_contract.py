"""The wire contract: round trips, unknown fields and values, and the size of records."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hopper.api.conditions import ConditionType
from hopper.api.enums import DesiredState, InstanceType, Phase, RestartMode, Scope
from hopper.api.instance import (
    HISTORY_LIMIT,
    ChildCounts,
    HistoryEntry,
    HopperInstance,
    InstanceSpec,
    InstanceStatus,
    RestartPolicy,
    dump_status,
    parse_instance,
)
from hopper.api.model import Condition, dump
from hopper.api.resources import INSTANCES

WHEN = "2026-03-01T12:00:00Z"
METADATA: dict[str, Any] = {
    "name": "worker-1",
    "namespace": "demo",
    "uid": "0b6f0a64-6f0f-4a53-93f3-dd1b1f3bd1a7",
    "resourceVersion": "4711",
    "generation": 3,
    "creationTimestamp": WHEN,
    "labels": {"team": "a"},
    "finalizers": ["hopper.dev/ordered-deletion"],
    "ownerReferences": [
        {
            "apiVersion": "hopper.dev/v1",
            "kind": "HopperInstance",
            "name": "web",
            "uid": "2f5c9f10-0c0e-4e6c-8c42-3b1a3c1a8f11",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ],
}
SPEC: dict[str, Any] = {
    "scope": "Orchestration",
    "type": "Ephemeral",
    "parentRef": {"name": "web"},
    "desiredState": "Paused",
    "restartedAt": WHEN,
    "renamedFrom": {"name": "worker-0", "claimPrefix": "hopper-web-worker-0"},
    "displayName": "Worker №1",
    "description": "Works.",
    "config": {
        "routing": {"strategy": "Rules", "fallback": "Rules"},
        "delegation": {"enabled": True, "autoCreateProjectInstances": False},
        "limits": {"maxChildInstances": 1, "maxConcurrentTasks": 2, "maxDepth": 3},
        "capabilities": ["gpu", "eu"],
        "extra": {"nested": {"camelCase": [1, 2.5, "three", None, {"four": True}]}},
    },
    "templateRef": {"name": "python.worker"},
    "overrides": {
        "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 8080, "hostIP": "127.0.0.1"}],
        "volumes": [
            {
                "target": "/data",
                "type": "volume",
                "source": "data",
                "size": "1Gi",
                "readOnly": True,
                "external": True,
            }
        ],
        "env": [
            {"name": "A", "value": "1", "secret": True},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        ],
        "labels": [{"name": "example.org/tier", "value": "back"}],
        "domains": [{"domain": "*.example.org", "proxyPort": 80}],
        "healthcheck": {
            "test": ["CMD", "true"],
            "intervalSeconds": 5,
            "timeoutSeconds": 2,
            "retries": 1,
            "startPeriodSeconds": 9,
        },
        "configFiles": [{"path": "/etc/a", "content": "x", "mode": "0600", "template": True}],
    },
    "replicas": 2,
    "restartPolicy": {"policy": "Always", "maxRetries": 1, "backoffSeconds": 2, "maxBackoffSeconds": 3},
    "heartbeat": {"timeoutSeconds": 30},
    "ttlSecondsAfterFinished": 60,
    "deletionProtection": True,
    "reason": "because",
}
STATUS: dict[str, Any] = {
    "phase": "Paused",
    "effectiveState": "Paused",
    "observedGeneration": 3,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Paused",
            "message": "because",
            "lastTransitionTime": WHEN,
            "observedGeneration": 3,
        }
    ],
    "startedAt": WHEN,
    "stoppedAt": WHEN,
    "lastTransitionTime": WHEN,
    "history": [{"from": "Running", "to": "Paused", "time": WHEN, "reason": "DesiredState", "message": "because"}],
    "path": "global/web/worker-1",
    "depth": 2,
    "children": {"total": 2, "ready": 1},
    "restarts": 4,
    "retries": 1,
    "restartedAt": WHEN,
    "replicas": 2,
    "selector": "hopper.dev/instance=worker-1",
    "workloadName": "hopper-web-worker-1",
    "claimPrefix": "hopper-web-worker-0",
    "predecessor": "uid-0",
    "overrideCount": 9,
    "templateGeneration": 5,
}

_SPEC: TypeAdapter[InstanceSpec] = TypeAdapter(InstanceSpec)


def read(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> HopperInstance:
    return parse_instance(
        {
            "apiVersion": "hopper.dev/v1",
            "kind": "HopperInstance",
            "metadata": METADATA | metadata,
            "spec": {"scope": "Project"} if spec is None else spec,
            **({} if status is None else {"status": status}),
        }
    )


def test_the_samples_have_every_field() -> None:
    """A new field must be added to the samples above."""
    properties = {
        model: set(TypeAdapter(model).json_schema(by_alias=True)["properties"])
        for model in (InstanceSpec, InstanceStatus)
    }
    assert set(SPEC) == properties[InstanceSpec]
    assert set(STATUS) == properties[InstanceStatus]


def test_a_spec_survives_a_round_trip() -> None:
    assert dump(_SPEC, read(SPEC).spec) == SPEC


def test_a_status_survives_a_round_trip() -> None:
    assert dump_status(read(status=STATUS).status) == STATUS


def test_metadata_is_parsed() -> None:
    instance = read(deletionTimestamp=WHEN)
    assert (instance.name, instance.namespace, instance.metadata.uid) == ("worker-1", "demo", METADATA["uid"])
    assert (instance.metadata.resource_version, instance.metadata.generation) == ("4711", 3)
    assert (
        instance.metadata.creation_timestamp
        == instance.metadata.deletion_timestamp
        == datetime(2026, 3, 1, 12, tzinfo=UTC)
    )
    assert instance.metadata.labels == {"team": "a"}
    assert instance.metadata.finalizers == ("hopper.dev/ordered-deletion",)
    (owner,) = instance.metadata.owner_references
    assert (owner.name, owner.controller, owner.block_owner_deletion) == ("web", True, True)


def test_unset_fields_have_defaults() -> None:
    instance = read()
    assert instance.spec == InstanceSpec(
        scope=Scope.PROJECT,
        desired_state=DesiredState.RUNNING,
        replicas=1,
        restart_policy=None,
        deletion_protection=False,
    )
    assert RestartPolicy() == RestartPolicy(
        policy=RestartMode.ON_FAILURE, max_retries=5, backoff_seconds=10, max_backoff_seconds=300
    )
    assert instance.status == InstanceStatus(phase=Phase.CREATED)
    assert instance.parent_name is None
    assert not instance.status.is_ready


def test_an_empty_status_equals_a_missing_one() -> None:
    assert read(status={}).status == read().status


@pytest.mark.parametrize("scope", Scope)
def test_the_default_type_depends_on_the_scope(scope: Scope) -> None:
    by_scope = {Scope.GLOBAL: InstanceType.SINGLETON, Scope.EVENT: InstanceType.EPHEMERAL}
    assert read({"scope": scope}).spec.effective_type is by_scope.get(scope, InstanceType.PERSISTENT)
    assert read({"scope": scope, "type": "Ephemeral"}).spec.effective_type is InstanceType.EPHEMERAL


def with_unknown_fields(value: Any) -> Any:
    """Return a copy with an unknown field in each nested object, except in free-form ones."""
    if isinstance(value, list):
        return [with_unknown_fields(item) for item in value]
    if not isinstance(value, dict):
        return value
    known = {key: child if key in ("extra", "labels") else with_unknown_fields(child) for key, child in value.items()}
    return known | {"fromTheFuture": {"a": [1]}}


def test_unknown_fields_are_ignored() -> None:
    """An operator must be able to read the objects of a newer CRD."""
    plain = parse_instance({"metadata": METADATA, "spec": SPEC, "status": STATUS})
    assert parse_instance(with_unknown_fields({"metadata": METADATA, "spec": SPEC, "status": STATUS})) == plain


def test_unknown_conditions_and_reasons_are_kept() -> None:
    """After a rollback, an operator must be able to read the status of a newer one."""
    unknown = {"type": "Sleepy", "status": "Unknown", "reason": "FullMoon", "lastTransitionTime": WHEN}
    status = read(status=STATUS | {"conditions": [unknown, *STATUS["conditions"]]}).status
    assert [condition.type for condition in status.conditions] == ["Sleepy", "Ready"]
    assert status.is_ready
    assert status.condition(ConditionType.STALLED) is None
    history = [STATUS["history"][0] | {"reason": "FullMoon"}]
    assert read(status={"history": history}).status.history[0].reason == "FullMoon"


INVALID_FIELDS: dict[str, tuple[str, Any]] = {
    "unknown scope": ("scope", "Galaxy"),
    "unknown state": ("desiredState", "Asleep"),
    "not a name": ("parentRef", {"name": "Not A Name"}),
    "no name": ("templateRef", {}),
    "negative": ("replicas", -1),
    "not a number": ("ttlSecondsAfterFinished", "soon"),
    "too long": ("displayName", "x" * 256),
    "out of bounds": ("heartbeat", {"timeoutSeconds": 0}),
    "not a date": ("restartedAt", "yesterday"),
}


@pytest.mark.parametrize("case", INVALID_FIELDS.values(), ids=INVALID_FIELDS)
def test_the_error_for_an_invalid_field_names_it(case: tuple[str, Any]) -> None:
    field, value = case
    with pytest.raises(ValidationError) as caught:
        read({"scope": "Project"} | {field: value})
    assert {error["loc"][:2] for error in caught.value.errors()} == {("spec", field)}


def test_unset_status_fields_are_not_written() -> None:
    """Counters that start at 0 are written. Unset fields are omitted, never null."""
    assert dump_status(InstanceStatus()) == {
        "phase": "Created",
        "conditions": [],
        "history": [],
        "restarts": 0,
        "retries": 0,
    }


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
texts = st.text(max_size=40)
counts = st.integers(0, 2**31)
statuses = st.builds(
    InstanceStatus,
    phase=st.sampled_from(Phase),
    effective_state=st.none() | st.sampled_from(DesiredState),
    observed_generation=st.none() | counts,
    conditions=st.lists(
        st.builds(
            Condition,
            type=texts,
            status=st.sampled_from(["True", "False", "Unknown"]),
            reason=texts,
            message=texts,
            last_transition_time=moments,
            observed_generation=st.none() | counts,
        ),
        max_size=3,
    ).map(tuple),
    history=st.lists(
        st.builds(
            HistoryEntry,
            from_=st.sampled_from(Phase),
            to=st.sampled_from(Phase),
            time=moments,
            reason=texts,
            message=texts,
        ),
        max_size=HISTORY_LIMIT,
    ).map(tuple),
    children=st.none() | st.builds(ChildCounts, total=counts, ready=counts),
    started_at=st.none() | moments,
    restarted_at=st.none() | moments,
    restarts=counts,
    path=st.none() | texts,
)


@given(status=statuses)
def test_any_status_survives_a_round_trip(status: InstanceStatus) -> None:
    wire = json.loads(json.dumps(dump_status(status)))
    assert "null" not in json.dumps(wire).replace('"null"', "")
    assert read(status=wire).status == status


def test_times_with_another_offset_are_equal() -> None:
    berlin = read({"scope": "Project", "restartedAt": "2026-03-01T13:00:00+01:00"}).spec.restarted_at
    assert berlin == read({"scope": "Project", "restartedAt": WHEN}).spec.restarted_at
    status = replace(InstanceStatus(), restarted_at=berlin)
    assert read(status=dump_status(status)).status.restarted_at == berlin


def test_records_are_immutable() -> None:
    instance = read()
    with pytest.raises(FrozenInstanceError):
        instance.spec = read(SPEC).spec  # type: ignore[misc]


def typical(number: int) -> dict[str, Any]:
    """Return a running child with its own name and times."""
    name, when = f"worker-{number}", (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    condition = {"status": "True", "message": "", "lastTransitionTime": when, "observedGeneration": 1}
    step = {"time": when, "reason": "DesiredState", "message": ""}
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"0b6f0a64-6f0f-4a53-93f3-{number:012}",
            "resourceVersion": str(100_000 + number),
            "generation": 1,
            "creationTimestamp": when,
            "ownerReferences": METADATA["ownerReferences"],
        },
        "spec": {
            "scope": "Orchestration",
            "parentRef": {"name": "web"},
            "desiredState": "Running",
            "replicas": 1,
            "restartPolicy": {"policy": "OnFailure", "maxRetries": 5, "backoffSeconds": 10, "maxBackoffSeconds": 300},
            "deletionProtection": False,
        },
        "status": {
            "phase": "Running",
            "effectiveState": "Running",
            "observedGeneration": 1,
            "conditions": [
                {"type": "Ready", "reason": "Running", **condition},
                {"type": "HierarchyValid", "reason": "ParentAccepted", **condition},
            ],
            "startedAt": when,
            "lastTransitionTime": when,
            "history": [
                {"from": "Created", "to": "Starting", **step},
                {"from": "Starting", "to": "Running", **step},
            ],
            "path": f"global/web/{name}",
            "depth": 2,
            "restarts": 0,
            "retries": 0,
        },
    }


def test_a_record_takes_at_most_2_kib() -> None:
    """The indexes keep a record for each instance: 5,000 of them take about 10 MiB."""
    count = 500
    wires = [json.dumps(typical(number)) for number in range(count)]
    parse_instance(json.loads(wires[0]))
    gc.collect()
    tracemalloc.start()
    try:
        records = [parse_instance(json.loads(wire)) for wire in wires]
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(records) == count
    assert size / count <= 2048


def test_names_are_quoted_in_paths() -> None:
    path = "/apis/hopper.dev/v1/namespaces/demo/hopperinstances/"
    assert INSTANCES.path("demo", "../../other/x?y") == f"{path}..%2F..%2Fother%2Fx%3Fy"
    assert INSTANCES.path("a/b") == "/apis/hopper.dev/v1/namespaces/a%2Fb/hopperinstances"
