"""Response models of the registry: search, health and topology."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field, WithJsonSchema

from hopper.api.enums import Health
from hopper.gateway.models.enums import ScopeValue, StateValue, StatusValue, TypeValue

HealthValue = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "enum": [health.value for health in Health], "description": "Health of the instance."}
    ),
]
Revision = Annotated[
    str,
    Field(
        description="Revision of the response. Send it as `Last-Event-ID` to `/registry/events` to get later changes.",
        examples=["5f2c9a41-1207"],
    ),
]


@dataclass(slots=True)
class RegistryEntry:
    """An instance in a search result, with its health."""

    id: Annotated[str, Field(description="Name of the object.", examples=["web"])]
    uid: str
    namespace: Annotated[str, Field(examples=["default"])]
    name: Annotated[str, Field(description="Display name. Defaults to the name of the object.", examples=["Web shop"])]
    scope: ScopeValue
    status: StatusValue
    instance_type: TypeValue
    parent_id: str | None
    capabilities: Annotated[list[str], Field(description="Capabilities in the instance's configuration.")]
    labels: dict[str, str]
    ready: bool
    health: HealthValue
    reason: Annotated[str, Field(description="CamelCase reason for the health.", examples=["Running"])]
    message: Annotated[str, Field(description="Human-readable explanation of the reason.")]
    worst_health: Annotated[HealthValue, Field(description="Worst health among the instance and its descendants.")]
    worst_id: Annotated[str, Field(description="Id of an instance with the worst health.")]


@dataclass(slots=True)
class RegistryList:
    """Instances that match a search."""

    items: list[RegistryEntry]
    total: int
    revision: Revision


@dataclass(slots=True)
class InstanceMetrics:
    """Metrics from the last heartbeat of an instance. Null means that the heartbeat did not report the value."""

    id: Annotated[str, Field(examples=["web"])]
    status: StatusValue
    health: HealthValue
    active_tasks: int | None
    queue_depth: int | None
    response_time_ms: float | None
    error_rate: float | None
    uptime: Annotated[
        float | None,
        Field(description="Seconds since the instance last became Running. Null if it is not up."),
    ]
    last_heartbeat: datetime | None


@dataclass(slots=True)
class Complaint:
    """An instance that needs attention."""

    id: Annotated[str, Field(examples=["web"])]
    health: HealthValue
    reason: str
    message: str


@dataclass(slots=True)
class RegistryHealth:
    """Health of all instances of a namespace."""

    health: Annotated[HealthValue, Field(description="Worst health of all instances.")]
    total: int
    by_status: Annotated[dict[str, int], Field(description="Number of instances by status.")]
    by_health: Annotated[dict[str, int], Field(description="Number of instances by health.")]
    unhealthy: Annotated[list[Complaint], Field(description="Instances that need attention, worst first.")]
    instances: Annotated[list[InstanceMetrics], Field(description="Metrics of each instance.")]
    revision: Revision


@dataclass(slots=True)
class StatusView:
    """Status of an instance, with the metrics from its last heartbeat."""

    instance_id: Annotated[str, Field(examples=["web"])]
    status: StatusValue
    effective_state: StateValue | None
    ready: bool
    health: HealthValue
    reason: Annotated[str, Field(description="CamelCase reason for the health.")]
    message: str
    worst_health: Annotated[HealthValue, Field(description="Worst health among the instance and its descendants.")]
    worst_id: Annotated[
        str,
        Field(description="Id of an instance with the worst health, for callers with permission to list instances."),
    ]
    uptime: Annotated[
        float | None,
        Field(description="Seconds since the instance last became Running. Null if it is not up."),
    ]
    active_tasks: int | None
    queue_size: int | None
    response_time_ms: float | None
    error_rate: float | None
    last_heartbeat: datetime | None
    restarts: int


@dataclass(slots=True)
class TopologyNode:
    """An instance in the topology."""

    id: Annotated[str, Field(examples=["web"])]
    name: str
    scope: ScopeValue
    status: StatusValue
    health: HealthValue


@dataclass(slots=True)
class TopologyEdge:
    """An edge from a parent to a child."""

    parent: Annotated[str, Field(examples=["global"])]
    child: Annotated[str, Field(examples=["web"])]


@dataclass(slots=True)
class Topology:
    """All instances of a namespace as a graph."""

    nodes: list[TopologyNode]
    edges: list[TopologyEdge]
    roots: Annotated[list[str], Field(description="Ids of the instances without a parent.")]
    orphans: Annotated[list[str], Field(description="Ids of the instances with a parent that does not exist.")]
    revision: Revision
