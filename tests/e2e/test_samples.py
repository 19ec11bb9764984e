"""`manifests/samples/` do what they promise."""

from __future__ import annotations

from typing import Any

import yaml

from tests.e2e.hopper import Space, request, until
from tests.e2e.site import ROOT

SAMPLES = ROOT / "manifests" / "samples"


def wanted() -> dict[str, dict[str, Any]]:
    """The instances in the samples, by name."""
    documents = [it for file in sorted(SAMPLES.glob("*.yaml")) for it in yaml.safe_load_all(file.read_text())]
    return {it["metadata"]["name"]: it["spec"] for it in documents if it and it["kind"] == "HopperInstance"}


def test_the_samples_reach_what_they_want(space: Space) -> None:
    space.kubectl("apply", "--server-side", f"--filename={SAMPLES}")
    instances = wanted()
    running = [name for name, spec in instances.items() if "templateRef" in spec]
    assert running, "no sample runs anything"
    for name, spec in instances.items():
        if name not in running or space.system.site.samples_run:
            space.await_phase(spec.get("desiredState", "Running"), name)
    if space.system.site.samples_run:
        url = f"http://{space.workload('shop-web')}.{space.name}/about"
        until(
            lambda: request(space.system.cluster, url),
            (200, "shop/shop-web in Europe/Berlin\n"),
            "the sample answers through its Service",
        )
