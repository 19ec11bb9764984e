"""The catalogue: instances, heartbeats, health and journal kept in step, for whoever answers questions about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.registry.beats import Beats
from hopper.registry.criteria import Criteria
from hopper.registry.discovery import find
from hopper.registry.health import Healths
from hopper.registry.index import Change, Registry
from hopper.registry.journal import Journal

_IN_TROUBLE = tuple(health for health in Health if health.is_trouble)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Whoever feeds the registry passes each change on to `on_change`; ConfigMaps of heartbeats go to `take_beats`.

    Call `journal.open()` when everything that existed at the start is known.
    """

    instances: Registry = field(default_factory=Registry)
    beats: Beats = field(default_factory=Beats)
    journal: Journal = field(default_factory=Journal)
    healths: Healths = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "healths", Healths(self.instances, self.beats, self.journal))

    def on_change(self, change: Change) -> None:
        """Take in a change of the registry."""
        self.journal.note(change)
        self.healths.on_change(change)

    def take_beats(self, raw: Mapping[str, Any]) -> bool:
        """Take in a version of a ConfigMap; False where it holds no heartbeats, or none that are new."""
        news = self.beats.put(raw)
        if news:
            self.healths.on_news(news)
        return news is not None

    def drop_beats(self, raw: Mapping[str, Any]) -> None:
        """Take in that a ConfigMap is gone."""
        metadata = raw["metadata"]
        if news := self.beats.remove(metadata["namespace"], metadata["name"], metadata["uid"]):
            self.healths.on_news(news)

    def find(self, namespace: str, criteria: Criteria) -> list[HopperInstance]:
        """Return the instances of a namespace that fit all the criteria, by name."""
        if criteria.healthy is None:
            return find(self.instances.namespace(namespace), criteria)
        healths = (Health.HEALTHY,) if criteria.healthy else _IN_TROUBLE
        return find(self.instances.namespace(namespace), criteria, self.healths.names(namespace, *healths))
