"""Queries of the instance index: one instance by name or uid, and pages of lists."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.gateway.discovery import ANY_INSTANCE, Catalogue, Criteria
from hopper.gateway.http.errors import HttpNotFoundError
from hopper.registry import NamespaceIndex

_CACHED_QUERIES = 32


def find_instance(index: NamespaceIndex, identity: str) -> HopperInstance | None:
    """Return the instance with this name, or else with this uid; None if there is none."""
    return index.get(identity) or index.by_uid(identity)


def get_instance_or_404(index: NamespaceIndex, identity: str) -> HopperInstance:
    """Return the instance with this name or uid. Raises `HttpNotFoundError`."""
    instance = find_instance(index, identity)
    if instance is None:
        raise instance_not_found(identity)
    return instance


def instance_not_found(identity: str) -> HttpNotFoundError:
    """Return the 404 for an instance."""
    return HttpNotFoundError(f"Instance {identity} not found")


class Sort(StrEnum):
    """Field to sort a list by. A minus sign reverses the order."""

    ID = "id"
    NAME = "name"
    CREATED = "created_at"
    UPDATED = "updated_at"
    SCOPE = "scope"
    STATUS = "status"
    ID_DOWN = "-id"
    NAME_DOWN = "-name"
    CREATED_DOWN = "-created_at"
    UPDATED_DOWN = "-updated_at"
    SCOPE_DOWN = "-scope"
    STATUS_DOWN = "-status"


# Instances are sorted by id beforehand, and the sort is stable: equal values stay in the order of their ids.
_SORT_KEYS: dict[str, Callable[[HopperInstance], Any]] = {
    "name": lambda instance: instance.spec.display_name or instance.metadata.name,
    "created_at": lambda instance: instance.metadata.creation_timestamp,
    "updated_at": lambda instance: instance.metadata.last_write or instance.metadata.creation_timestamp,
    "scope": lambda instance: instance.spec.scope,
    "status": lambda instance: instance.status.phase,
}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A filter and an order. `name_pattern` is a case-insensitive shell pattern for the id or the display name."""

    criteria: Criteria = ANY_INSTANCE
    name_pattern: str | None = None
    sort: Sort = Sort.ID


_ALL_INSTANCES = ListQuery()


class InstanceLists:
    """Pages of instance lists.

    Filtering and sorting is most of the work, so the results of recent queries are cached until an instance changes.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cache: OrderedDict[str, tuple[int, Sequence[str]]] = OrderedDict()

    def page(self, namespace: str, query: ListQuery, skip: int, limit: int) -> tuple[list[HopperInstance], int]:
        """Return a page of the matching instances, and the number of matches on all pages."""
        index = self._catalogue.instances.namespace(namespace)
        names = index.names if query == _ALL_INSTANCES else self._names(namespace, query)
        instances = (index.get(name) for name in names[skip : skip + limit])
        return [instance for instance in instances if instance is not None], len(names)

    def _names(self, namespace: str, query: ListQuery) -> Sequence[str]:
        key, revision = f"{namespace} {query}", self._catalogue.journal.revision
        cached = self._cache.get(key)
        if cached and cached[0] == revision:
            return cached[1]
        names = self._names_from_facets(namespace, query)
        if names is None:
            names = [instance.name for instance in self._filter_and_sort(namespace, query)]
        self._cache[key] = revision, names
        self._cache.move_to_end(key)
        if len(self._cache) > _CACHED_QUERIES:
            self._cache.popitem(last=False)
        return names

    def _names_from_facets(self, namespace: str, query: ListQuery) -> Sequence[str] | None:
        """Return the names if the facets alone answer the query; None if each instance must be checked."""
        criteria = query.criteria
        if (
            query.name_pattern
            or query.sort is not Sort.ID
            or criteria.name
            or criteria.ancestor
            or criteria.can_parent
            or criteria.healthy is not None
        ):
            return None
        index = self._catalogue.instances.namespace(namespace)
        groups = [[index.names_with_facet(facet) for facet in facets] for facets in criteria.facet_groups()]
        if not groups:
            return None
        matches = [set[str]().union(*group) for group in groups]
        return sorted(set.intersection(*sorted(matches, key=len)))

    def _filter_and_sort(self, namespace: str, query: ListQuery) -> Sequence[HopperInstance]:
        instances = self._catalogue.find(namespace, query.criteria)
        if query.name_pattern is not None:
            pattern = query.name_pattern.lower()
            instances = [instance for instance in instances if _matches_name(instance, pattern)]
        field, is_reversed = query.sort.removeprefix("-"), query.sort.startswith("-")
        if field == "id":
            return instances[::-1] if is_reversed else instances
        return sorted(instances, key=_SORT_KEYS[field], reverse=is_reversed)


def _matches_name(instance: HopperInstance, pattern: str) -> bool:
    names = {instance.name, instance.spec.display_name or instance.name}
    return any(fnmatchcase(name.lower(), pattern) for name in names)
