"""Health of every instance: its own, the worst among its descendants, and the metrics from its last heartbeat."""

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

_NO_VITALS = Vitals()
_UNKNOWN = HealthVerdict(Health.UNKNOWN, "")


@dataclass(frozen=True, slots=True)
class HealthRollUp:
    """Worst health among an instance and its descendants, and the name of an instance with that health."""

    health: Health
    source: str


@dataclass(frozen=True, slots=True)
class HealthMetrics:
    """Metrics of an instance. Uptime is in seconds since it last became Running, None if it is not up."""

    vitals: Vitals
    uptime_seconds: float | None
    last_heartbeat: datetime | None


class _NamespaceHealth:
    """Verdicts on the instances of one namespace, and the names by health to find instances in trouble fast."""

    def __init__(self) -> None:
        self.verdicts: dict[str, HealthVerdict] = {}
        self.names: dict[Health, set[str]] = {health: set() for health in Health}
        # Only instances with children have an entry. None until computed.
        self.roll_ups: dict[str, HealthRollUp] | None = None

    def replace(self, name: str, verdict: HealthVerdict | None) -> HealthVerdict | None:
        """Store a verdict, or remove it if None; return the old one."""
        old = self.verdicts.pop(name, None)
        if old:
            self.names[old.health].discard(name)
        if verdict:
            self.verdicts[name] = verdict
            self.names[verdict.health].add(name)
        return old


class HealthIndex:
    """HealthVerdict on each instance. Writes changes of health to the journal.

    `on_change` and `on_heartbeats` need every change of the two indexes.
    """

    def __init__(self, instances: InstanceIndex, heartbeats: HeartbeatIndex, journal: Journal | None = None) -> None:
        self._instances = instances
        self._heartbeats = heartbeats
        self._journal = journal
        self._namespaces: dict[str, _NamespaceHealth] = {}

    def of(self, instance: HopperInstance) -> HealthVerdict:
        """Return the verdict on an instance itself."""
        namespace = self._namespaces.get(instance.namespace)
        return namespace.verdicts.get(instance.name, _UNKNOWN) if namespace else _UNKNOWN

    def rolled_up(self, instance: HopperInstance) -> HealthRollUp:
        """Return the worst health among an instance and its descendants."""
        namespace = self._namespaces.get(instance.namespace)
        own = HealthRollUp(self.of(instance).health, instance.name)
        if namespace is None:
            return own
        if namespace.roll_ups is None:
            namespace.roll_ups = _roll_up(namespace, self._instances.namespace(instance.namespace))
        return namespace.roll_ups.get(instance.name, own)

    def names(self, namespace: str, *healths: Health) -> set[str]:
        """Return the names of the instances with one of these values of health."""
        health = self._namespaces.get(namespace)
        return set().union(*(health.names[wanted] for wanted in healths)) if health else set()

    def metrics(self, instance: HopperInstance, now: datetime | None = None) -> HealthMetrics:
        """Return the uptime of an instance and the metrics from its last heartbeat."""
        heartbeat, started = self._heartbeats.last_heartbeat(instance), instance.status.started_at
        is_up = started is not None and instance.status.phase in STARTED
        uptime = max(((now or datetime.now(UTC)) - started).total_seconds(), 0.0) if is_up and started else None
        return HealthMetrics(heartbeat or _NO_VITALS, uptime, heartbeat.at if heartbeat else None)

    def on_change(self, change: InstanceChange) -> None:
        """Update the verdict after a change of an instance."""
        namespace = self._namespaces.setdefault(change.instance.namespace, _NamespaceHealth())
        if change.new is None:
            namespace.replace(change.instance.name, None)
            namespace.roll_ups = None
            if not namespace.verdicts:
                del self._namespaces[change.instance.namespace]
            return
        if change.old is None or change.old.parent_name != change.new.parent_name:
            namespace.roll_ups = None
        self._judge(namespace, change.new)

    def on_heartbeats(self, change: HeartbeatChange) -> None:
        """Update verdicts after a change of a heartbeat shard.

        All instances of the shard that must send heartbeats are judged, because missing heartbeats time out as well.
        """
        namespace, index = self._namespaces.get(change.namespace), self._instances.namespace(change.namespace)
        if namespace is None:
            return
        for instance in index.with_heartbeat(change.shard):
            self._judge(namespace, instance)
        for name in change.names:
            sender = index.get(name)
            if sender is not None and sender.spec.heartbeat is None:
                self._judge(namespace, sender)

    def __len__(self) -> int:
        """Return the number of instances with a verdict."""
        return sum(len(namespace.verdicts) for namespace in self._namespaces.values())

    def _judge(self, namespace: _NamespaceHealth, instance: HopperInstance) -> None:
        verdict = health_of(instance, self._heartbeats.record(instance), self._heartbeats.last_heartbeat(instance))
        old = namespace.replace(instance.name, verdict)
        is_same = old is not None and old.health is verdict.health
        if old is not None and is_same and (old.reason == verdict.reason or not old.health.is_trouble):
            return
        namespace.roll_ups = None
        if old is not None and self._journal:
            detail = {"from": old.health, "to": verdict.health, "reason": verdict.reason, "message": verdict.message}
            self._journal.append(EventKind.HEALTH, instance, **detail)


def _roll_up(namespace: _NamespaceHealth, index: NamespaceIndex) -> dict[str, HealthRollUp]:
    """Return the worst health below each instance that has children.

    Every verdict moves up the tree, worst first. An ancestor keeps the first verdict, and all its ancestors have the
    same or a worse one by then.
    """
    roll_ups: dict[str, HealthRollUp] = {}
    for health in sorted(Health, key=lambda health: health.severity, reverse=True):
        for name in sorted(namespace.names[health]):
            ancestor: str | None = name if index.children(name) else _parent_of(index, name)
            while ancestor is not None and ancestor not in roll_ups and index.get(ancestor) is not None:
                roll_ups[ancestor] = HealthRollUp(health, name)
                ancestor = _parent_of(index, ancestor)
    return roll_ups


def _parent_of(index: NamespaceIndex, name: str) -> str | None:
    instance = index.get(name)
    return instance.parent_name if instance else None
