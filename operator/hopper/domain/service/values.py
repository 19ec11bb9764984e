"""The values that a templated configuration file may use. Adding one here means documenting it, renaming one never."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance
from hopper.api.model import dump
from hopper.api.service import EnvEntry, PortEntry
from hopper.domain.config import effective_config
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.naming import ObjectNames, nearest_project

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)


class Variables(Mapping[str, str]):
    """The values of environment variables. Remembers whether a secret one was read."""

    def __init__(self, entries: Sequence[EnvEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self.secret_was_read = False

    def __getitem__(self, name: str) -> str:
        entry = self._entries[name]
        if entry.value is None:
            raise ValueError(f"{name} comes from another object, and only the pod knows its value: leave it out")
        self.secret_was_read |= bool(entry.secret)
        return entry.value

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return (name for name, entry in self._entries.items() if entry.value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def values_of(
    instance: HopperInstance, ancestors: Sequence[HopperInstance], effective: EffectiveService, names: ObjectNames
) -> dict[str, Any]:
    """Return the values for one instance whose ancestors are given nearest first. What is not set is left out."""
    spec = effective.spec
    identity = {
        "name": instance.name,
        "namespace": instance.namespace,
        "scope": instance.spec.scope.value,
        "path": "/".join(one.name for one in (*reversed(ancestors), instance)),
        "displayName": instance.spec.display_name,
        "host": names.base,
    }
    values = {
        "instance": {key: value for key, value in identity.items() if value is not None},
        "parent": ancestors[0].name if ancestors else None,
        "project": nearest_project(ancestors),
        "ports": [_port(port) for port in spec.ports],
        "labels": {label.name: label.value for label in spec.labels},
        "config": dump(_CONFIG, effective_config(instance, ancestors)),
        "env": Variables(spec.env),
    }
    return {key: value for key, value in values.items() if value is not None}


def _port(port: PortEntry) -> dict[str, Any]:
    offered = port.host_port or port.container_port
    return {"containerPort": port.container_port, "port": offered, "protocol": port.protocol.value}
