"""Context of the routes: indexes, stores, limits and caches of one gateway."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hopper.api.instance import HopperInstance
from hopper.api.names import DEFAULT_PREFIX
from hopper.api.resources import Manifest
from hopper.gateway.auth import Authority
from hopper.gateway.discovery import Catalogue, HeartbeatWriter, InstanceWaiters
from hopper.gateway.http.limits import ConcurrencyLimit, PendingBodies, RateLimiter, UnknownCredentialLimit
from hopper.gateway.http.observability import GatewayMetrics
from hopper.gateway.views.caches import ResponseCache
from hopper.gateway.views.queries import InstanceLists
from hopper.gateway.views.registry import RegistryEntryRenderer
from hopper.gateway.views.rendering import InstanceRenderer
from hopper.ports import IntentStore, SecretValueStore, UnavailableError
from hopper.process.system import wall_clock
from hopper.registry import InstanceChange, NamespaceIndex, TemplateIndex
from hopper.watch import InstanceReader

# A pod in one of these namespaces could control the cluster.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and scope of the gateway.

    No `namespaces` means all. Requests for `system_namespaces` are refused. `namespace` is the default for requests
    that name none. `requests_per_second` is the sustained rate of one caller (None: no limit), `burst` the number of
    requests at once. `allowed_hosts` are the host names that requests may use (none: any); with `local_only`, these are
    added to the loopback addresses.
    """

    namespace: str = "default"
    namespaces: frozenset[str] = frozenset()
    system_namespaces: frozenset[str] = SYSTEM_NAMESPACES
    prefix: str = DEFAULT_PREFIX
    allowed_hosts: frozenset[str] = frozenset()
    local_only: bool = False
    max_body_bytes: int = 1_048_576
    max_body_seconds: float = 30.0
    max_pending_body_bytes: int = 67_108_864
    max_depth: int = 32
    requests_per_second: float | None = 500.0
    burst: int = 1000
    max_connections: int = 1500
    max_connections_per_address: int = 1000
    max_streams: int = 200
    max_streams_per_caller: int = 50
    max_waits: int = 1000
    max_waits_per_caller: int = 200
    keepalive_seconds: float = 15.0

    def unknown_credential_limit(self) -> UnknownCredentialLimit:
        """Return the limit for unknown credentials, which is at most the rate of one caller."""
        if self.requests_per_second is None:
            return UnknownCredentialLimit()
        return UnknownCredentialLimit(min(self.requests_per_second, 10.0), min(self.burst, 50))

    def serves(self, namespace: str) -> bool:
        """Whether requests may use a namespace."""
        return not self.namespaces or namespace in self.namespaces


@dataclass(slots=True)
class Context:
    """State that the routes share.

    `not_ready` returns why the indexes are not usable yet, `problems` why the process should be restarted; both return
    an empty list if all is well. `stop` sets `stopping`.
    """

    catalogue: Catalogue
    templates: TemplateIndex
    intents: IntentStore
    secret_values: SecretValueStore
    authority: Authority
    heartbeat_writer: HeartbeatWriter
    settings: Settings = field(default_factory=Settings)
    reader: InstanceReader = field(default_factory=InstanceReader)
    clock: Callable[[], datetime] = wall_clock
    not_ready: Callable[[], list[str]] = list
    problems: Callable[[], list[str]] = list
    metrics: GatewayMetrics = field(default_factory=GatewayMetrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    rate_limiter: RateLimiter = field(init=False)
    stream_limit: ConcurrencyLimit = field(init=False)
    wait_limit: ConcurrencyLimit = field(init=False)
    pending_bodies: PendingBodies = field(init=False)
    instance_lists: InstanceLists = field(init=False)
    instance_renderer: InstanceRenderer = field(init=False)
    registry_renderer: RegistryEntryRenderer = field(init=False)
    waiters: InstanceWaiters = field(default_factory=InstanceWaiters)
    response_cache: ResponseCache = field(default_factory=ResponseCache)

    def __post_init__(self) -> None:
        settings = self.settings
        self.rate_limiter = RateLimiter(settings.requests_per_second, settings.burst)
        self.stream_limit = ConcurrencyLimit("event streams", settings.max_streams, settings.max_streams_per_caller)
        self.wait_limit = ConcurrencyLimit("waiting requests", settings.max_waits, settings.max_waits_per_caller)
        self.pending_bodies = PendingBodies(settings.max_pending_body_bytes)
        self.instance_lists = InstanceLists(self.catalogue)
        self.instance_renderer = InstanceRenderer(self.catalogue.instances.__len__)
        self.registry_renderer = RegistryEntryRenderer(self.catalogue)

    def stop(self) -> None:
        """End all event streams and waiting requests."""
        self.stopping.set()
        self.waiters.close()

    def index(self, namespace: str) -> NamespaceIndex:
        """Return the instances of a namespace."""
        return self.catalogue.instances.namespace(namespace)

    def store(self, raw: Manifest) -> HopperInstance:
        """Store an object that the API server has returned, so that the next read sees it; return the instance.

        Raises `UnavailableError` if the object cannot be parsed.
        """
        instance = self.reader.read(raw)
        if instance is None:
            raise UnavailableError(f"instance {raw['metadata']['name']} cannot be parsed; see the log of the gateway")
        if change := self.catalogue.instances.put(instance):
            self.on_change(change)
        return instance

    def on_change(self, change: InstanceChange) -> None:
        """Update everything that depends on an instance, whether the watch or a write has changed it."""
        self.catalogue.on_change(change)
        self.waiters.on_change(change)
