"""Discovery: the instances that fit some criteria, by way of the smallest index that holds them all."""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice

from hopper.api.enums import Scope
from hopper.api.instance import HopperInstance
from hopper.api.scopes import SCOPES
from hopper.domain.hierarchy import has_free_slot
from hopper.domain.tree import descendants, is_below
from hopper.gateway.discovery.criteria import Criteria
from hopper.registry.instances import NamespaceIndex

_EVERYTHING = Criteria()
_WILDCARD = re.compile(r"[*?\[]")


def find(index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None = None) -> list[HopperInstance]:
    """Return the instances of a namespace that fit, by name.

    `among` names those to choose from, such as those that are healthy: of `criteria.healthy` nothing is known here.
    """
    if among is None and criteria == _EVERYTHING:
        return index.in_order()
    names = _candidates(index, criteria, among)
    found = [it for name in names if (it := index.get(name)) is not None and _fits(it, index, criteria, among)]
    if names is not index.names:
        found.sort(key=lambda it: it.name)
    return found


def possible_parents(index: NamespaceIndex, scope: Scope) -> list[HopperInstance]:
    """Return those below which one more instance of that scope can live."""
    return find(index, Criteria(can_parent=scope))


def _fits(it: HopperInstance, index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> bool:
    """Check what is cheap first."""
    if not criteria.match(it) or (among is not None and it.name not in among):
        return False
    if criteria.ancestor is not None and not is_below(it, criteria.ancestor, index):
        return False
    scope = criteria.can_parent
    return scope is None or (it.spec.scope in SCOPES[scope].parents and has_free_slot(it, index))


def _candidates(index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> Collection[str]:
    """Return the names that the smallest index leaves to be looked at."""
    smallest = min(_indexes(index, criteria, among), key=len, default=None)
    size = len(index) if smallest is None else len(smallest)
    if criteria.ancestor is not None:
        # Those below are counted only as far as it pays.
        below = [it.name for it in islice(descendants(criteria.ancestor, index), size)]
        if len(below) < size:
            return below
    return index.names if smallest is None else smallest


def _indexes(index: NamespaceIndex, criteria: Criteria, among: Collection[str] | None) -> Iterator[Collection[str]]:
    for facets in criteria.facet_groups():
        yield _together(index.having(facet) for facet in facets)
    if criteria.can_parent is not None:
        yield _together(index.having(("scope", scope)) for scope in SCOPES[criteria.can_parent].parents)
    if criteria.name is not None:
        wildcard = _WILDCARD.search(criteria.name)
        yield index.names_beginning(criteria.name[: wildcard.start()]) if wildcard else [criteria.name]
    if among is not None:
        yield among


class _Union(Collection[str]):
    """Sets that have nothing in common, put together without a copy."""

    def __init__(self, parts: Iterable[Collection[str]]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self._parts)


def _together(parts: Iterable[Collection[str]]) -> Collection[str]:
    found = tuple(parts)
    return found[0] if len(found) == 1 else _Union(found)
