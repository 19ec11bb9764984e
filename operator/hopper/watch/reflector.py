"""Reflector: lists and watches one kind in one namespace into its feed, without kopf."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator

from hopper.ports import ApiError, ExpiredError, Lister, UnavailableError, WatchEvent
from hopper.watch.feed import Feed
from hopper.watch.health import WatchHealth

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class Reflector:
    """List and watch of one kind in one namespace; None stands for all namespaces.

    The watch continues from the last resourceVersion for as long as the API server keeps that. Then the reflector lists
    again, and so finds what was deleted in between.
    """

    def __init__(self, feed: Feed, namespace: str | None, lister: Lister, health: WatchHealth) -> None:
        self._feed = feed
        self._namespace = namespace
        self._lister = lister
        self._health = health
        self._path = feed.resource.path(namespace)
        self._version = ""
        self._attempts = 0  # since the last watch event

    async def run(self) -> None:
        """Keep the feed up to date until cancelled. Raises `WatchFailedError` if it is pointless to retry."""
        while True:
            try:
                await self._list_and_watch()
            except ExpiredError as error:
                logger.debug("%s: %s; listing again", self._path, error)
                self._version = ""
            except ApiError as error:
                self._health.record_failure(self._path, error)
            await asyncio.sleep(self._pause_seconds())
            self._attempts += 1

    async def _list_and_watch(self) -> None:
        """Return when the watch ends, as it does every few minutes, or breaks off."""
        resource, selector = self._feed.resource, self._feed.selector
        if not self._version:
            self._version = await self._feed.relist(self._lister, self._namespace)
        async with self._lister.watch(resource, self._namespace, selector, self._version) as events:
            self._health.record_success(self._path)
            try:
                await self._apply(events)
            except UnavailableError as error:  # if the API server is down, the next request fails and is recorded
                logger.debug("%s: the watch broke off: %s", self._path, error)

    async def _apply(self, events: AsyncIterator[WatchEvent]) -> None:
        async for event_type, manifest in events:
            self._attempts = 0
            self._version = manifest["metadata"]["resourceVersion"]
            if event_type != "BOOKMARK":
                self._feed.handle_event(event_type, manifest)

    def _pause_seconds(self) -> float:
        longest = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._attempts, 10), _LONGEST_PAUSE_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311
