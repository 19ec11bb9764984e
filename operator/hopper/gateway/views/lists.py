"""Lists of instances: chosen, sorted, a page at a time."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.gateway.discovery import Catalogue, Criteria

_REMEMBERED = 32
_ANY = Criteria()


class Sort(StrEnum):
    """What a list can be sorted by; a minus in front turns it round."""

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


# Instances come sorted by id, and sorting keeps that order among those that are equal.
_KEYS: dict[str, Callable[[HopperInstance], Any]] = {
    "name": lambda it: it.spec.display_name or it.metadata.name,
    "created_at": lambda it: it.metadata.creation_timestamp,
    "updated_at": lambda it: it.metadata.last_write or it.metadata.creation_timestamp,
    "scope": lambda it: it.spec.scope,
    "status": lambda it: it.status.phase,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A list that somebody wants. `called` is a pattern for the id or the name, in any case."""

    criteria: Criteria = _ANY
    called: str | None = None
    sort: Sort = Sort.ID


_EVERYBODY = Asked()


class Lists:
    """Answers lists. The last few are remembered while nothing changes: choosing and sorting is most of the work."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: OrderedDict[str, tuple[int, Sequence[str]]] = OrderedDict()

    def page(self, namespace: str, asked: Asked, skip: int, limit: int) -> tuple[list[HopperInstance], int]:
        """Return a part of those that match, and how many match in all."""
        index = self._catalogue.instances.namespace(namespace)
        names = index.names if asked == _EVERYBODY else self._names(namespace, asked)
        part = (index.get(name) for name in names[skip : skip + limit])
        return [it for it in part if it is not None], len(names)

    def _names(self, namespace: str, asked: Asked) -> Sequence[str]:
        key, revision = f"{namespace} {asked}", self._catalogue.journal.revision
        known = self._known.get(key)
        if known and known[0] == revision:
            return known[1]
        names = self._by_index(namespace, asked)
        if names is None:
            names = [it.name for it in self._choose(namespace, asked)]
        self._known[key] = revision, names
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return names

    def _by_index(self, namespace: str, asked: Asked) -> Sequence[str] | None:
        """Return the names where the indexes hold the whole answer; None where instances have to be looked at."""
        it = asked.criteria
        if (
            asked.called
            or asked.sort is not Sort.ID
            or it.name
            or it.ancestor
            or it.can_parent
            or it.healthy is not None
        ):
            return None
        index = self._catalogue.instances.namespace(namespace)
        groups = [[index.having(facet) for facet in facets] for facets in it.facet_groups()]
        if not groups:
            return None
        found = [set[str]().union(*group) for group in groups]
        return sorted(set.intersection(*sorted(found, key=len)))

    def _choose(self, namespace: str, asked: Asked) -> Sequence[HopperInstance]:
        found = self._catalogue.find(namespace, asked.criteria)
        if asked.called is not None:
            pattern = asked.called.lower()
            found = [it for it in found if _is_called(it, pattern)]
        field, down = asked.sort.removeprefix("-"), asked.sort.startswith("-")
        if field == "id":
            return found[::-1] if down else found
        return sorted(found, key=_KEYS[field], reverse=down)


def _is_called(instance: HopperInstance, pattern: str) -> bool:
    names = {instance.name, instance.spec.display_name or instance.name}
    return any(fnmatchcase(name.lower(), pattern) for name in names)
