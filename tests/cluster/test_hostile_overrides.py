"""Hostile overrides on a real API server: rejected by its validation, or by the operator when it renders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hopper.api.instance import parse_instance
from hopper.api.resources import INSTANCES, TEMPLATES
from hopper.domain.service.blueprint import prepare_blueprint
from tests.cluster.support.live_instances import LiveInstances, RefusedError, fresh_namespace, manifest
from tests.unit.domain.service.hostile import HOSTILE, TEMPLATE, HostileOverride, RejectedBy
from tests.unit.domain.service.samples import template


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[LiveInstances]:
    """Fresh namespace for dry runs."""
    async with fresh_namespace() as fresh:
        yield fresh


def overrides_rejected_by(by: RejectedBy) -> dict[str, HostileOverride]:
    return {name: hostile for name, hostile in HOSTILE.items() if hostile.by is by}


async def dry_run(live: LiveInstances, overrides: dict[str, Any], validation: str = "Strict") -> dict[str, Any]:
    """Create an instance as a dry run, and return it as the API server would store it."""
    path = f"{INSTANCES.path(live.namespace)}?dryRun=All&fieldValidation={validation}"
    body = manifest("x", templateRef={"name": "web"}, overrides=overrides)
    answer: dict[str, Any] = await live.request("POST", path, body)
    return answer


async def test_unknown_fields_are_rejected_or_dropped(live: LiveInstances, subtests: pytest.Subtests) -> None:
    for name, hostile in overrides_rejected_by(RejectedBy.STRICT).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as error:
                await dry_run(live, hostile.overrides)
            assert error.value.code == 400
            assert "unknown field" in str(error.value)
            assert hostile.field in str(error.value)
            stored = await dry_run(live, hostile.overrides, "Ignore")
            assert hostile.field not in str(stored["spec"].get("overrides", {}))


async def test_invalid_values_are_rejected(live: LiveInstances, subtests: pytest.Subtests) -> None:
    for name, hostile in overrides_rejected_by(RejectedBy.SERVER).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as error:
                await dry_run(live, hostile.overrides)
            assert error.value.code == 422
            assert hostile.field in str(error.value)
            assert "spec.overrides." in str(error.value)


async def test_invalid_values_of_a_template_are_rejected(live: LiveInstances, subtests: pytest.Subtests) -> None:
    path = f"{TEMPLATES.path(live.namespace)}?dryRun=All&fieldValidation=Strict"
    template_head = {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": "x"}}
    for name, hostile in overrides_rejected_by(RejectedBy.SERVER).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as error:
                await live.request("POST", path, {**template_head, "spec": {"image": "web:1", **hostile.overrides}})
            assert error.value.code == 422
            assert hostile.field in str(error.value)


async def test_overrides_that_the_api_server_accepts_are_rejected_by_the_operator(
    live: LiveInstances, subtests: pytest.Subtests
) -> None:
    for name, hostile in overrides_rejected_by(RejectedBy.OPERATOR).items():
        with subtests.test(name):
            stored = parse_instance(await dry_run(live, hostile.overrides))
            problems = [str(problem) for problem in prepare_blueprint(stored, (), template(TEMPLATE)).problems]
            assert any(hostile.field in problem for problem in problems), problems
