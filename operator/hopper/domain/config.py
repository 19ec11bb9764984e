"""Effective configuration of an instance, and the fields of `spec.config` that its scope does not have.

An instance's own value wins over an inherited value, which wins over the default of the scope. Only fields that
`hopper.api.config` marks as inherited pass from parent to child.
"""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter

from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance
from hopper.api.model import dump
from hopper.api.scopes import SCOPE_CONFIG

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)


@cache
def _attributes(path: str) -> tuple[str, ...]:
    """Return the Python attribute names for a path in wire names."""
    return tuple("".join(f"_{c.lower()}" if c.isupper() else c for c in part) for part in path.split("."))


def own_value(instance: HopperInstance, path: str) -> Any:
    """Return the value in the instance's own `spec.config` at a path such as `limits.maxDepth`; None if unset."""
    value: Any = instance.spec.config
    for attribute in _attributes(path):
        if value is None:
            return None
        value = attrgetter(attribute)(value)
    return value


def effective_value(instance: HopperInstance, ancestors: Sequence[HopperInstance], path: str) -> Any:
    """Return the effective value of the field at `path`, given the ancestors nearest first.

    None means that the scope does not have the field, or that the field is a limit and nothing limits it.
    """
    field = SCOPE_CONFIG[instance.spec.scope].fields.get(path)
    if field is None:
        return None
    own = own_value(instance, path)
    if own is not None and field.inherit != "minimum":
        return own
    inherited = effective_value(ancestors[0], ancestors[1:], path) if field.inherit and ancestors else None
    if field.inherit == "minimum":
        return min((value for value in (own, inherited) if value is not None), default=field.default)
    return field.default if inherited is None else inherited


def effective_config(instance: HopperInstance, ancestors: Sequence[HopperInstance]) -> InstanceConfig:
    """Return the effective configuration of an instance, given its ancestors nearest first."""
    tree: dict[str, Any] = {}
    for path in SCOPE_CONFIG[instance.spec.scope].fields:
        value = effective_value(instance, ancestors, path)
        if value is None:
            continue
        section, _, leaf = path.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[leaf] = value
    return _CONFIG.validate_python(tree)


def config_problems(instance: HopperInstance) -> tuple[str, ...]:
    """Return one message for each field of `spec.config` that the scope of the instance does not have.

    Fields that no scope has do not occur, because the API server prunes or rejects them.
    """
    if instance.spec.config is None:
        return ()
    allowed = SCOPE_CONFIG[instance.spec.scope].fields
    problems = []
    for path in _leaves(dump(_CONFIG, instance.spec.config)):
        if path not in allowed:
            scopes = [scope.value for scope, config in SCOPE_CONFIG.items() if path in config.fields]
            problems.append(
                f"spec.config.{path} is only for {', '.join(scopes)}: remove it from this {instance.spec.scope}"
            )
    return tuple(problems)


def _leaves(tree: dict[str, Any]) -> list[str]:
    """Return the paths of all fields in a dumped `spec.config`."""
    paths = []
    for key, value in tree.items():
        if key in ("routing", "delegation", "limits"):
            paths += [f"{key}.{leaf}" for leaf in value]
        else:
            paths.append(key)
    return paths
