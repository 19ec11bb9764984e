"""What is read from the registry: one instance, lists, and the tree."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from heapq import nsmallest
from typing import Any

from hopper.api.enums import InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.gateway.errors import MissingError
from hopper.registry import NamespaceIndex


def lookup(index: NamespaceIndex, identity: str) -> HopperInstance | None:
    """Return the instance of that name, or else of that uid."""
    found = index.get(identity)
    return found or next((it for it in index if it.metadata.uid == identity), None)


def find(index: NamespaceIndex, identity: str) -> HopperInstance:
    """Return the instance of that name or uid. Raises `MissingError`."""
    found = lookup(index, identity)
    if found is None:
        raise MissingError(f"Instance {identity} not found")
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """Criteria of a list; None is any. `parent` empty: those without one."""

    scope: Scope | None = None
    status: Phase | None = None
    type: InstanceType | None = None
    parent: str | None = None
    name: str | None = None

    def __contains__(self, it: HopperInstance) -> bool:
        return (
            (self.scope is None or it.spec.scope is self.scope)
            and (self.status is None or it.status.phase is self.status)
            and (self.type is None or it.spec.effective_type is self.type)
            and (self.parent is None or (it.parent_name or "") == self.parent)
            and (self.name is None or _is_called(it, self.name))
        )


def _is_called(instance: HopperInstance, pattern: str) -> bool:
    names = (instance.name, instance.spec.display_name or instance.name)
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


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


def _key(sort: Sort) -> Any:
    keys: dict[str, Any] = {
        "id": lambda it: it.metadata.name,
        "name": lambda it: ((it.spec.display_name or it.metadata.name), it.metadata.name),
        "created_at": lambda it: (it.metadata.creation_timestamp, it.metadata.name),
        "updated_at": lambda it: (it.metadata.last_write or it.metadata.creation_timestamp, it.metadata.name),
        "scope": lambda it: (it.spec.scope, it.metadata.name),
        "status": lambda it: (it.status.phase, it.metadata.name),
    }
    return keys[sort.removeprefix("-")]


def page(
    instances: Iterable[HopperInstance], wanted: Wanted, sort: Sort, skip: int, limit: int
) -> tuple[list[HopperInstance], int]:
    """Return a part of those that match, and how many match in all."""
    found = [it for it in instances if it in wanted]
    key, end = _key(sort), skip + limit
    if sort.startswith("-"):
        return sorted(found, key=key, reverse=True)[skip:end], len(found)
    first = nsmallest(end, found, key=key) if end * 4 < len(found) else sorted(found, key=key)
    return first[skip:end], len(found)
