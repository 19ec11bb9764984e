"""Fixtures: a namespace that is watched, and an operator, a gateway and simulated pods in it."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import AsyncIterator

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.in_process_gateway import GatewayClient, running_gateway
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.invariants import violations
from tests.cluster.support.kubectl_instances import until
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace
from tests.cluster.support.workloads import Workloads, watched_workloads


@pytest.fixture
def kubeconfig(cluster: Cluster, crds: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of the cluster's kubeconfig, also set in KUBECONFIG."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return str(cluster.kubeconfig)


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[LiveInstances]:
    """Fresh namespace that is watched. After the test, no recorded version may violate an invariant."""
    async with fresh_namespace() as live:
        yield live
        found = violations(live.instances)
    assert not found, "\n".join(found)


@pytest.fixture
async def operator(live: LiveInstances) -> AsyncIterator[Operator]:
    """Operator that runs in the namespace of the test."""
    async with running_operator(live.namespace, metrics_port=0) as operator:
        yield operator


@pytest.fixture(scope="session")
def stages(cluster: Cluster, crds: None) -> None:
    """Simulated pods that behave as their image says (stages/pods.yaml); skip the test on a cluster without them."""
    name = f"probe-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("run", name, "--image=crash:1", "--namespace=default")
    try:
        status: dict[str, object] = {}

        def has_container_status() -> bool:
            pod = json.loads(cluster.kubectl("get", "pod", name, "--namespace=default", "--output=json"))
            status.update(pod["status"])
            return "containerStatuses" in status

        until(has_container_status, "a simulated pod has a container status")
    finally:
        cluster.kubectl("delete", "pod", name, "--namespace=default", "--wait=false")
    if "CrashLoopBackOff" in json.dumps(status):
        return
    why = "the simulated nodes of this cluster were not configured with tests/cluster/stages"
    if os.environ.get("HOPPER_REQUIRE_ALL"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
async def workloads(stages: None, live: LiveInstances, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Workloads]:
    """Workloads of the namespace of the test. After the test, the operator may not have logged any error."""
    async with watched_workloads(live) as workloads:
        yield workloads
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, "\n".join(errors)


@pytest.fixture
async def rest(live: LiveInstances, operator: Operator) -> AsyncIterator[GatewayClient]:
    """Client of a gateway without authentication, which runs beside the operator."""
    async with running_gateway(live.namespace) as rest:
        yield rest
