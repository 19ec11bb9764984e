"""The catalogue: instances, heartbeats, health and journal kept in step, for whoever answers questions about them."""

from dataclasses import dataclass, field

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.gateway.discovery.criteria import Criteria
from hopper.gateway.discovery.health import HealthIndex
from hopper.gateway.discovery.journal import Journal
from hopper.gateway.discovery.search import find
from hopper.registry.heartbeats import HeartbeatChange, HeartbeatIndex
from hopper.registry.instances import InstanceChange, InstanceIndex

_IN_TROUBLE = tuple(health for health in Health if health.is_trouble)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Whoever feeds registry and heartbeats passes each change on to `on_change`, and all news to `on_news`.

    Call `journal.open()` when everything that existed at the start is known.
    """

    instances: InstanceIndex = field(default_factory=InstanceIndex)
    beats: HeartbeatIndex = field(default_factory=HeartbeatIndex)
    journal: Journal = field(default_factory=Journal)
    healths: HealthIndex = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "healths", HealthIndex(self.instances, self.beats, self.journal))

    def on_change(self, change: InstanceChange) -> None:
        """Take in a change of the registry."""
        self.journal.note(change)
        self.healths.on_change(change)

    def on_news(self, news: HeartbeatChange) -> None:
        """Take in what the heartbeats tell."""
        self.healths.on_news(news)

    def find(self, namespace: str, criteria: Criteria) -> list[HopperInstance]:
        """Return the instances of a namespace that fit all the criteria, by name."""
        if criteria.healthy is None:
            return find(self.instances.namespace(namespace), criteria)
        healths = (Health.HEALTHY,) if criteria.healthy else _IN_TROUBLE
        return find(self.instances.namespace(namespace), criteria, self.healths.names(namespace, *healths))
