"""The order of environment variables: one that refers to others as `$(NAME)` has to come after them."""

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from hopper.api.service import EnvEntry

_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")  # `$$` is how Kubernetes writes a plain `$`


def references(value: str) -> frozenset[str]:
    """Return the names that a value refers to."""
    return frozenset(name for name in _REFERENCE.findall(value) if name)


def in_order(entries: Iterable[EnvEntry]) -> tuple[EnvEntry, ...]:
    """Return the variables so that each follows those that it refers to; where that cannot be, in the order given."""
    given = {entry.name: entry for entry in entries}
    try:
        return tuple(given[name] for name in _sorter(given).static_order())
    except CycleError:
        return tuple(given.values())


def find_reference_cycle(entries: Iterable[EnvEntry]) -> tuple[str, ...] | None:
    """Return the names of variables that refer to each other in a circle, None without one."""
    try:
        _sorter({entry.name: entry for entry in entries}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return tuple(circle)
    return None


def _sorter(given: Mapping[str, EnvEntry]) -> TopologicalSorter[str]:
    """Order by what is before each variable. A secret value is not expanded: the kubelet takes it as it is."""
    sorter = TopologicalSorter(dict.fromkeys(given, ()))
    for name, entry in given.items():
        if entry.value is not None and not entry.secret:
            sorter.add(name, *sorted(references(entry.value) & given.keys() - {name}))
    return sorter
