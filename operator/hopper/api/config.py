"""Configuration of an instance, and which of its fields each scope has (`defaults/*.yaml`, one file per scope)."""

from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass

from hopper.api.enums import RoutingFallback, RoutingStrategy, Scope
from hopper.api.model import WIRE


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Routing:
    """How tasks find their way to an instance."""

    strategy: Annotated[
        RoutingStrategy | None,
        Field(description="How tasks are routed: Intelligent weighs load and capabilities, Rules follows fixed rules."),
    ] = None
    fallback: Annotated[
        RoutingFallback | None, Field(description="What routing falls back to when its strategy finds no instance.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Delegation:
    """Whether an instance hands work down to its children."""

    enabled: Annotated[bool | None, Field(description="Whether tasks may be handed to child instances.")] = None
    auto_create_project_instances: Annotated[
        bool | None,
        Field(description="Whether a Project instance is created for a task that needs one. Global instances only."),
    ] = None


Count = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Limits:
    """Upper bounds; a field left out means the default of the scope, which may be no limit."""

    max_child_instances: Annotated[
        Count | None, Field(description="How many direct children may live below the instance. Global: 100 by default.")
    ] = None
    max_concurrent_tasks: Annotated[Count | None, Field(description="How many tasks may run at the same time.")] = None
    max_depth: Annotated[
        Count | None,
        Field(description="The greatest depth of any instance below this one, counted from the root (0). Inherited."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceConfig:
    """Configuration. Which fields an instance has depends on its scope; see the configuration guide."""

    routing: Annotated[Routing | None, Field(description="How tasks find their way to this instance.")] = None
    delegation: Annotated[Delegation | None, Field(description="Whether work is handed down to children.")] = None
    limits: Annotated[Limits | None, Field(description="Upper bounds for children, tasks and depth.")] = None
    capabilities: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] | None,
        Field(
            description="What this instance can do; the registry finds instances by it.",
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    extra: Annotated[
        dict[str, Any] | None,
        Field(
            description="Free-form values for programs of your own; Hopper passes them on unread.",
            json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = None


@plain_dataclass(frozen=True, slots=True)
class ConfigField:
    """One field that a scope has: its default (None: no limit), and what the parent's value means for it.

    `inherit` is `value` (an unset field takes the parent's), `minimum` (the smaller of both holds: a limit that
    cannot be loosened further down), or None (the parent has no say).
    """

    default: Any = None
    inherit: Literal["value", "minimum"] | None = None


@plain_dataclass(frozen=True, slots=True)
class ScopeConfig:
    """The configuration fields of one scope by dotted wire path, as its defaults file lists them."""

    fields: dict[str, ConfigField] = field(default_factory=dict)


def _load(scope: Scope) -> ScopeConfig:
    text = files("hopper.api").joinpath("defaults", f"{scope.lower()}.yaml").read_text(encoding="utf-8")
    return ScopeConfig({path: ConfigField(**entry) for path, entry in yaml.safe_load(text).items()})


SCOPE_CONFIG: dict[Scope, ScopeConfig] = {scope: _load(scope) for scope in Scope}
