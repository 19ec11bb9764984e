"""Outage of the API server for half a minute, while two gateways and an operator run as processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hopper.local import Cluster
from tests.cluster.support.convergence import local_cluster_or_skip, until_pods_run
from tests.cluster.support.gateway_process import running_gateway_process
from tests.cluster.support.in_process_gateway import GatewayClient, until_gateways_agree
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.operator_process import running_operator_process

pytestmark = pytest.mark.chaos

OUTAGE_SECONDS = 30
CATCH_UP_SECONDS = 30
# Limit for all requests of one turn: a caller learns about the outage soon, even with a longer timeout.
TURN_SECONDS = 15.0
PROJECT = {"name": "Project", "scope": "PROJECT"}


async def test_two_gateways_survive_an_outage_of_the_api_server(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    local = local_cluster_or_skip(cluster)
    arguments = live.namespace, local.kubeconfig
    async with (
        running_operator_process(*arguments, tmp_path / "operator.log"),
        running_gateway_process(*arguments, tmp_path / "first.log") as first,
        running_gateway_process(*arguments, tmp_path / "second.log") as second,
    ):
        gateways = first.rest, second.rest
        assert (await first.rest.post("/instances", PROJECT | {"id": "web"})).code == 201
        await second.rest.until("/instances/web", status="running")
        await asyncio.to_thread(local.stop_apiserver)
        try:
            async with asyncio.timeout(3 * OUTAGE_SECONDS):
                await _check_during_outage(gateways)
        finally:
            await asyncio.to_thread(local.start_apiserver)
        for rest in gateways:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while (response := await rest.post("/instances", PROJECT | {"id": "later"})).code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            assert response.code in (201, 409), response.text
            await rest.until("/instances/later", status="running", seconds=CATCH_UP_SECONDS)
        for number in range(10):
            writer, reader = gateways if number % 2 else gateways[::-1]
            assert (await writer.post("/instances", PROJECT | {"id": f"new-{number}"})).code == 201
            await reader.until(f"/instances/new-{number}", id=f"new-{number}")
        assert (await second.rest.get("/instances/web/status"))["active_tasks"] == 7
        await live.until_phase("Running", *(f"new-{number}" for number in range(10)))
        await until_gateways_agree(*gateways)
        assert first.is_running
        assert second.is_running
        for log in ("first.log", "second.log"):
            assert "Traceback" not in (tmp_path / log).read_text(errors="replace")
        await asyncio.to_thread(until_pods_run, cluster, live.namespace)


async def _check_during_outage(gateways: tuple[GatewayClient, GatewayClient]) -> None:
    """Check that reads, heartbeats and probes succeed during the outage, and that writes fail soon."""
    end = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < end:
        for rest in gateways:
            async with asyncio.timeout(TURN_SECONDS):
                reads = [await rest.get(path) for path in ("/instances/web", "/registry/health", "/healthz", "/readyz")]
                writes = [
                    await rest.post("/instances", PROJECT | {"id": "never"}),
                    await rest.post("/instances/web/pause?wait=true&timeout=30"),
                    await rest.delete("/instances/web"),
                ]
                heartbeat = await rest.post("/registry/instances/web/heartbeat", {"active_tasks": 7})
            assert [response.code for response in reads] == [200] * 4
            assert [response.code for response in writes] == [503] * 3
            assert {response.headers["retry-after"] for response in writes} == {"1"}
            assert heartbeat.code == 204
        await asyncio.sleep(1)  # part of the outage, not a wait for a condition
