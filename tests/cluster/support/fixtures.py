"""An operator at work in a namespace of its own, and the instances there."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import AsyncIterator

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.in_process_gateway import InProcessGateway, serving
from tests.cluster.support.in_process_operator import running
from tests.cluster.support.invariants import violations
from tests.cluster.support.kubectl_instances import until
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace
from tests.cluster.support.workloads import Workloads, watching_workloads


@pytest.fixture
def kubeconfig(cluster: Cluster, crds: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the cluster's kubeconfig, which KUBECONFIG names."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return str(cluster.kubeconfig)


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[LiveInstances]:
    """A fresh namespace under observation. After the test, nothing that was seen there may have been wrong."""
    async with fresh_namespace() as live:
        yield live
        found = violations(live.instances)
    assert not found, "\n".join(found)


@pytest.fixture
async def operator(live: LiveInstances) -> AsyncIterator[Operator]:
    """An operator at work in that namespace."""
    async with running(live.namespace, metrics_port=0) as operator:
        yield operator


@pytest.fixture(scope="session")
def stages(cluster: Cluster, crds: None) -> None:
    """Simulated pods that behave as their image says (stages/pods.yaml); a cluster without them is of no use here."""
    name = f"probe-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("run", name, "--image=crash:1", "--namespace=default")
    try:
        seen: dict[str, object] = {}

        def has_begun() -> bool:
            found = json.loads(cluster.kubectl("get", "pod", name, "--namespace=default", "--output=json"))
            seen.update(found["status"])
            return "containerStatuses" in seen

        until(has_begun, "a simulated pod that does something")
    finally:
        cluster.kubectl("delete", "pod", name, "--namespace=default", "--wait=false")
    if "CrashLoopBackOff" in json.dumps(seen):
        return
    why = "the simulated nodes of this cluster do not know tests/cluster/stages"
    if os.environ.get("HOPPER_REQUIRE_ALL"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
async def workloads(stages: None, live: LiveInstances, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Workloads]:
    """What the instances of that namespace run. After the test, the operator may not have failed at anything."""
    async with watching_workloads(live) as workloads:
        yield workloads
    failures = [it.getMessage() for it in caplog.get_records("call") if it.levelno >= logging.ERROR]
    assert not failures, "\n".join(failures)


@pytest.fixture
async def rest(live: LiveInstances, operator: Operator) -> AsyncIterator[InProcessGateway]:
    """A gateway, open to everybody, beside the operator of that namespace."""
    async with serving(live.namespace) as rest:
        yield rest
