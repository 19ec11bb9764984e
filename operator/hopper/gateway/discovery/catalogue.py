"""Catalogue of the instances: index, heartbeats, health and journal, all updated by the same changes."""

from dataclasses import dataclass, field

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.gateway.discovery.health import HealthIndex
from hopper.gateway.discovery.journal import Journal
from hopper.gateway.discovery.search import Criteria, find_instances
from hopper.registry.heartbeats import HeartbeatChange, HeartbeatIndex
from hopper.registry.instances import InstanceChange, InstanceIndex

_IN_TROUBLE = tuple(health for health in Health if health.is_trouble)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Instances and heartbeats, with the health and the journal derived from them.

    Code that writes to `instances` or `heartbeats` must pass each change to `on_change` or `on_heartbeats`. Call
    `journal.open()` when the initial list is complete.
    """

    instances: InstanceIndex = field(default_factory=InstanceIndex)
    heartbeats: HeartbeatIndex = field(default_factory=HeartbeatIndex)
    journal: Journal = field(default_factory=Journal)
    health: HealthIndex = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "health", HealthIndex(self.instances, self.heartbeats, self.journal))

    @property
    def revision(self) -> str:
        """Token of the journal's current revision. Clients send it to get the events after it."""
        return self.journal.token(self.journal.revision)

    def on_change(self, change: InstanceChange) -> None:
        """Update health and journal after a change of an instance."""
        self.journal.record(change)
        self.health.on_change(change)

    def on_heartbeats(self, change: HeartbeatChange) -> None:
        """Update health and journal after a change of a heartbeat shard."""
        self.health.on_heartbeats(change)

    def find(self, namespace: str, criteria: Criteria) -> list[HopperInstance]:
        """Return the instances of a namespace that meet all criteria, sorted by name."""
        index = self.instances.namespace(namespace)
        if criteria.healthy is None:
            return find_instances(index, criteria)
        accepted = (Health.HEALTHY,) if criteria.healthy else _IN_TROUBLE
        return find_instances(index, criteria, self.health.names(namespace, *accepted))
