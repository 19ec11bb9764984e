"""What every route works with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.names import DEFAULT_PREFIX
from hopper.gateway.auth import Authority
from hopper.gateway.discovery import Catalogue, HeartbeatWriter
from hopper.gateway.http.limits import Ongoing, Rates
from hopper.gateway.http.metrics import Metrics
from hopper.gateway.views.lists import Lists
from hopper.gateway.views.registry import Entries
from hopper.gateway.views.rendering import Rendered
from hopper.gateway.views.waiting import Waiting
from hopper.gateway.views.whole import Whole
from hopper.ports import IntentStore, UnavailableError
from hopper.process.system import wall_clock
from hopper.registry import InstanceChange, NamespaceIndex, TemplateIndex
from hopper.watch import InstanceReader


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `namespaces` empty means all; `namespace` is the one that a request without one means.

    `requests_per_second` is what one caller may send for long, `burst` what at once; None is no limit.
    """

    namespace: str = "default"
    namespaces: frozenset[str] = frozenset()
    prefix: str = DEFAULT_PREFIX
    max_body_bytes: int = 1_048_576
    max_body_seconds: float = 30.0
    max_depth: int = 32
    requests_per_second: float | None = 500.0
    burst: int = 1000
    max_streams: int = 200
    max_streams_of_one: int = 50
    max_waits: int = 1000
    max_waits_of_one: int = 200
    keepalive_seconds: float = 15.0

    def serves(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces


@dataclass(slots=True)
class Context:
    """Where reads come from and writes go, who may call, and within which limits.

    `unready` says why the registry cannot be trusted yet, `problems` what is wrong with the process. `stopping` is
    set by `stop`.
    """

    catalogue: Catalogue
    templates: TemplateIndex
    intents: IntentStore
    authority: Authority
    heartbeat_writer: HeartbeatWriter
    settings: Settings = field(default_factory=Settings)
    reader: InstanceReader = field(default_factory=InstanceReader)
    clock: Callable[[], datetime] = wall_clock
    unready: Callable[[], list[str]] = list
    problems: Callable[[], list[str]] = list
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    rates: Rates = field(init=False)
    streams: Ongoing = field(init=False)
    waits: Ongoing = field(init=False)
    lists: Lists = field(init=False)
    waiting: Waiting = field(default_factory=Waiting)
    rendered: Rendered = field(init=False)
    entries: Entries = field(init=False)
    whole: Whole = field(default_factory=Whole)

    def __post_init__(self) -> None:
        self.rates = Rates(self.settings.requests_per_second, self.settings.burst)
        self.lists = Lists(self.catalogue)
        self.rendered = Rendered(self.catalogue.instances.__len__)
        self.entries = Entries(self.catalogue)
        self.streams = Ongoing("event streams", self.settings.max_streams, self.settings.max_streams_of_one)
        self.waits = Ongoing("calls that wait", self.settings.max_waits, self.settings.max_waits_of_one)

    def stop(self) -> None:
        """End what would go on for long: streams, and calls that wait."""
        self.stopping.set()
        self.waiting.end()

    def index(self, namespace: str) -> NamespaceIndex:
        """Return the instances of a namespace."""
        return self.catalogue.instances.namespace(namespace)

    def take(self, raw: dict[str, Any]) -> HopperInstance:
        """Take in an answer of the API server, so that the next read sees it; return the instance.

        Raises `UnavailableError` where nothing can be made of it.
        """
        instance = self.reader.read(raw)
        if instance is None:
            raise UnavailableError(f"{raw['metadata']['name']} is not readable")
        if change := self.catalogue.instances.put(instance):
            self.on_change(change)
        return instance

    def on_change(self, change: InstanceChange) -> None:
        """Hear of a change of the registry, whoever has made it."""
        self.catalogue.on_change(change)
        self.waiting.on_change(change)
