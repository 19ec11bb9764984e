"""What the registry answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field, WithJsonSchema

from hopper.api.enums import Health
from hopper.gateway.models.words import ScopeText, StateText, StatusText, TypeText

HealthText = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [it.value for it in Health], "description": "How it is."})
]
Revision = Annotated[str, Field(description="Where `/registry/events` goes on from here.", examples=["5f2c9a41-1207"])]


@dataclass(slots=True)
class RegistryEntry:
    """One instance as others find it, and how it is."""

    id: Annotated[str, Field(description="Name of the object.", examples=["web"])]
    uid: str
    namespace: Annotated[str, Field(examples=["default"])]
    name: Annotated[str, Field(description="The display name, or the object's name.", examples=["Web shop"])]
    scope: ScopeText
    status: StatusText
    instance_type: TypeText
    parent_id: str | None
    capabilities: Annotated[list[str], Field(description="What it can do.")]
    labels: dict[str, str]
    ready: bool
    health: HealthText
    reason: Annotated[str, Field(description="CamelCase reason for its health.", examples=["Running"])]
    message: Annotated[str, Field(description="The same for people.")]
    worst_health: Annotated[HealthText, Field(description="The worst of it and everything below it.")]
    worst_id: Annotated[str, Field(description="One that is so.")]


@dataclass(slots=True)
class RegistryList:
    """Instances that were found."""

    items: list[RegistryEntry]
    total: int
    revision: Revision


@dataclass(slots=True)
class InstanceMetrics:
    """How an instance does, as its last heartbeat told; null is not known."""

    id: Annotated[str, Field(examples=["web"])]
    status: StatusText
    health: HealthText
    active_tasks: int | None
    queue_depth: int | None
    response_time_ms: float | None
    error_rate: float | None
    uptime: Annotated[float | None, Field(description="Seconds since it last became running; null while it is not up.")]
    last_heartbeat: datetime | None


@dataclass(slots=True)
class Complaint:
    """An instance that somebody should have a look at."""

    id: Annotated[str, Field(examples=["web"])]
    health: HealthText
    reason: str
    message: str


@dataclass(slots=True)
class RegistryHealth:
    """How everything is."""

    health: Annotated[HealthText, Field(description="The worst of all.")]
    total: int
    by_status: Annotated[dict[str, int], Field(description="How many are in each status.")]
    by_health: Annotated[dict[str, int], Field(description="How many are of each health.")]
    unhealthy: Annotated[list[Complaint], Field(description="Those in trouble, the worst first.")]
    instances: Annotated[list[InstanceMetrics], Field(description="How each does.")]
    revision: Revision


@dataclass(slots=True)
class StatusView:
    """The status of one instance, with what its last heartbeat told."""

    instance_id: Annotated[str, Field(examples=["web"])]
    status: StatusText
    effective_state: StateText | None
    ready: bool
    health: HealthText
    reason: Annotated[str, Field(description="CamelCase reason for its health.")]
    message: str
    worst_health: Annotated[HealthText, Field(description="The worst of it and everything below it.")]
    worst_id: Annotated[str, Field(description="One that is so.")]
    uptime: Annotated[float | None, Field(description="Seconds since it last became running; null while it is not up.")]
    active_tasks: int | None
    queue_size: int | None
    response_time_ms: float | None
    error_rate: float | None
    last_heartbeat: datetime | None
    restarts: int


@dataclass(slots=True)
class TopologyNode:
    """An instance in the graph."""

    id: Annotated[str, Field(examples=["web"])]
    name: str
    scope: ScopeText
    status: StatusText
    health: HealthText


@dataclass(slots=True)
class TopologyEdge:
    """A parent and its child."""

    parent: Annotated[str, Field(examples=["global"])]
    child: Annotated[str, Field(examples=["web"])]


@dataclass(slots=True)
class Topology:
    """All instances as a graph."""

    nodes: list[TopologyNode]
    edges: list[TopologyEdge]
    roots: Annotated[list[str], Field(description="Those that name no parent.")]
    orphans: Annotated[list[str], Field(description="Those whose parent does not exist.")]
    revision: Revision
