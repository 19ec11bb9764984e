"""Health of every instance known: its own, the worst below it, and the metrics of its last heartbeat."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hopper.api.enums import Health
from hopper.api.heartbeat import Vitals
from hopper.api.instance import HopperInstance
from hopper.domain.health import HealthVerdict, health_of
from hopper.domain.lifecycle import STARTED
from hopper.gateway.discovery.journal import EventKind, Journal
from hopper.registry.heartbeats import HeartbeatChange, HeartbeatIndex
from hopper.registry.instances import InstanceChange, InstanceIndex, NamespaceIndex

_NOTHING_TOLD = Vitals()
_NOT_KNOWN = HealthVerdict(Health.UNKNOWN, "")


@dataclass(frozen=True, slots=True)
class HealthRollUp:
    """The worst health of an instance and all below it, and the name of one that is so."""

    health: Health
    because: str


@dataclass(frozen=True, slots=True)
class HealthMetrics:
    """How an instance does. Seconds of uptime count from when it last became Running; None while it is not up."""

    vitals: Vitals
    uptime_seconds: float | None
    last_beat: datetime | None


class _Namespace:
    """The verdicts on the instances of one namespace; names by health, so that those in trouble are found at once."""

    def __init__(self) -> None:
        self.verdicts: dict[str, HealthVerdict] = {}
        self.names: dict[Health, set[str]] = {health: set() for health in Health}
        self.worst: dict[str, HealthRollUp] | None = (
            None  # what is above one that is not at its best; None: to be found out
        )

    def move(self, name: str, verdict: HealthVerdict | None) -> HealthVerdict | None:
        old = self.verdicts.pop(name, None)
        if old:
            self.names[old.health].discard(name)
        if verdict:
            self.verdicts[name] = verdict
            self.names[verdict.health].add(name)
        return old


class HealthIndex:
    """Keeps a verdict on each instance: call `on_change` and `on_news` with what registry and beats answer to `put`."""

    def __init__(self, registry: InstanceIndex, beats: HeartbeatIndex, journal: Journal | None = None) -> None:
        self._registry = registry
        self._beats = beats
        self._journal = journal
        self._namespaces: dict[str, _Namespace] = {}

    def of(self, instance: HopperInstance) -> HealthVerdict:
        """Return the verdict on an instance itself."""
        known = self._namespaces.get(instance.namespace)
        return known.verdicts.get(instance.name, _NOT_KNOWN) if known else _NOT_KNOWN

    def rolled_up(self, instance: HopperInstance) -> HealthRollUp:
        """Return the worst of an instance and all below it."""
        known = self._namespaces.get(instance.namespace)
        own = HealthRollUp(self.of(instance).health, instance.name)
        if known is None:
            return own
        if known.worst is None:
            known.worst = _roll_up(known, self._registry.namespace(instance.namespace))
        return known.worst.get(instance.name, own)

    def names(self, namespace: str, *healths: Health) -> set[str]:
        """Return the names of the instances that are so themselves."""
        known = self._namespaces.get(namespace)
        return set().union(*(known.names[health] for health in healths)) if known else set()

    def metrics(self, instance: HopperInstance, now: datetime | None = None) -> HealthMetrics:
        """Return what the last heartbeat told of an instance, and for how long it has been up."""
        beat, started = self._beats.last(instance), instance.status.started_at
        up = started is not None and instance.status.phase in STARTED
        uptime = max(((now or datetime.now(UTC)) - started).total_seconds(), 0.0) if up and started else None
        return HealthMetrics(beat or _NOTHING_TOLD, uptime, beat.at if beat else None)

    def on_change(self, change: InstanceChange) -> None:
        """Take in a change of the registry."""
        namespace = self._namespaces.setdefault(change.subject.namespace, _Namespace())
        if change.new is None:
            namespace.move(change.subject.name, None)
            namespace.worst = None
            if not namespace.verdicts:
                del self._namespaces[change.subject.namespace]
            return
        if change.old is None or change.old.parent_name != change.new.parent_name:
            namespace.worst = None
        self._judge(namespace, change.new)

    def on_news(self, news: HeartbeatChange) -> None:
        """Take in what a ConfigMap of heartbeats told: who beats is well again, and for the others time goes on."""
        namespace, index = self._namespaces.get(news.namespace), self._registry.namespace(news.namespace)
        if namespace is None:
            return
        for instance in index.expecting_beats(news.shard):
            self._judge(namespace, instance)
        for name in news.names:
            instance_ = index.get(name)
            if instance_ is not None and instance_.spec.heartbeat is None:
                self._judge(namespace, instance_)

    def _judge(self, namespace: _Namespace, instance: HopperInstance) -> None:
        verdict = health_of(instance, self._beats.heard(instance), self._beats.last(instance))
        old = namespace.move(instance.name, verdict)
        same = old is not None and old.health is verdict.health
        if old is not None and same and (old.reason == verdict.reason or not old.health.is_trouble):
            return
        namespace.worst = None
        if old is not None and self._journal:
            told = {"from": old.health, "to": verdict.health, "reason": verdict.reason, "message": verdict.message}
            self._journal.write(EventKind.HEALTH, instance, **told)


def _roll_up(known: _Namespace, index: NamespaceIndex) -> dict[str, HealthRollUp]:
    """Pass every verdict up, the worst first: each instance takes the first that comes, and so do all above it.

    Those with nobody below them are left out: they are what they are themselves.
    """
    found: dict[str, HealthRollUp] = {}
    for health in sorted(Health, key=lambda it: it.severity, reverse=True):
        for name in sorted(known.names[health]):
            step: str | None = name if index.children(name) else _parent(index, name)
            while step is not None and step not in found and index.get(step) is not None:
                found[step] = HealthRollUp(health, name)
                step = _parent(index, step)
    return found


def _parent(index: NamespaceIndex, name: str) -> str | None:
    instance = index.get(name)
    return instance.parent_name if instance else None
