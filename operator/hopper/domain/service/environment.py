"""Environment variables: references between them, and reads from templated configuration files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from hopper.api.service import EnvEntry

_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")  # Kubernetes writes a literal `$` as `$$`


class EnvValues(Mapping[str, str]):
    """Values of environment variables by name, for templated files. `secret_was_read` records reads of secret ones."""

    def __init__(self, entries: Sequence[EnvEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self.secret_was_read = False

    def __getitem__(self, name: str) -> str:
        entry = self._entries[name]
        if entry.value is None:
            raise ValueError(f"{name} is set by valueFrom, and only the pod knows its value: do not use it here")
        self.secret_was_read |= bool(entry.secret)
        return entry.value

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return (name for name, entry in self._entries.items() if entry.value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def referenced_names(value: str) -> frozenset[str]:
    """Return the names of variables that a value refers to as `$(NAME)`."""
    return frozenset(name for name in _REFERENCE.findall(value) if name)


def sort_by_reference(entries: Iterable[EnvEntry]) -> tuple[EnvEntry, ...]:
    """Return the variables sorted so that each follows the variables it refers to.

    The kubelet expands only references to earlier variables. With a reference cycle, the given order is kept.
    """
    by_name = {entry.name: entry for entry in entries}
    try:
        return tuple(by_name[name] for name in _reference_sorter(by_name).static_order())
    except CycleError:
        return tuple(by_name.values())


def find_reference_cycle(entries: Iterable[EnvEntry]) -> tuple[str, ...] | None:
    """Return the names of variables whose references form a cycle, None if there is no cycle."""
    try:
        _reference_sorter({entry.name: entry for entry in entries}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return tuple(cycle)
    return None


def _reference_sorter(by_name: Mapping[str, EnvEntry]) -> TopologicalSorter[str]:
    """Return a sorter over the references. Secret values have none, because the kubelet does not expand them."""
    sorter = TopologicalSorter(dict.fromkeys(by_name, ()))
    for name, entry in by_name.items():
        if entry.value is not None and not entry.secret:
            sorter.add(name, *sorted(referenced_names(entry.value) & by_name.keys() - {name}))
    return sorter
