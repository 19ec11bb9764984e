"""Facets: names of instances by what they are. Names, so that a new version of an instance moves only what changed."""

from collections.abc import Collection, Iterator

from hopper.api.heartbeat import shard_of
from hopper.api.instance import HopperInstance

# What is asked about, and the answer: ("scope", "Project").
Facet = tuple[str, str]


class Facets:
    """The names that have a facet, by facet."""

    def __init__(self) -> None:
        # Many a label is that of one instance only: a set would be most of what its entry takes.
        self._names: dict[Facet, set[str] | str] = {}

    def __getitem__(self, facet: Facet) -> Collection[str]:
        names = self._names.get(facet, ())
        return (names,) if isinstance(names, str) else names

    def __len__(self) -> int:
        return len(self._names)

    def move(self, name: str, old: HopperInstance | None, new: HopperInstance | None) -> None:
        """Take an instance from where its old version was to where the new one belongs."""
        before = set(facets_of(old)) if old else set()
        after = set(facets_of(new)) if new else set()
        for facet in before - after:
            self._take_out(facet, name)
        for facet in after - before:
            self._put_in(facet, name)

    def _put_in(self, facet: Facet, name: str) -> None:
        names = self._names.get(facet)
        if isinstance(names, set):
            names.add(name)
        else:
            self._names[facet] = name if names is None else {names, name}

    def _take_out(self, facet: Facet, name: str) -> None:
        names = self._names[facet]
        if isinstance(names, set):
            names.discard(name)
        if not names or names == name:
            del self._names[facet]


def facets_of(instance: HopperInstance) -> Iterator[Facet]:
    """Yield everything an instance is found by."""
    spec = instance.spec
    yield "scope", spec.scope
    yield "phase", instance.status.phase
    yield "type", spec.effective_type
    for capability in capabilities_of(instance):
        yield "capability", capability
    for label, value in (instance.metadata.labels or {}).items():
        yield "label", f"{label}={value}"
    if spec.heartbeat:
        yield "heartbeat", str(shard_of(instance.name))


def capabilities_of(instance: HopperInstance) -> tuple[str, ...]:
    """Return the capabilities in `spec.config`. Children do not inherit capabilities."""
    return (instance.spec.config and instance.spec.config.capabilities) or ()
