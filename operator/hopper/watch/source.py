"""kopf, used for what it does best: watching. Events go to whoever asked for them; nothing is written from here."""

import asyncio
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any
from weakref import WeakSet

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from hopper.adapters.connection import Connection, Credentials
from hopper.adapters.kube import open_transport
from hopper.ports import Lister
from hopper.watch.contact import Contact
from hopper.watch.failure import failure_of
from hopper.watch.feed import Feed
from hopper.watch.lists import Lists

logger = logging.getLogger(__name__)

_KOPF = os.path.dirname(kopf.__file__)  # noqa: PTH120
# Where kopf logs each try of each request.
_WATCHING = "kopf._cogs.clients.watching"
_AGAIN_SECONDS = 0.5
_RECONNECT_BACKOFFS = (0.2, 0.5, 1, 2, 3, 5, 5, 5, 5, 5, 5, 5, 5)


class _NoProgress(kopf.ProgressStorage):
    """Stores no progress: without kopf's own handlers there is none, and looking for it costs most of an event."""

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
    """Stores no last-seen state, for the same reason."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


class _EveryTask(frozenset[Any]):
    """Makes kopf leave tasks alone: it takes all younger ones for its own, waits 5 s for them and cancels them."""

    def __contains__(self, task: object) -> bool:
        return True


_EVERY_TASK = _EveryTask()


def _leave_out_retries(record: logging.LogRecord) -> bool:
    """Leave out what `Contact` tells once, except where everything is logged."""
    return logging.getLogger(_WATCHING).isEnabledFor(logging.DEBUG) or "Request attempt" not in str(record.msg)


def _settings(feeds: Sequence[Feed]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    for feed in feeds:
        if feed.selector:
            key = (feed.resource.group, feed.resource.version, feed.resource.plural)
            settings.watching.label_selectors[key] = feed.selector
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # see `definitions`
    settings.queueing.idle_timeout = 0.1  # a worker per object lingers this long: memory on a large list
    settings.networking.error_backoffs = _RECONNECT_BACKOFFS
    settings.watching.server_timeout = 10 * 60
    settings.watching.connect_timeout = 10
    return settings


async def watch_all(
    connection: Connection,
    namespaces: Collection[str],
    feeds: Sequence[Feed],
    lister: Lister,
    *,
    stop: asyncio.Event,
    on_stop: Callable[[], None],
    contact: Contact | None = None,
) -> None:
    """Fill the feeds and keep them so, until `stop` is set or a signal comes. No namespaces means all of them.

    `on_stop` is called as soon as no more events will come, and `contact` is told of what fails. Raises
    `WatchFailedError` where kopf gives up, as on credentials that are not accepted.
    """
    contact = contact or Contact()
    registry = kopf.OperatorRegistry()
    sessions = _Sessions(connection, Lists(feeds, lister, contact))
    logging.getLogger(_WATCHING).addFilter(_leave_out_retries)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await sessions.login()

    for feed in feeds:
        _listen(registry, feed)

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        stop.set()  # when kopf gives up, a task of its own would go on waiting for this
        on_stop()

    asyncio.get_running_loop().set_exception_handler(_apart_from_kopf)
    older = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(feeds),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )
    _stop_on_signals(stop)
    try:
        await kopf.run_tasks(tasks, ignored=_EVERY_TASK)
    except Exception as error:
        raise failure_of(error, connection.configuration.host, contact.paths) from error
    finally:
        await _end_what_kopf_left(older)
        await sessions.close()


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Take the place of kopf's own handlers, which do not bear a second signal."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _end_what_kopf_left(older: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what kopf has started and not ended: when it is stopped while it looks around, or when a watch fails.

    More than once: a watcher takes the end of the task beside it, which tells it to pause, for the reason why it is
    cancelled, and goes on.
    """
    while left := _tasks_of_kopf(older):
        for task in left:
            task.cancel()
        ended, _ = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
        for task in ended:
            _ = task.cancelled() or task.exception()  # seen, or asyncio would complain that nobody has


def _tasks_of_kopf(older: Collection[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task not in older and _is_of_kopf(task)]


def _is_of_kopf(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_KOPF)


def _apart_from_kopf(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle errors that nobody has seen, apart from those that kopf leaves behind when the watches end.

    Whatever ends them is told by whoever called `watch_all`. What is left are the watches beside the first one, which
    have failed for the same, and callbacks that find their tasks gone.
    """
    task, error = context.get("future"), context.get("exception")
    place = traceback.extract_tb(error.__traceback__)[-1:] if error else []
    if (isinstance(task, asyncio.Task) and _is_of_kopf(task)) or any(it.filename.startswith(_KOPF) for it in place):
        logger.debug("kopf: %s", context["message"], exc_info=error)
    else:
        loop.default_exception_handler(context)


class _Sessions:
    """Logs kopf in. The same credentials get the same session: kopf gives up where they are not accepted."""

    def __init__(self, connection: Connection, lists: Lists) -> None:
        self._connection = connection
        self._lists = lists
        self._credentials: Credentials | None = None
        self._session: kopf.AiohttpSession | None = None
        self._opened: list[aiohttp.ClientSession] = []
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    async def close(self) -> None:
        """End every connection, those too that a watch was read from when it was cancelled."""
        for session in self._opened:
            await session.close()
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0)  # the loop may be closed next

    async def _note_transport(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        response = await send(request)
        if (transport := open_transport(response)) is not None:
            self._transports.add(transport)
        return response

    async def login(self) -> kopf.AiohttpSession:
        credentials = await self._connection.credentials()
        if self._session is None or credentials != self._credentials:
            self._credentials, self._session = credentials, self._open(credentials)
        return self._session

    def _open(self, found: Credentials) -> kopf.AiohttpSession:
        info = kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            token=found.token,
        )
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            proxy=found.proxy,
            middlewares=[self._lists, self._note_transport],
        )
        self._opened = [*(it for it in self._opened if not it.closed), session]
        return kopf.AiohttpSession(
            server=found.server, default_namespace=self._connection.namespace, aiohttp_session=session
        )


def _listen(registry: kopf.OperatorRegistry, feed: Feed) -> None:
    resource = feed.resource

    @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        feed.on_event(event["type"] or "ADDED", dict(event["object"]))
