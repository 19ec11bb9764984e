"""Gateways that instances beat at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hopper.api.enums import Health
from hopper.gateway.discovery import Catalogue
from tests.cluster.support.in_process_gateway import InProcessGateway, serving

_SLICE_SECONDS = 0.1


class HeartbeatGateways:
    """One gateway of a namespace, and those who beat at it."""

    def __init__(self, namespace: str, rest: InProcessGateway) -> None:
        self._namespace = namespace
        self.rest = rest

    @property
    def catalogue(self) -> Catalogue:
        return self.rest.gateway.context.catalogue

    async def beat(self, *names: str, **vitals: object) -> None:
        """Have these instances beat once."""
        for name in names:
            answer = await self.rest.post(f"/registry/instances/{name}/heartbeat", vitals or None)
            assert answer.code == 204, answer.text

    def health(self, name: str) -> Health | None:
        instance = self.catalogue.instances.namespace(self._namespace).get(name)
        return self.catalogue.health.of(instance).health if instance else None

    @asynccontextmanager
    async def beating(self, *names: str, every: float) -> AsyncIterator[None]:
        """Have these instances beat, each every so many seconds."""

        async def go_on() -> None:
            while True:
                await self.beat(*names)
                await asyncio.sleep(every)

        async with _in_background(go_on()):
            yield

    @asynccontextmanager
    async def many_beating(self, *names: str, every: float) -> AsyncIterator[None]:
        """Do the same, one after the other, without the cost of HTTP: what is to be measured comes after that."""

        async def go_on() -> None:
            slices, turn = max(1, int(every / _SLICE_SECONDS)), 0
            context = self.rest.gateway.context
            while True:
                index = context.index(self._namespace)
                for name in names[turn % slices :: slices]:
                    if instance := index.get(name):
                        context.heartbeat_writer.receive(instance)
                turn += 1
                await asyncio.sleep(_SLICE_SECONDS)

        async with _in_background(go_on()):
            yield


@asynccontextmanager
async def listening(namespace: str) -> AsyncIterator[HeartbeatGateways]:
    """Run a gateway from the moment on when it knows all there is."""
    async with serving(namespace) as rest:
        yield HeartbeatGateways(namespace, rest)


@asynccontextmanager
async def _in_background(job: object) -> AsyncIterator[None]:
    task: asyncio.Task[None] = asyncio.create_task(job)  # type: ignore[arg-type]
    try:
        yield
        assert not task.done(), f"nobody beats any more: {task}"
    finally:
        task.cancel()
        await asyncio.wait([task])
