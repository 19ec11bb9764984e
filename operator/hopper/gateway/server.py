"""The gateway server: HTTP server, watches, resync and heartbeat writer in one event loop."""

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

import uvicorn

from hopper.adapters.callers import KubeAccessReviews, KubeIntents, KubeSecretValues
from hopper.adapters.connection import Connection
from hopper.adapters.coordination import KubeHeartbeats
from hopper.adapters.kube import KubeClient
from hopper.adapters.lists import KubeLister
from hopper.api.resources import INSTANCES, SECRETS, TEMPLATES
from hopper.gateway.app import build_app
from hopper.gateway.auth import ApiKeyAuthority, Authority, NoAuthentication, TokenAuthority
from hopper.gateway.auth.api_keys import SELECTOR
from hopper.gateway.context import Context, Settings
from hopper.gateway.discovery import Catalogue, HeartbeatWriter
from hopper.gateway.http.connections import ConnectionLimit, ConnectionSlot, Listener, allowed_connections
from hopper.gateway.http.observability import GatewayMetrics
from hopper.gateway.http.protocol import BoundedHttpProtocol, bounded_protocol
from hopper.gateway.http.tls import ServerCertificate
from hopper.process.system import open_listener
from hopper.registry import TemplateIndex
from hopper.watch import Feed, Resync, heartbeat_feed, instance_feed, template_feed, until_served, watch_all

logger = logging.getLogger(__name__)

# On shutdown, requests in progress are cancelled after this time.
_GRACE_SECONDS = 5
_BACKLOG = 2048


class AuthMode(StrEnum):
    """Authentication mode for callers."""

    TOKEN = "token"  # noqa: S105
    API_KEY = "apikey"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Options of the gateway.

    No namespaces means all; port 0 picks a free port. Without a certificate, the gateway serves plain HTTP.
    """

    namespaces: Collection[str] = ()
    host: str = "127.0.0.1"
    port: int = 0
    auth: AuthMode = AuthMode.TOKEN
    resync_seconds: float = 600.0
    settings: Settings = field(default_factory=Settings)
    certificate: ServerCertificate | None = None
    token_audiences: Collection[str] = ()


class _Server(uvicorn.Server):
    """A uvicorn server with a limit for connections.

    It has no signal handlers, because kopf handles signals and stops the gateway.
    """

    def __init__(
        self, config: uvicorn.Config, limit: ConnectionLimit, certificate: ServerCertificate | None = None
    ) -> None:
        super().__init__(config)
        self._limit = limit
        self._certificate = certificate

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. Replaces uvicorn's method, which accepts any number of them."""
        await self.lifespan.startup()

        def make_protocol(slot: ConnectionSlot) -> BoundedHttpProtocol:
            return bounded_protocol(
                slot, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        self.servers = [
            Listener(listening, make_protocol, self._limit, self._certificate)  # type: ignore[misc]
            for listening in sockets or ()
        ]
        self.started = True


class Gateway:
    """The gateway, which runs until `stop()` or a fatal error. Calls `on_synced` when the initial list is complete."""

    def __init__(
        self,
        connection: Connection,
        options: GatewayOptions = GatewayOptions(),
        on_synced: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._options = options
        self._on_synced = on_synced
        self._stop = asyncio.Event()
        self._is_synced = False
        self._metrics = GatewayMetrics()
        self._kube = KubeClient(connection.client(), self._count_request)
        # A client of its own, so that heartbeats do not queue behind requests of callers.
        self._heartbeat_kube = KubeClient(connection.client(), self._count_request)
        # Watches have connections of their own, because there may be more of them than a pool holds.
        self._watch_kube = KubeClient(connection.client(unlimited=True), self._count_request)
        self._lister = KubeLister(self._watch_kube)
        self._api_keys = ApiKeyAuthority(connection.namespace)
        catalogue = Catalogue()
        host = os.environ.get("HOSTNAME") or socket.gethostname()
        heartbeat_writer = HeartbeatWriter(
            KubeHeartbeats(self._heartbeat_kube),
            catalogue.heartbeats,
            catalogue.instances,
            replica=f"{host}-{uuid.uuid4().hex[:8]}",
        )
        served = tuple(options.namespaces)
        home = connection.namespace if not served or connection.namespace in served else served[0]
        self.context = Context(
            catalogue=catalogue,
            templates=TemplateIndex(),
            intents=KubeIntents(self._kube),
            secret_values=KubeSecretValues(self._kube),
            authority=self._authority(),
            heartbeat_writer=heartbeat_writer,
            settings=replace(
                options.settings,
                namespace=home,
                namespaces=frozenset(served),
                local_only=options.auth is AuthMode.NONE,
            ),
            not_ready=self._not_ready,
            problems=lambda: self._resync.problems(),
            metrics=self._metrics,
        )
        self._feeds = self._make_feeds(served)
        self._resync = Resync(self._feeds, self._lister, seconds=options.resync_seconds)
        connection_limit = ConnectionLimit(
            allowed_connections(options.settings.max_connections), options.settings.max_connections_per_address
        )
        self._metrics.add_gauges(
            instances=lambda: len(catalogue.instances),
            streams=lambda: self.context.stream_limit.open,
            connections=lambda: len(connection_limit),
        )
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                build_app(self.context),
                http=BoundedHttpProtocol,
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # The client is the peer of the connection. A header could name any address, and so escape limits.
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            ),
            connection_limit,
            options.certificate,
        )

    @property
    def port(self) -> int:
        """The port that the gateway listens on. Requires `listen()`."""
        assert self._socket is not None, "listen() has not been called"
        port: int = self._socket.getsockname()[1]
        return port

    def listen(self) -> None:
        """Open the port. Raises `OSError` if it is in use."""
        self._socket = open_listener(self._options.host, self._options.port, _BACKLOG)
        # asyncio sets this option only on sockets with an explicit protocol number, unlike this one. Without it, each
        # response, which is sent in two parts, waits 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        scheme = "https" if self._options.certificate else "http"
        logger.info("listening on %s://%s:%d", scheme, self._options.host, self.port)

    async def run(self) -> None:
        """Serve requests and watch until the end. Raises fatal errors of the watch in an exception group."""
        if self._socket is None:
            self.listen()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._server.serve(sockets=[self._socket] if self._socket else None))
                group.create_task(self._watch())
        finally:
            if self._socket:
                self._socket.close()
            await self._kube.close()
            await self._watch_kube.close()
            await self._heartbeat_kube.close()

    def stop(self) -> None:
        """Make `run()` return."""
        self._stop.set()
        self._end_serving()

    def _end_serving(self) -> None:
        self.context.stop()
        self._server.should_exit = True

    async def _watch(self) -> None:
        """Keep the indexes up to date until the watch ends, then stop the server."""
        try:
            await until_served(self._lister, (INSTANCES, TEMPLATES), self._stop)
            async with asyncio.TaskGroup() as group:
                background = group.create_task(self._run_background_tasks())

                def end() -> None:
                    background.cancel()
                    self._end_serving()

                try:
                    await watch_all(self._connection, self._feeds, self._lister, stop=self._stop, on_stop=end)
                finally:
                    end()
        finally:
            self._end_serving()

    async def _run_background_tasks(self) -> None:
        """Wait for the initial list, then write heartbeats and resync periodically."""
        await self._resync.wait_for_first_lists()
        self.context.catalogue.journal.open()
        self._is_synced = True
        self._on_synced()
        logger.info("synced: %d instances", len(self.context.catalogue.instances))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.context.heartbeat_writer.run())
            group.create_task(self._resync.run())

    def _authority(self) -> Authority:
        match self._options.auth:
            case AuthMode.TOKEN:
                return TokenAuthority(
                    KubeAccessReviews(self._kube, self._options.token_audiences),
                    self._options.settings.unknown_credential_limit(),
                )
            case AuthMode.API_KEY:
                return self._api_keys
            case AuthMode.NONE:
                return NoAuthentication()

    def _make_feeds(self, namespaces: Collection[str]) -> list[Feed]:
        context = self.context
        catalogue = context.catalogue

        feeds = [
            instance_feed(catalogue.instances, context.reader, context.on_change, namespaces),
            template_feed(context.templates, lambda namespace, name: None, namespaces),
            heartbeat_feed(catalogue.heartbeats, catalogue.on_heartbeats, namespaces),
        ]
        if self._options.auth is AuthMode.API_KEY:
            keys = self._api_keys
            feeds.append(
                Feed(SECRETS, SELECTOR, put=keys.put, remove=keys.remove, uids=keys.uids, namespaces=namespaces)
            )
        return feeds

    def _not_ready(self) -> list[str]:
        if self.context.stopping.is_set():
            return ["the gateway is shutting down"]
        return [] if self._is_synced else ["the initial list is not complete yet"]

    def _count_request(self, verb: str, resource: str, code: int) -> None:
        self._metrics.api_requests.labels(verb, resource, code or "none").inc()
