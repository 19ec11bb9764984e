"""Overrides that mean harm, on a real API server: what it does not refuse itself, the operator refuses to run."""

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
async def nowhere(kubeconfig: str) -> AsyncIterator[LiveInstances]:
    """A fresh namespace in which nothing is written."""
    async with fresh_namespace() as live:
        yield live


def of(by: RejectedBy) -> dict[str, HostileOverride]:
    return {name: hostile for name, hostile in HOSTILE.items() if hostile.by is by}


async def dry_run(live: LiveInstances, overrides: dict[str, Any], validation: str = "Strict") -> dict[str, Any]:
    """Have an instance checked by everything that a real write passes."""
    path = f"{INSTANCES.path(live.namespace)}?dryRun=All&fieldValidation={validation}"
    body = manifest("x", templateRef={"name": "web"}, overrides=overrides)
    answer: dict[str, Any] = await live.request("POST", path, body)
    return answer


async def test_what_the_contract_has_no_word_for_is_refused_or_dropped(
    nowhere: LiveInstances, subtests: pytest.Subtests
) -> None:
    for name, hostile in of(RejectedBy.STRICT).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as refused:
                await dry_run(nowhere, hostile.overrides)
            assert refused.value.code == 400
            assert "unknown field" in str(refused.value)
            assert hostile.field in str(refused.value)
            kept = await dry_run(nowhere, hostile.overrides, "Ignore")
            assert hostile.field not in str(kept["spec"].get("overrides", {}))


async def test_what_breaks_a_rule_is_refused(nowhere: LiveInstances, subtests: pytest.Subtests) -> None:
    for name, hostile in of(RejectedBy.SERVER).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as refused:
                await dry_run(nowhere, hostile.overrides)
            assert refused.value.code == 422
            assert hostile.field in str(refused.value)
            assert "spec.overrides." in str(refused.value)


async def test_a_template_meets_the_same_rules(nowhere: LiveInstances, subtests: pytest.Subtests) -> None:
    path = f"{TEMPLATES.path(nowhere.namespace)}?dryRun=All&fieldValidation=Strict"
    head = {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": "x"}}
    for name, hostile in of(RejectedBy.SERVER).items():
        with subtests.test(name):
            with pytest.raises(RefusedError) as refused:
                await nowhere.request("POST", path, {**head, "spec": {"image": "web:1", **hostile.overrides}})
            assert refused.value.code == 422
            assert hostile.field in str(refused.value)


async def test_the_rest_is_never_rendered(nowhere: LiveInstances, subtests: pytest.Subtests) -> None:
    for name, hostile in of(RejectedBy.OPERATOR).items():
        with subtests.test(name):
            stored = parse_instance(await dry_run(nowhere, hostile.overrides))
            found = [str(problem) for problem in prepare_blueprint(stored, (), template(TEMPLATE)).problems]
            assert any(hostile.field in problem for problem in found), found
