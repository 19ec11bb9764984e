"""The metrics and probe endpoints of the operator, over HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from hopper.controller.monitoring import OperatorMetrics, StatusServer


class Endpoints:
    """A server whose problems are set by the test."""

    def __init__(self) -> None:
        self.unhealthy: list[str] = []
        self.unready: list[str] = []
        self.metrics = OperatorMetrics()
        self.server = StatusServer(self.metrics, lambda: self.unhealthy, lambda: self.unready)

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.content_type == "text/plain"
            return response.status, await response.text()


@pytest.fixture
async def endpoints() -> AsyncIterator[Endpoints]:
    started = Endpoints()
    await started.server.start(0, "127.0.0.1")
    yield started
    await started.server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])])
async def test_the_server_listens_on_every_address(address: str) -> None:
    endpoints = Endpoints()
    await endpoints.server.start(0)
    url = f"http://{address}:{endpoints.server.port}/healthz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
    await endpoints.server.stop()


async def test_probes_are_ok_without_problems(endpoints: Endpoints) -> None:
    assert await endpoints.get("/healthz") == (200, "ok\n")
    assert await endpoints.get("/readyz") == (200, "ok\n")


async def test_an_unready_operator_is_healthy(endpoints: Endpoints) -> None:
    endpoints.unready = ["the initial list is not complete"]
    assert await endpoints.get("/healthz") == (200, "ok\n")
    assert await endpoints.get("/readyz") == (503, "the initial list is not complete\n")


async def test_an_unhealthy_operator_is_not_ready(endpoints: Endpoints) -> None:
    endpoints.unhealthy = ["no resync for 1600 s"]
    endpoints.unready = ["another thing"]
    assert await endpoints.get("/healthz") == (503, "no resync for 1600 s\n")
    assert await endpoints.get("/readyz") == (503, "no resync for 1600 s\nanother thing\n")


async def test_metrics_show_the_current_values(endpoints: Endpoints) -> None:
    endpoints.metrics.illegal_transitions.inc()
    assert "hopper_illegal_transitions_total 1.0" in (await endpoints.get("/metrics"))[1]
    endpoints.metrics.illegal_transitions.inc()
    assert "hopper_illegal_transitions_total 2.0" in (await endpoints.get("/metrics"))[1]


async def test_a_port_in_use_is_an_error(endpoints: Endpoints) -> None:
    other = Endpoints()
    for host in ("127.0.0.1", ""):
        with pytest.raises(OSError, match="Address already in use"):
            await other.server.start(endpoints.server.port, host)
    await other.server.stop()


async def test_a_stopped_server_does_not_listen(endpoints: Endpoints) -> None:
    await endpoints.server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await endpoints.get("/healthz")
