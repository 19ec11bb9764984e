"""What is applied where a live object does not allow all of what was rendered."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.domain.service.drift import manifest_to_apply
from hopper.domain.service.render import Manifest, Mode
from tests.unit.domain.service.samples import blueprint, rendered

VOLUME = {"volumes": [{"target": "/data", "size": "2Gi"}]}
COMPLETE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2}
STUCK = {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 1}


@pytest.mark.parametrize(
    ("there", "asked"), [("1Gi", "2Gi"), ("2Gi", "2Gi"), ("2048Mi", "2048Mi"), ("2.5Gi", "2.5Gi"), ("1Ti", "1Ti")]
)
def test_a_claim_never_shrinks(there: str, asked: str) -> None:
    claim = rendered(blueprint(VOLUME))["PersistentVolumeClaim"]
    live = {**claim, "spec": {**claim["spec"], "resources": {"requests": {"storage": there}}}}
    assert manifest_to_apply(claim, live, Mode.UP)["spec"] == claim["spec"] | {
        "resources": {"requests": {"storage": asked}}
    }
    for ended in (Mode.ARCHIVED, Mode.TERMINATED):
        assert manifest_to_apply(claim, live, ended)["spec"] == live["spec"], (
            "nor does it grow once the instance has ended"
        )


def deployed(status: dict[str, Any], spec: dict[str, Any] | None = None) -> Manifest:
    made = rendered(blueprint(spec, replicas=2))["Deployment"]
    return {**made, "metadata": {**made["metadata"], "generation": 3}, "status": status}


@pytest.mark.parametrize("mode", [Mode.UP, Mode.STOPPED])
@pytest.mark.parametrize("status", [STUCK, COMPLETE | {"observedGeneration": 2}, {}], ids=["stuck", "unseen", "new"])
def test_what_becomes_a_recreate_in_mid_rollout_is_emptied_first(status: dict[str, Any], mode: Mode) -> None:
    live, wanted = deployed(status), rendered(blueprint(VOLUME), mode)["Deployment"]
    first = manifest_to_apply(wanted, live, mode)
    assert first["spec"] == wanted["spec"] | {"replicas": 0, "strategy": live["spec"]["strategy"]}
    assert first["metadata"] == wanted["metadata"]
    empty = {**live, "status": {"observedGeneration": 3}}
    assert manifest_to_apply(wanted, empty, mode) == wanted


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        (deployed(COMPLETE), VOLUME),
        (deployed(STUCK), {"image": "web:2"}),
        (deployed(STUCK, VOLUME), VOLUME | {"image": "web:2"}),
        (deployed(STUCK, VOLUME), {}),
    ],
    ids=["complete", "rolls on", "was one before", "is one no more"],
)
def test_everything_else_is_applied_as_it_is(live: Manifest, wanted: dict[str, Any]) -> None:
    manifest = rendered(blueprint(wanted))["Deployment"]
    assert manifest_to_apply(manifest, live, Mode.UP) == manifest
