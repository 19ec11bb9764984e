"""The instances in `manifests/samples/` reach their desired states."""

from __future__ import annotations

from typing import Any

import yaml

from tests.e2e.release import InstanceNamespace, request, until
from tests.e2e.site import ROOT

SAMPLES = ROOT / "manifests" / "samples"


def sample_specs() -> dict[str, dict[str, Any]]:
    """Return the spec of each sample instance by its name."""
    files = sorted(SAMPLES.glob("*.yaml"))
    manifests = [manifest for file in files for manifest in yaml.safe_load_all(file.read_text()) if manifest]
    return {
        manifest["metadata"]["name"]: manifest["spec"] for manifest in manifests if manifest["kind"] == "HopperInstance"
    }


def test_the_samples_reach_their_desired_states(namespace: InstanceNamespace) -> None:
    namespace.kubectl("apply", "--server-side", f"--filename={SAMPLES}")
    specs = sample_specs()
    with_template = [name for name, spec in specs.items() if "templateRef" in spec]
    assert with_template, "no sample has a template"
    for name, spec in specs.items():
        if name not in with_template or namespace.release.site.has_sample_images:
            namespace.await_phase(spec.get("desiredState", "Running"), name)
    if namespace.release.site.has_sample_images:
        url = f"http://{namespace.workload_name('shop-web')}.{namespace.name}/about"
        until(
            lambda: request(namespace.release.cluster, url),
            (200, "shop/shop-web in Europe/Berlin\n"),
            "the sample answers through its Service",
        )
