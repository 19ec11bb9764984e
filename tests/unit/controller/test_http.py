"""The endpoints of the operator, over HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from hopper.controller.http import StatusServer
from hopper.controller.metrics import OperatorMetrics


class Scene:
    """A server with problems of choice."""

    def __init__(self) -> None:
        self.sick: list[str] = []
        self.unready: list[str] = []
        self.metrics = OperatorMetrics()
        self.server = StatusServer(self.metrics, lambda: self.sick, lambda: self.unready)

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.content_type == "text/plain"
            return response.status, await response.text()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    found = Scene()
    await found.server.start(0, "127.0.0.1")
    yield found
    await found.server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])])
async def test_is_heard_on_every_address(address: str) -> None:
    found = Scene()
    await found.server.start(0)
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}:{found.server.port}/healthz") as it:
        assert it.status == 200
    await found.server.stop()


async def test_all_is_well(scene: Scene) -> None:
    assert await scene.get("/healthz") == (200, "ok\n")
    assert await scene.get("/readyz") == (200, "ok\n")


async def test_not_ready_is_not_sick(scene: Scene) -> None:
    scene.unready = ["the initial list is not complete"]
    assert await scene.get("/healthz") == (200, "ok\n")
    assert await scene.get("/readyz") == (503, "the initial list is not complete\n")


async def test_the_sick_are_not_ready_either(scene: Scene) -> None:
    scene.sick = ["no resync for 1600 s"]
    scene.unready = ["another thing"]
    assert await scene.get("/healthz") == (503, "no resync for 1600 s\n")
    assert await scene.get("/readyz") == (503, "no resync for 1600 s\nanother thing\n")


async def test_metrics_are_as_they_are_now(scene: Scene) -> None:
    scene.metrics.illegal_transitions.inc()
    assert "hopper_illegal_transitions_total 1.0" in (await scene.get("/metrics"))[1]
    scene.metrics.illegal_transitions.inc()
    assert "hopper_illegal_transitions_total 2.0" in (await scene.get("/metrics"))[1]


async def test_a_port_that_is_taken_is_refused(scene: Scene) -> None:
    other = Scene()
    for host in ("127.0.0.1", ""):
        with pytest.raises(OSError, match="Address already in use"):
            await other.server.start(scene.server.port, host)
    await other.server.stop()


async def test_stopped_it_does_not_listen(scene: Scene) -> None:
    await scene.server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await scene.get("/healthz")
