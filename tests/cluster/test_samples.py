"""The samples in `manifests/samples`, applied at once while an operator runs."""

from __future__ import annotations

import asyncio

import yaml

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import Workloads
from tests.packaging.helm import ROOT

SAMPLES = ROOT / "manifests" / "samples"


def desired_states() -> dict[str, str]:
    """Return the desired state of each instance in the samples."""
    files = (path.read_text(encoding="utf-8") for path in SAMPLES.glob("*.yaml"))
    documents = (document for file in files for document in yaml.safe_load_all(file))
    instances = (document for document in documents if document["kind"] == "HopperInstance")
    return {instance["metadata"]["name"]: instance["spec"].get("desiredState", "Running") for instance in instances}


async def test_every_sample_reaches_its_desired_state(
    cluster: Cluster, live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    namespace = f"--namespace={live.namespace}"
    await asyncio.to_thread(cluster.kubectl, "apply", "--server-side", namespace, "--filename", str(SAMPLES))
    states = desired_states()
    await live.until(lambda: live.names == states.keys(), "all samples exist")
    for state in set(states.values()):
        await live.until_phase(state, *(name for name, desired in states.items() if desired == state), seconds=60)
    await live.until(lambda: all(map(live.is_ready, states)), "all samples are ready")
    kinds = {
        kind
        for name in ("shop-web", "shop-mirror", "site-edge", "site-origin")
        for kind in workloads.owned_objects(name)
    }
    assert kinds == {"Deployment", "Service", "ConfigMap", "Secret", "PersistentVolumeClaim", "Ingress"}
    await live.edit("records", deletionProtection=False)
