"""Search for instances by criteria, through the smallest index that contains all matches."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain, islice

from hopper.api.enums import InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.scopes import SCOPES
from hopper.domain.hierarchy import has_free_slot
from hopper.domain.tree import descendants, is_below
from hopper.registry import NamespaceIndex
from hopper.registry.facets import Facet, capabilities_of

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Criteria that an instance must meet, all at once. A criterion that is None or empty matches every instance.

    `parent` and `ancestor` are instance names. `name` is a shell pattern (`*`, `?`, `[…]`). An instance needs one of
    `phases`, and all of `capabilities` and `labels`. `can_parent` selects instances that may have one more child of
    that scope. `healthy` selects healthy instances if true, and instances in trouble (`Health.is_trouble`) if false.
    Inactive instances are neither.
    """

    scope: Scope | None = None
    phases: Collection[Phase] = ()
    type: InstanceType | None = None
    parent: str | None = None
    ancestor: str | None = None
    template: str | None = None
    capabilities: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    can_parent: Scope | None = None
    healthy: bool | None = None

    def match(self, instance: HopperInstance) -> bool:
        """Whether an instance meets the criteria that need only the object: not `ancestor`, `can_parent`, `healthy`."""
        spec = instance.spec
        return (
            (self.scope is None or spec.scope is self.scope)
            and (not self.phases or instance.status.phase in self.phases)
            and (self.type is None or spec.effective_type is self.type)
            and (self.parent is None or instance.parent_name == self.parent)
            and (self.template is None or (spec.template_ref is not None and spec.template_ref.name == self.template))
            and (not self.capabilities or set(self.capabilities) <= set(capabilities_of(instance)))
            and (not self.labels or self.labels.items() <= (instance.metadata.labels or {}).items())
            and (self.name is None or fnmatchcase(instance.name, self.name))
        )

    def facet_groups(self) -> Iterator[tuple[Facet, ...]]:
        """Yield one group of alternative facets (OR) per criterion, for `NamespaceIndex.names_with_facet`."""
        if self.scope is not None:
            yield (("scope", self.scope),)
        if self.phases:
            yield tuple(("phase", phase) for phase in self.phases)
        if self.type is not None:
            yield (("type", self.type),)
        for capability in self.capabilities:
            yield (("capability", capability),)
        for label, value in self.labels.items():
            yield (("label", f"{label}={value}"),)
        if self.parent is not None:
            yield (("parent", self.parent),)
        if self.template is not None:
            yield (("template", self.template),)


ANY_INSTANCE = Criteria()


def find_instances(
    index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None = None
) -> list[HopperInstance]:
    """Return the instances of a namespace that meet the criteria, sorted by name.

    `among` restricts the search to these names. `criteria.healthy` is ignored, because the index does not hold health.
    """
    if among is None and criteria == ANY_INSTANCE:
        return index.in_order()
    names = _candidates(index, criteria, among)
    candidates = (index.get(name) for name in names)
    matches = [instance for instance in candidates if instance is not None and _meets(instance, index, criteria, among)]
    if names is not index.names:
        matches.sort(key=lambda instance: instance.name)
    return matches


def possible_parents(index: NamespaceIndex, scope: Scope) -> list[HopperInstance]:
    """Return the instances that may have one more child of a scope."""
    return find_instances(index, Criteria(can_parent=scope))


def _meets(instance: HopperInstance, index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> bool:
    """Whether an instance meets all criteria. Cheap checks come first."""
    if not criteria.match(instance) or (among is not None and instance.name not in among):
        return False
    if criteria.ancestor is not None and not is_below(instance, criteria.ancestor, index):
        return False
    scope = criteria.can_parent
    return scope is None or (instance.spec.scope in SCOPES[scope].parents and has_free_slot(instance, index))


def _candidates(index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> Collection[str]:
    """Return the names in the smallest index that contains all matches."""
    smallest = min(_name_sets(index, criteria, among), key=len, default=None)
    size = len(index) if smallest is None else len(smallest)
    if criteria.ancestor is not None:
        # The walk stops when there are more descendants than names in the smallest index.
        descendant_names = [instance.name for instance in islice(descendants(criteria.ancestor, index), size)]
        if len(descendant_names) < size:
            return descendant_names
    return index.names if smallest is None else smallest


def _name_sets(index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> Iterator[Collection[str]]:
    """Yield, for each criterion, the names of the instances that meet it."""
    for facets in criteria.facet_groups():
        yield _union(index.names_with_facet(facet) for facet in facets)
    if criteria.can_parent is not None:
        yield _union(index.names_with_facet(("scope", scope)) for scope in SCOPES[criteria.can_parent].parents)
    if criteria.name is not None:
        wildcard = _WILDCARD.search(criteria.name)
        yield index.names_with_prefix(criteria.name[: wildcard.start()]) if wildcard else [criteria.name]
    if among is not None:
        yield among


class _Union(Collection[str]):
    """Union of disjoint sets, without a copy."""

    def __init__(self, sets: Iterable[Collection[str]]) -> None:
        self._sets = tuple(sets)

    def __len__(self) -> int:
        return sum(map(len, self._sets))

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._sets)

    def __contains__(self, name: object) -> bool:
        return any(name in names for names in self._sets)


def _union(sets: Iterable[Collection[str]]) -> Collection[str]:
    sets = tuple(sets)
    return sets[0] if len(sets) == 1 else _Union(sets)
