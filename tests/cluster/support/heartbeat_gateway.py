"""Gateway that receives heartbeats of instances, sent once or at an interval."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from hopper.api.enums import Health
from hopper.gateway.discovery import Catalogue
from tests.cluster.support.in_process_gateway import GatewayClient, running_gateway

_SLICE_SECONDS = 0.1


class HeartbeatGateway:
    """Gateway of one namespace, and the heartbeats that a test sends to it."""

    def __init__(self, namespace: str, rest: GatewayClient) -> None:
        self._namespace = namespace
        self.rest = rest

    @property
    def catalogue(self) -> Catalogue:
        return self.rest.gateway.context.catalogue

    async def send_heartbeats(self, *names: str, **vitals: object) -> None:
        """Send one heartbeat of each of these instances."""
        for name in names:
            response = await self.rest.post(f"/registry/instances/{name}/heartbeat", vitals or None)
            assert response.code == 204, response.text

    def health(self, name: str) -> Health | None:
        instance = self.catalogue.instances.namespace(self._namespace).get(name)
        return self.catalogue.health.of(instance).health if instance else None

    @asynccontextmanager
    async def sending_heartbeats(self, *names: str, every: float) -> AsyncIterator[None]:
        """Send a heartbeat of each of these instances at this interval in seconds."""

        async def send() -> None:
            while True:
                await self.send_heartbeats(*names)
                await asyncio.sleep(every)

        async with _in_background(send()):
            yield

    @asynccontextmanager
    async def recording_heartbeats(self, *names: str, every: float) -> AsyncIterator[None]:
        """Hand heartbeats of many instances to the heartbeat writer, evenly spread over the interval in seconds.

        This leaves out HTTP, because the tests measure the cost of what follows.
        """

        async def record() -> None:
            slices, turn = max(1, int(every / _SLICE_SECONDS)), 0
            context = self.rest.gateway.context
            while True:
                index = context.index(self._namespace)
                for name in names[turn % slices :: slices]:
                    if instance := index.get(name):
                        context.heartbeat_writer.receive(instance)
                turn += 1
                await asyncio.sleep(_SLICE_SECONDS)

        async with _in_background(record()):
            yield


@asynccontextmanager
async def running_heartbeat_gateway(namespace: str) -> AsyncIterator[HeartbeatGateway]:
    """Run a gateway; it is ready when the context begins."""
    async with running_gateway(namespace) as rest:
        yield HeartbeatGateway(namespace, rest)


@asynccontextmanager
async def _in_background(job: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a job that never ends by itself, and check at the end of the context that it still runs."""
    task = asyncio.create_task(job)
    try:
        yield
        assert not task.done(), f"the heartbeats have stopped: {task}"
    finally:
        task.cancel()
        await asyncio.wait([task])
