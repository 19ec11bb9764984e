"""Where each value of what an instance runs comes from, for people to read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hopper.api.config import SCOPE_CONFIG
from hopper.api.instance import HopperInstance
from hopper.domain.config import effective_value, own_value
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.problem import Origin

SECRET = "(secret)"  # noqa: S105 - what is shown in place of one


@dataclass(frozen=True, slots=True)
class Explained:
    """One value and where it comes from. `source` is the ancestor's name for what is inherited."""

    path: str
    value: Any
    origin: Origin
    source: str = ""

    def __str__(self) -> str:
        """Return one line, such as `env[TZ].value: Europe/Berlin (override)`."""
        return f"{self.path}: {_shown(self.value)} ({self.origin}{f' from {self.source}' if self.source else ''})"


def explain(blueprint: Blueprint, ancestors: Sequence[HopperInstance]) -> tuple[Explained, ...]:
    """List every value: of the service, of the instance's own fields that count, and of its configuration.

    `ancestors` are nearest first. Secret values are not among them: `(secret)` stands in their place.
    """
    return (*_service(blueprint), *_instance(blueprint), *_config(blueprint.instance, ancestors))


def _service(blueprint: Blueprint) -> Iterator[Explained]:
    hidden = {f"env[{entry.name}].value" for entry in blueprint.spec.env if entry.secret}
    for path, value, origin in blueprint.effective.values():
        yield Explained(path, SECRET if path in hidden else value, origin)


def _instance(blueprint: Blueprint) -> Iterator[Explained]:
    instance = blueprint.instance
    yield Explained("replicas", blueprint.replicas, Origin.INSTANCE)
    yield Explained("type", str(blueprint.type), Origin.DEFAULT if instance.spec.type is None else Origin.INSTANCE)


def _config(instance: HopperInstance, ancestors: Sequence[HopperInstance]) -> Iterator[Explained]:
    for path in SCOPE_CONFIG[instance.spec.scope].fields:
        value = effective_value(instance, ancestors, path)
        if value is not None:
            origin, source = _config_origin(instance, ancestors, path)
            yield Explained(f"config.{path}", value, origin, source)


def _config_origin(instance: HopperInstance, ancestors: Sequence[HopperInstance], path: str) -> tuple[Origin, str]:
    """Go up to whoever says it. An ancestor that has it by default only passes on a default."""
    value = effective_value(instance, ancestors, path)
    if own_value(instance, path) == value:
        return Origin.INSTANCE, ""
    field = SCOPE_CONFIG[instance.spec.scope].fields[path]
    if not field.inherit or not ancestors or effective_value(ancestors[0], ancestors[1:], path) != value:
        return Origin.DEFAULT, ""
    origin, source = _config_origin(ancestors[0], ancestors[1:], path)
    return (Origin.INHERITED, source or ancestors[0].name) if origin is not Origin.DEFAULT else (origin, "")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, value))}]"
    first, *more = str(value).split("\n")
    return f"{first} …" if any(more) else first
