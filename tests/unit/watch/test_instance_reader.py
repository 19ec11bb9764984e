"""Objects that do not fit the contract: what is read of them, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.watch import InstanceReader


def raw(version: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    metadata["resourceVersion"] = str(version)
    return {"metadata": metadata, "spec": {"scope": "Project", **spec}, "status": status or {}}


def test_what_fits_has_no_problems() -> None:
    reader = InstanceReader()
    instance = reader.read(raw(displayName="A"))
    assert instance is not None
    assert reader.problems(instance) == ()


def test_a_wrong_field_is_left_out_and_named() -> None:
    reader = InstanceReader()
    instance = reader.read(raw(displayName="A", restartPolicy={"maxRetries": "many", "policy": "Always"}))
    assert instance is not None
    assert instance.spec.display_name == "A"
    assert instance.spec.restart_policy is None
    (problem,) = reader.problems(instance)
    assert problem.startswith(
        "spec.restartPolicy.maxRetries: invalid value, correct it: Input should be a valid integer"
    )


def test_a_status_in_unknown_words_is_no_problem_of_the_spec() -> None:
    reader = InstanceReader()
    dreamt = {"from": "Running", "to": "Dreaming", "time": "2026-01-01T00:00:00Z", "reason": "Night"}
    instance = reader.read(raw(status={"phase": "Dreaming", "restarts": 3, "history": [dreamt]}))
    assert instance is not None
    assert (instance.status.phase, instance.status.restarts) == ("Created", 3)
    assert [(it.from_, it.to) for it in instance.status.history] == [("Running", "Dreaming")]
    assert reader.problems(instance) == ()


def test_problems_belong_to_one_version() -> None:
    """An answer to an older write may come in after the watch has told of a newer version."""
    reader = InstanceReader()
    wrong, right = raw(1, replicas="two"), raw(2, replicas=2)
    mended = reader.read(right)
    late = reader.read(wrong)
    assert mended is not None
    assert late is not None
    assert reader.problems(mended) == ()
    assert reader.problems(late)


def test_nothing_can_be_made_of_an_unknown_scope(caplog: pytest.LogCaptureFixture) -> None:
    reader = InstanceReader()
    assert reader.read(raw(scope="Galaxy")) is None
    assert "spec.scope" in caplog.text
    assert reader.read(raw()) is not None


def test_what_is_gone_is_forgotten() -> None:
    reader = InstanceReader()
    wrong = reader.read(raw(1, replicas="two"))
    assert wrong is not None
    assert reader.problems(wrong)
    reader.forget("u")
    assert reader.problems(wrong) == ()
