"""Start of the watch: waits for the CRDs, then runs kopf and the reflectors."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence

from hopper.adapters.connection import Connection
from hopper.api.resources import INSTANCES, Resource
from hopper.ports import ApiError, Lister
from hopper.watch.feed import Feed
from hopper.watch.health import WatchHealth
from hopper.watch.kopf_source import run_kopf
from hopper.watch.reflector import Reflector

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


async def until_served(lister: Lister, resources: Sequence[Resource], stop: asyncio.Event) -> None:
    """Return when the API server serves all these kinds, or when `stop` is set.

    kopf looks up the kinds that it watches only once, at its start.
    """
    logged = ""
    while not stop.is_set():
        try:
            missing = [resource.plural for resource in resources if not await lister.serves(resource)]
        except ApiError as error:
            problem = f"cannot read from the API server which kinds it serves: {error}"
        else:
            if not missing:
                return
            names = ", ".join(missing)
            problem = f"the API server does not serve {names}: install the CRDs (kubectl apply --server-side -f crds/)"
        if problem != logged:
            logger.warning("%s; retrying", problem)
            logged = problem
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_SECONDS):
                await stop.wait()


async def watch_all(
    connection: Connection,
    feeds: Collection[Feed],
    lister: Lister,
    *,
    stop: asyncio.Event,
    on_stop: Callable[[], None],
    health: WatchHealth | None = None,
) -> None:
    """Keep the feeds up to date until `stop` is set or a signal arrives.

    Events of HopperInstances come from kopf, those of all other kinds from reflectors. `on_stop` is called as soon as
    no more events of instances come. Raises `WatchFailedError` in a group.
    """
    health = health or WatchHealth(connection.configuration.host)
    (instances,) = (feed for feed in feeds if feed.resource == INSTANCES)
    async with asyncio.TaskGroup() as group:
        reflectors = [
            group.create_task(Reflector(feed, namespace, lister, health).run())
            for feed in feeds
            if feed is not instances
            for namespace in feed.namespaces
        ]
        try:
            await run_kopf(connection, instances, lister, health, stop=stop, on_stop=on_stop)
        finally:
            for reflector in reflectors:
                reflector.cancel()
