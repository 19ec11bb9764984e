"""FacetIndex: the properties by which instances are found, and an index of the names of instances that have them."""

from collections.abc import Collection, Iterator

from hopper.api.heartbeat import shard_of
from hopper.api.instance import HopperInstance

# A property and its value, such as ("scope", "Project").
Facet = tuple[str, str]


class FacetIndex:
    """Names of instances by facet. It holds names, so that a new version of an instance only moves what has changed."""

    def __init__(self) -> None:
        # Many labels are on one instance only. A plain string takes much less memory than a set of one.
        self._names: dict[Facet, set[str] | str] = {}

    def __getitem__(self, facet: Facet) -> Collection[str]:
        names = self._names.get(facet, ())
        return (names,) if isinstance(names, str) else names

    def __len__(self) -> int:
        return len(self._names)

    def update(self, name: str, old: HopperInstance | None, new: HopperInstance | None) -> None:
        """Replace the facets of the old version of an instance with those of the new version."""
        old_facets = set(facets_of(old)) if old else set()
        new_facets = set(facets_of(new)) if new else set()
        for facet in old_facets - new_facets:
            self._remove(facet, name)
        for facet in new_facets - old_facets:
            self._add(facet, name)

    def _add(self, facet: Facet, name: str) -> None:
        names = self._names.get(facet)
        if isinstance(names, set):
            names.add(name)
        else:
            self._names[facet] = name if names is None else {names, name}

    def _remove(self, facet: Facet, name: str) -> None:
        names = self._names[facet]
        if isinstance(names, set):
            names.discard(name)
        if not names or names == name:
            del self._names[facet]


def facets_of(instance: HopperInstance) -> Iterator[Facet]:
    """Yield all facets of an instance."""
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
