"""A gateway as far as heartbeats go: it hears them, writes them down, and watches what others have written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from hopper.adapters.connection import connect
from hopper.adapters.heartbeats import KubeHeartbeats
from hopper.adapters.kube import Kube
from hopper.adapters.listing import KubeLister
from hopper.api.enums import Health
from hopper.api.heartbeat import Vitals
from hopper.registry import Catalogue, Flusher
from hopper.watch import Reader, heartbeat_feed, instance_feed, watch_all

START_SECONDS = 20
_NO_VITALS = Vitals()


class Gateway:
    """One replica that listens to the heartbeats of a namespace."""

    def __init__(self, namespace: str, catalogue: Catalogue, flusher: Flusher) -> None:
        self._namespace = namespace
        self.catalogue = catalogue
        self._flusher = flusher

    def beat(self, *names: str, vitals: Vitals = _NO_VITALS) -> None:
        """Have these instances beat once."""
        index = self.catalogue.instances.namespace(self._namespace)
        for name in names:
            if instance := index.get(name):
                self._flusher.beat(instance, vitals)

    def health(self, name: str) -> Health | None:
        instance = self.catalogue.instances.namespace(self._namespace).get(name)
        return self.catalogue.healths.of(instance).health if instance else None

    @asynccontextmanager
    async def beating(self, *names: str, every: float) -> AsyncIterator[None]:
        """Have these instances beat, each every so many seconds, one after the other."""

        async def go_on() -> None:
            slices = max(1, int(every / 0.1))
            turn = 0
            while True:
                self.beat(*names[turn % slices :: slices])
                turn += 1
                await asyncio.sleep(every / slices)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def listening(namespace: str, replica: str = "a") -> AsyncIterator[Gateway]:
    """Run one from the moment on when it knows all there is; at the end it says that it goes."""
    connection = await connect()
    kube = Kube(connection.client())
    catalogue = Catalogue()
    feeds = [
        instance_feed(catalogue.instances, Reader(), catalogue.on_change, [namespace]),
        heartbeat_feed(catalogue.beats, catalogue.on_news, [namespace]),
    ]
    flusher = Flusher(KubeHeartbeats(kube), catalogue.beats, catalogue.instances, replica=replica)
    stop = asyncio.Event()
    watch = asyncio.create_task(
        watch_all(connection, [namespace], feeds, KubeLister(kube), stop=stop, on_stop=lambda: None)
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            await _all_current(feed.current for feed in feeds)
        flush = asyncio.create_task(flusher.run())
        try:
            yield Gateway(namespace, catalogue, flusher)
        finally:
            flush.cancel()
            with suppress(asyncio.CancelledError):
                await flush
    finally:
        stop.set()
        await watch
        await kube.close()


async def _all_current(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        await event.wait()
