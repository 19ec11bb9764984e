"""Response models of instances."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from hopper.gateway.models.common import Page
from hopper.gateway.models.enums import ScopeValue, StateValue, StatusValue, TypeValue


@dataclass(slots=True)
class ConditionView:
    """A status condition of an instance, in the standard form of Kubernetes."""

    type: Annotated[str, Field(description="Type of the condition.", examples=["Ready"])]
    status: Annotated[str, Field(description="Status of the condition: True, False or Unknown.", examples=["True"])]
    reason: Annotated[
        str, Field(description="CamelCase reason for the last change of the condition.", examples=["Running"])
    ]
    message: Annotated[str, Field(description="Human-readable explanation of the reason.")]
    last_transition_time: Annotated[datetime, Field(description="Time of the last change of the condition's status.")]
    observed_generation: Annotated[
        int | None, Field(description="Generation of the object that the condition was computed from.")
    ]


@dataclass(slots=True)
class TransitionView:
    """A transition from one phase to another."""

    source: Annotated[StatusValue, Field(serialization_alias="from", description="Phase before the transition.")]
    to: Annotated[StatusValue, Field(description="Phase after the transition.")]
    time: Annotated[datetime, Field(description="Time of the transition.")]
    reason: Annotated[str, Field(description="CamelCase reason for the transition.", examples=["DesiredState"])]
    message: Annotated[
        str, Field(description="Human-readable explanation of the reason, with the caller who requested the change.")
    ]


@dataclass(slots=True)
class ChildrenView:
    """Counts of direct children."""

    total: int
    ready: int


@dataclass(slots=True)
class InstanceView:
    """Desired and observed state of an instance."""

    id: Annotated[str, Field(description="Name of the object.", examples=["web"])]
    uid: Annotated[str, Field(description="Uid of the object. Every `id` parameter also accepts it.")]
    namespace: Annotated[str, Field(description="Namespace of the object.", examples=["default"])]
    name: Annotated[str, Field(description="Display name. Defaults to the name of the object.", examples=["Web shop"])]
    scope: ScopeValue
    status: StatusValue
    instance_type: TypeValue
    parent_id: Annotated[str | None, Field(description="Id of the parent.", examples=["global"])]
    desired_state: Annotated[StateValue, Field(description="Desired state of the instance.")]
    effective_state: Annotated[
        StateValue | None,
        Field(description="Most restrictive desired state among the instance and its ancestors."),
    ]
    ready: Annotated[bool, Field(description="Whether the instance has reached its effective state.")]
    config: Annotated[dict[str, Any], Field(description="Configuration of the instance itself, as in `spec.config`.")]
    runtime_metadata: Annotated[dict[str, Any], Field(description="Free-form values about the run of the instance.")]
    description: Annotated[str | None, Field(description="Purpose of the instance.")]
    template: Annotated[str | None, Field(description="Name of the instance's template. Null for a logical instance.")]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    replicas: Annotated[int, Field(description="Desired number of pods.")]
    created_at: Annotated[datetime, Field(description="Creation time of the object.")]
    updated_at: Annotated[datetime, Field(description="Time of the last write to the object, including its status.")]
    created_by: Annotated[
        str | None,
        Field(description="Caller who created the instance through the REST API.", examples=["alice"]),
    ]
    started_at: Annotated[datetime | None, Field(description="Time when the instance last became Running.")]
    stopped_at: Annotated[datetime | None, Field(description="Time when the instance last became Stopped.")]
    reason: Annotated[str | None, Field(description="Reason for the desired state, given by the caller who set it.")]
    path: Annotated[
        str | None,
        Field(description="Names of the ancestors and the instance, from the root.", examples=["global/web"]),
    ]
    depth: Annotated[int | None, Field(description="Number of ancestors.")]
    children: ChildrenView
    restarts: Annotated[int, Field(description="Number of completed restarts.")]
    labels: Annotated[dict[str, str], Field(description="Labels of the object.")]
    conditions: Annotated[list[ConditionView], Field(description="Status conditions of the instance.")]
    resource_version: Annotated[
        str, Field(description="Resource version of the object. The ETag of the response has the same value.")
    ]


@dataclass(slots=True)
class InstanceDetail(InstanceView):
    """An instance with its overrides and its history."""

    overrides: Annotated[
        dict[str, Any],
        Field(description="Overrides of the template, as in `spec.overrides`, without the values of secrets."),
    ]
    history: Annotated[list[TransitionView], Field(description="Most recent transitions, oldest first.")]


@dataclass(slots=True)
class InstancePage(Page[InstanceView]):
    """A page of instances."""

    items: list[InstanceView]


@dataclass(slots=True)
class ActionResult:
    """Result of a lifecycle action."""

    instance_id: Annotated[str, Field(description="Id of the instance.", examples=["web"])]
    action: Annotated[str, Field(description="Name of the action.", examples=["stop"])]
    previous_status: Annotated[StatusValue, Field(description="Status before the action.")]
    current_status: Annotated[StatusValue, Field(description="Status at the time of the response.")]
    success: Annotated[
        bool,
        Field(description="With `wait`, whether the action completed. Without it, whether the action was accepted."),
    ]
    message: Annotated[str, Field(description="Human-readable description of the result.")]
    timestamp: Annotated[datetime, Field(description="Time of the response.")]


@dataclass(slots=True)
class Node:
    """An instance in a tree, with its descendants."""

    instance: InstanceView
    children: Annotated[list["Node"], Field(description="Direct children, sorted by id.")]
    depth: Annotated[int, Field(description="Number of levels below the root of the response.")]


@dataclass(slots=True)
class Hierarchy:
    """A tree of instances."""

    root: Node
    total_instances: Annotated[int, Field(description="Number of instances in the response.")]


@dataclass(slots=True)
class ProjectView:
    """A Project with its Orchestrations."""

    project: InstanceDetail
    orchestrations: list[InstanceView]
    total: Annotated[int, Field(description="Number of Orchestrations.")]


@dataclass(slots=True)
class TaskView:
    """A task of an instance."""

    id: str
    status: str


@dataclass(slots=True)
class TaskList:
    """Tasks of an instance."""

    instance_id: Annotated[str, Field(examples=["web"])]
    instance_name: Annotated[str, Field(examples=["Web shop"])]
    tasks: list[TaskView]
    total: int
