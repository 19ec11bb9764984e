"""Explanation of an instance: every value that it runs with, and the origin of the value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.scopes import SCOPE_CONFIG
from hopper.domain.config import effective_value, own_value
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.merge import Origin

SECRET_PLACEHOLDER = "(secret)"  # noqa: S105 - shown instead of a secret value


@dataclass(frozen=True, slots=True)
class ExplainedValue:
    """Value with its path and origin. `source` is the name of the ancestor that an inherited value comes from."""

    path: str
    value: Any
    origin: Origin
    source: str = ""

    def __str__(self) -> str:
        """Return one line, such as `env[TZ].value: Europe/Berlin (override)`."""
        return f"{self.path}: {_format(self.value)} ({self.origin}{f' from {self.source}' if self.source else ''})"


def explain(blueprint: Blueprint, ancestors: Sequence[HopperInstance]) -> tuple[ExplainedValue, ...]:
    """Return every value of the service, of the instance's own fields and of its configuration.

    `ancestors` are nearest first. Secret values are replaced by `(secret)`.
    """
    return (
        *_service_values(blueprint),
        *_instance_values(blueprint),
        *_config_values(blueprint.instance, ancestors),
    )


def _service_values(blueprint: Blueprint) -> Iterator[ExplainedValue]:
    secret_paths = {f"env[{entry.name}].value" for entry in blueprint.spec.env if entry.secret}
    for path, value, origin in blueprint.effective.values():
        yield ExplainedValue(path, SECRET_PLACEHOLDER if path in secret_paths else value, origin)


def _instance_values(blueprint: Blueprint) -> Iterator[ExplainedValue]:
    type_origin = Origin.DEFAULT if blueprint.instance.spec.type is None else Origin.INSTANCE
    yield ExplainedValue("replicas", blueprint.replicas, Origin.INSTANCE)
    yield ExplainedValue("type", str(blueprint.type), type_origin)


def _config_values(instance: HopperInstance, ancestors: Sequence[HopperInstance]) -> Iterator[ExplainedValue]:
    for path in SCOPE_CONFIG[instance.spec.scope].fields:
        value = effective_value(instance, ancestors, path)
        if value is not None:
            origin, source = _config_origin(instance, ancestors, path)
            yield ExplainedValue(f"config.{path}", value, origin, source)


def _config_origin(instance: HopperInstance, ancestors: Sequence[HopperInstance], path: str) -> tuple[Origin, str]:
    """Return the origin of a configuration value, and the ancestor that sets it.

    A value that an ancestor has by default counts as a default here too, not as inherited.
    """
    value = effective_value(instance, ancestors, path)
    if own_value(instance, path) == value:
        return Origin.INSTANCE, ""
    field = SCOPE_CONFIG[instance.spec.scope].fields[path]
    if not field.inherit or not ancestors or effective_value(ancestors[0], ancestors[1:], path) != value:
        return Origin.DEFAULT, ""
    origin, source = _config_origin(ancestors[0], ancestors[1:], path)
    return (Origin.INHERITED, source or ancestors[0].name) if origin is not Origin.DEFAULT else (origin, "")


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, value))}]"
    first, *more = str(value).split("\n")
    return f"{first} …" if any(more) else first
