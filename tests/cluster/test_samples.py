"""`manifests/samples`, applied all at once with an operator at work: each instance gets where it wants to be."""

from __future__ import annotations

import asyncio

import yaml

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import Workloads
from tests.packaging.helm import ROOT

SAMPLES = ROOT / "manifests" / "samples"


def wanted() -> dict[str, str]:
    """Return the desired state of each instance in the samples."""
    documents = (it for path in SAMPLES.glob("*.yaml") for it in yaml.safe_load_all(path.read_text(encoding="utf-8")))
    instances = (it for it in documents if it["kind"] == "HopperInstance")
    return {it["metadata"]["name"]: it["spec"].get("desiredState", "Running") for it in instances}


async def test_each_gets_where_it_wants_to_be(
    cluster: Cluster, live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    place = f"--namespace={live.namespace}"
    await asyncio.to_thread(cluster.kubectl, "apply", "--server-side", place, "--filename", str(SAMPLES))
    states = wanted()
    await live.until(lambda: live.names == states.keys(), "all are there")
    for state in set(states.values()):
        await live.until_phase(state, *(name for name, its in states.items() if its == state), seconds=60)
    await live.until(lambda: all(map(live.is_ready, states)), "all are ready")
    kinds = {
        kind
        for name in ("shop-web", "shop-mirror", "site-edge", "site-origin")
        for kind in workloads.owned_objects(name)
    }
    assert kinds == {"Deployment", "Service", "ConfigMap", "Secret", "PersistentVolumeClaim", "Ingress"}
    await live.edit("records", deletionProtection=False)
