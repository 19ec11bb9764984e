"""Instances with invalid fields: which fields are kept, and which problems are reported."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.watch import InstanceReader


def manifest(version: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    metadata["resourceVersion"] = str(version)
    return {"metadata": metadata, "spec": {"scope": "Project", **spec}, "status": status or {}}


def test_a_valid_instance_has_no_problems() -> None:
    reader = InstanceReader()
    instance = reader.read(manifest(displayName="A"))
    assert instance is not None
    assert reader.problems(instance) == ()


def test_an_invalid_field_is_left_out_and_reported() -> None:
    reader = InstanceReader()
    instance = reader.read(manifest(displayName="A", restartPolicy={"maxRetries": "many", "policy": "Always"}))
    assert instance is not None
    assert instance.spec.display_name == "A"
    assert instance.spec.restart_policy is None
    (problem,) = reader.problems(instance)
    assert problem.startswith(
        "spec.restartPolicy.maxRetries: invalid value, correct it: Input should be a valid integer"
    )


def test_an_invalid_status_is_no_problem_of_the_spec() -> None:
    reader = InstanceReader()
    unknown = {"from": "Running", "to": "Dreaming", "time": "2026-01-01T00:00:00Z", "reason": "Night"}
    instance = reader.read(manifest(status={"phase": "Dreaming", "restarts": 3, "history": [unknown]}))
    assert instance is not None
    assert (instance.status.phase, instance.status.restarts) == ("Created", 3)
    assert [(transition.from_, transition.to) for transition in instance.status.history] == [("Running", "Dreaming")]
    assert reader.problems(instance) == ()


def test_problems_belong_to_one_version() -> None:
    """The answer to an older write may arrive after the watch event of a newer version."""
    reader = InstanceReader()
    invalid, valid = manifest(1, replicas="two"), manifest(2, replicas=2)
    valid_instance = reader.read(valid)
    older_instance = reader.read(invalid)
    assert valid_instance is not None
    assert older_instance is not None
    assert reader.problems(valid_instance) == ()
    assert reader.problems(older_instance)


def test_a_late_watch_event_does_not_hide_the_problems_of_a_newer_version() -> None:
    """The watch event of a first write may arrive after the answer to a second one."""
    reader = InstanceReader()
    newer = reader.read(manifest(10, replicas="two"))
    reader.read(manifest(9, replicas="two"))
    assert newer is not None
    assert reader.problems(newer)


def test_an_instance_with_an_unknown_scope_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    reader = InstanceReader()
    assert reader.read(manifest(scope="Galaxy")) is None
    assert "spec.scope" in caplog.text
    assert reader.read(manifest()) is not None


def test_the_problems_of_a_deleted_instance_are_forgotten() -> None:
    reader = InstanceReader()
    instance = reader.read(manifest(1, replicas="two"))
    assert instance is not None
    assert reader.problems(instance)
    reader.forget("u")
    assert reader.problems(instance) == ()


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (nested(65), "nested more than 64 levels deep"),
        ({"a": float("inf")}, "a number in it is too large"),
        ({"a": ["\ud800"]}, "a text in it is not valid Unicode"),
        ([1], "invalid value, correct it: Input should be a valid dictionary"),
    ],
    ids=range(4),
)
def test_only_the_invalid_field_of_config_is_left_out(extra: object, problem: str) -> None:
    reader = InstanceReader()
    config = {"capabilities": ["gpu"], "limits": {"maxDepth": 3}, "extra": extra}
    instance = reader.read(manifest(config=config, replicas=3))
    assert instance is not None
    assert instance.spec.config is not None
    assert (instance.spec.config.extra, instance.spec.config.capabilities) == (None, ("gpu",))
    assert instance.spec.replicas == 3
    (message,) = reader.problems(instance)
    assert message.startswith(f"spec.config.extra: {problem}")


def test_a_config_that_is_no_object_is_left_out() -> None:
    reader = InstanceReader()
    instance = reader.read(manifest(config=[1]))
    assert instance is not None
    assert instance.spec.config is None
    assert reader.problems(instance)[0].startswith("spec.config: ")
