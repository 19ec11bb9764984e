"""The API server goes away for half a minute, under two gateways and an operator that are processes of their own."""

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
# Nobody is to be kept waiting for what cannot be, though he would wait for longer.
ANSWER_SECONDS = 15.0
PROJECT = {"name": "Project", "scope": "PROJECT"}


async def test_two_gateways_outlive_the_api_server(cluster: Cluster, live: LiveInstances, tmp_path: Path) -> None:
    local = local_cluster_or_skip(cluster)
    where = live.namespace, local.kubeconfig
    async with (
        running_operator_process(*where, tmp_path / "operator.log"),
        running_gateway_process(*where, tmp_path / "first.log") as first,
        running_gateway_process(*where, tmp_path / "second.log") as second,
    ):
        gateways = first.rest, second.rest
        assert (await first.rest.post("/instances", PROJECT | {"id": "web"})).code == 201
        await second.rest.until("/instances/web", status="running")
        await asyncio.to_thread(local.stop_apiserver)
        try:
            async with asyncio.timeout(3 * OUTAGE_SECONDS):
                await _through_the_outage(gateways)
        finally:
            await asyncio.to_thread(local.start_apiserver)
        for rest in gateways:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while (answer := await rest.post("/instances", PROJECT | {"id": "later"})).code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            assert answer.code in (201, 409), answer.text
            await rest.until("/instances/later", status="running", seconds=CATCH_UP_SECONDS)
        for number in range(10):
            one, other = gateways if number % 2 else gateways[::-1]
            assert (await one.post("/instances", PROJECT | {"id": f"new-{number}"})).code == 201
            await other.until(f"/instances/new-{number}", id=f"new-{number}")
        assert (await second.rest.get("/instances/web/status"))["active_tasks"] == 7
        await live.until_phase("Running", *(f"new-{number}" for number in range(10)))
        await until_gateways_agree(*gateways)
        assert first.is_running
        assert second.is_running
        for log in ("first.log", "second.log"):
            assert "Traceback" not in (tmp_path / log).read_text(errors="replace")
        await asyncio.to_thread(until_pods_run, cluster, live.namespace)


async def _through_the_outage(gateways: tuple[GatewayClient, GatewayClient]) -> None:
    """Reads go on, signs of life are kept, writes are refused soon; nobody is to restart a gateway for this."""
    until = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < until:
        for rest in gateways:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = [await rest.get(it) for it in ("/instances/web", "/registry/health", "/healthz", "/readyz")]
                written = [
                    await rest.post("/instances", PROJECT | {"id": "never"}),
                    await rest.post("/instances/web/pause?wait=true&timeout=30"),
                    await rest.delete("/instances/web"),
                ]
                beat = await rest.post("/registry/instances/web/heartbeat", {"active_tasks": 7})
            assert [it.code for it in found] == [200] * 4
            assert [it.code for it in written] == [503] * 3
            assert {it.headers["retry-after"] for it in written} == {"1"}
            assert beat.code == 204
        await asyncio.sleep(1)  # this is the outage: nothing is waited for
