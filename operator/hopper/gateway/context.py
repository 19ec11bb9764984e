"""What every route works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.names import DEFAULT_PREFIX
from hopper.gateway.auth import Authority
from hopper.gateway.limits import Rates, Streams
from hopper.ports import IntentStore
from hopper.registry import Change, Registry, Templates


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `namespaces` empty means all; `namespace` is the one that a request without one means."""

    namespace: str = "default"
    namespaces: frozenset[str] = frozenset()
    prefix: str = DEFAULT_PREFIX
    max_body_bytes: int = 1_048_576
    max_depth: int = 32
    requests_per_second: float = 200.0
    burst: int = 400
    max_streams: int = 200
    keepalive_seconds: float = 15.0

    def serves(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces


@dataclass(slots=True)
class Context:
    """Where reads come from and writes go, who may call, and within which limits.

    `unready` says why the registry cannot be trusted yet; `listeners` hear of every change of an instance.
    """

    registry: Registry
    templates: Templates
    intents: IntentStore
    authority: Authority
    settings: Settings = field(default_factory=Settings)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    unready: Callable[[], list[str]] = list
    listeners: list[Callable[[Change], None]] = field(default_factory=list)
    rates: Rates = field(init=False)
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        self.rates = Rates(self.settings.requests_per_second, self.settings.burst)
        self.streams = Streams(self.settings.max_streams)

    def take(self, raw: dict[str, Any]) -> HopperInstance:
        """Take in the answer to a write of our own, so that the next read sees it; return the instance."""
        instance = parse_instance(raw)
        if change := self.registry.put(instance):
            self.on_change(change)
        return instance

    def on_change(self, change: Change) -> None:
        """Hear of a change of the registry, whoever has made it."""
        for listener in self.listeners:
            listener(change)
