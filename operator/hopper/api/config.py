"""Configuration of an instance. `SCOPE_CONFIG` in `scopes` says which fields each scope has."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from hopper.api.bounded_json import MAX_FREE_FORM_DEPTH, check_free_form
from hopper.api.enums import RoutingFallback, RoutingStrategy
from hopper.api.model import WIRE


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Routing:
    """Routing of tasks to an instance."""

    strategy: Annotated[
        RoutingStrategy | None,
        Field(
            description="Strategy that selects an instance for a task. Intelligent: by load and capabilities. Rules: "
            "by fixed rules."
        ),
    ] = None
    fallback: Annotated[
        RoutingFallback | None, Field(description="Strategy to use when the first one finds no instance.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Delegation:
    """Delegation of tasks to children."""

    enabled: Annotated[bool | None, Field(description="Whether tasks may be delegated to children.")] = None
    auto_create_project_instances: Annotated[
        bool | None,
        Field(description="Whether a Project instance is created for a task that needs one. Only for scope Global."),
    ] = None


Count = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Limits:
    """Upper limits. If a field is not set, the default of the scope applies, which may be no limit."""

    max_child_instances: Annotated[
        Count | None,
        Field(
            description="Maximum number of direct children. If not set, it is 100 for scope Global, and unlimited for "
            "others."
        ),
    ] = None
    max_concurrent_tasks: Annotated[
        Count | None, Field(description="Maximum number of tasks that run at the same time.")
    ] = None
    max_depth: Annotated[
        Count | None,
        Field(
            description="Maximum depth of the instances below this one, where the root has depth 0. Descendants "
            "inherit it."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceConfig:
    """Configuration of an instance. The scope determines which fields may be set."""

    routing: Annotated[Routing | None, Field(description="Routing of tasks to the instance.")] = None
    delegation: Annotated[Delegation | None, Field(description="Delegation of tasks to children.")] = None
    limits: Annotated[Limits | None, Field(description="Upper limits for children, tasks and depth.")] = None
    capabilities: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] | None,
        Field(
            description="Capabilities of the instance. Clients of the gateway can search for instances by capability.",
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    extra: Annotated[
        dict[str, Any] | None,
        Field(
            description="Free-form values for other programs. Hopper does not interpret them. Objects and lists may be "
            f"nested {MAX_FREE_FORM_DEPTH} levels deep.",
            json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
        ),
        BeforeValidator(check_free_form),
    ] = None
