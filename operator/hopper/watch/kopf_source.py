"""kopf as the source of watch events of one kind. See docs/contributing/decisions/0001-kopf-as-event-source.md.

kopf creates a task and a queue for each object of a list. It does not report when a list is complete, nor which objects
have disappeared since the list before. The feed needs both. Therefore the feed lists, and kopf only watches.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakSet

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from hopper.adapters.connection import Connection
from hopper.adapters.kube import abort_connection, describe_error, open_transport
from hopper.ports import ApiError, Lister, UnavailableError, find_error
from hopper.watch.feed import Feed
from hopper.watch.health import WatchFailedError, WatchHealth
from hopper.watch.kopf_internals import (
    EVERY_TASK,
    is_kopf_task,
    is_raised_by_kopf,
    needs_list,
    read_decodable_lines,
    silence_loggers,
    start_from,
)

logger = logging.getLogger(__name__)

_CANCEL_AGAIN_SECONDS = 0.5
_RETRY_PAUSES = (0.2, 0.5, 1, 2, 3, 5, 5, 5, 5, 5, 5, 5, 5)


class _NoProgress(kopf.ProgressStorage):
    """Progress storage that stores nothing: event handlers have no progress, and reading it takes most of an event."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """Storage of the last handled state that stores nothing: event handlers do not compare."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    # Scanning needs the right to list the CRDs and namespaces of the whole cluster. See `until_served`.
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = 0.1  # the worker of an object keeps its memory for so long
    settings.networking.error_backoffs = _RETRY_PAUSES
    settings.watching.initial_streaming = True  # no list requests: `_Session` starts the watch from a list of the feed
    settings.watching.server_timeout = 10 * 60
    settings.watching.connect_timeout = 10
    return settings


async def run_kopf(
    connection: Connection,
    feed: Feed,
    lister: Lister,
    health: WatchHealth,
    *,
    stop: asyncio.Event,
    on_stop: Callable[[], None],
) -> None:
    """Run kopf for one feed until `stop` is set or a signal arrives.

    `on_stop` is called as soon as no more events come. Raises `WatchFailedError`.
    """
    registry = kopf.OperatorRegistry()
    session = _Session(connection, feed, lister, health)
    namespaces = [namespace for namespace in feed.namespaces if namespace]
    resource = feed.resource
    silence_loggers()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return session.login()

    @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        feed.handle_event(event["type"] or "ADDED", dict(event["object"]))

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        stop.set()  # if kopf fails, one of its own tasks still waits for this
        on_stop()

    asyncio.get_running_loop().set_exception_handler(_handle_unseen_error)
    older_tasks = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )
    _stop_on_signals(stop)
    try:
        await kopf.run_tasks(tasks, ignored=EVERY_TASK)
    except Exception as error:
        if failure := find_error(WatchFailedError, error):
            raise failure from error
        first_line = str(error).partition("\n")[0]  # kopf appends the whole answer of the API server
        raise WatchFailedError(
            f"cannot list and watch {resource.plural}: {first_line or type(error).__name__}"
        ) from error
    finally:
        await _cancel_remaining_tasks(older_tasks)
        await session.close()


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Replace the signal handlers of kopf, which fail on a second signal."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _cancel_remaining_tasks(older: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks that kopf leaves behind if it is stopped during its start, or if a watch fails.

    One cancellation may not be enough: kopf suppresses it while a watcher waits for the end of its pause waiter.
    """
    while remaining := [task for task in asyncio.all_tasks() if task not in older and is_kopf_task(task)]:
        for task in remaining:
            task.cancel()
        ended, _ = await asyncio.wait(remaining, timeout=_CANCEL_AGAIN_SECONDS)
        for task in ended:
            _ = task.cancelled() or task.exception()  # retrieved, so that asyncio does not log it


def _handle_unseen_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error of a task or callback that no code has handled; at debug level if it comes from kopf.

    Such errors of kopf repeat the one that `run_kopf` raises, or come from callbacks of tasks that have ended.
    """
    task, error = context.get("future"), context.get("exception")
    if (isinstance(task, asyncio.Task) and is_kopf_task(task)) or (error and is_raised_by_kopf(error)):
        logger.debug("kopf: %s", context["message"], exc_info=error)
    else:
        loop.default_exception_handler(context)


class _Session:
    """HTTP session of kopf. Its middleware starts each watch from a list of the feed."""

    def __init__(self, connection: Connection, feed: Feed, lister: Lister, health: WatchHealth) -> None:
        self._connection = connection
        self._feed = feed
        self._lister = lister
        self._health = health
        self._namespaces = {feed.resource.path(namespace): namespace for namespace in feed.namespaces}
        self._expired: set[str] = set()
        self._session: aiohttp.ClientSession | None = None
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    def login(self) -> kopf.AiohttpSession:
        """Return the session. It has no credentials, because the middleware adds the latest token to each request."""
        configuration = self._connection.configuration
        if self._session is None:
            tls = self._connection.client().rest_client.ssl_context
            connector = aiohttp.TCPConnector(limit=0, ssl=tls)
            self._session = aiohttp.ClientSession(
                connector=connector, proxy=configuration.proxy, middlewares=[self._send]
            )
        return kopf.AiohttpSession(
            server=configuration.host, default_namespace=self._connection.namespace, aiohttp_session=self._session
        )

    async def close(self) -> None:
        """Close all connections, also those of cancelled watches."""
        if self._session:
            await self._session.close()
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0)  # the transports close before the event loop does

    async def _send(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        """Send a request of kopf. kopf retries after the errors of aiohttp, and stops at `WatchFailedError`."""
        path = request.url.path
        if token := (await self._connection.credentials()).token:
            request.headers["Authorization"] = f"Bearer {token}"
        if path not in self._namespaces:  # at its start, kopf looks up the kinds that the API server serves
            return await send(request)
        try:
            if needs_list(request) or path in self._expired:
                version = await self._feed.relist(self._lister, self._namespaces[path])
                request.url = start_from(request.url, version)
                self._expired.discard(path)
            response = await self._receive(request, send)
        except ApiError as error:
            if error.code == 410:
                self._expired.add(path)
            else:
                self._health.record_failure(path, error)
            raise aiohttp.ClientConnectionError(str(error)) from error
        self._health.record_success(path)
        return response

    async def _receive(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        """Return a successful response. Raises `UnavailableError` with the status of any other response."""
        try:
            response = await send(request)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"GET {request.url.path}: {describe_error(error)}") from error
        if (transport := open_transport(response)) is not None:
            self._transports.add(transport)
        if response.status < 400:
            read_decodable_lines(response)
        if response.status >= 400:
            abort_connection(response)
            raise UnavailableError(f"{response.status}: {response.reason}", code=response.status)
        return response
