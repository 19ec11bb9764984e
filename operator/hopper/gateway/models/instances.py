"""Instances as they are answered."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from hopper.gateway.models.words import ScopeText, StateText, StatusText, TypeText


@dataclass(slots=True)
class ConditionView:
    """One observation about the instance, in the standard form of Kubernetes."""

    type: Annotated[str, Field(description="Type of the condition.", examples=["Ready"])]
    status: Annotated[str, Field(description="True, False or Unknown.", examples=["True"])]
    reason: Annotated[str, Field(description="CamelCase reason for the last change.", examples=["Running"])]
    message: Annotated[str, Field(description="The same for people.")]
    last_transition_time: Annotated[datetime, Field(description="When the status last changed.")]
    observed_generation: Annotated[int | None, Field(description="The generation this was computed from.")]


@dataclass(slots=True)
class TransitionView:
    """One transition that happened."""

    source: Annotated[StatusText, Field(serialization_alias="from", description="The phase it left.")]
    to: Annotated[StatusText, Field(description="The phase it entered.")]
    time: Annotated[datetime, Field(description="When.")]
    reason: Annotated[str, Field(description="CamelCase reason.", examples=["DesiredState"])]
    message: Annotated[str, Field(description="The same for people; who asked for it is named here.")]


@dataclass(slots=True)
class ChildrenView:
    """How many direct children there are."""

    total: int
    ready: int


@dataclass(slots=True)
class InstanceView:
    """One instance: what is wanted of it, and what is."""

    id: Annotated[str, Field(description="Name of the object.", examples=["web"])]
    uid: Annotated[str, Field(description="Identity of the object; accepted wherever an id is.")]
    namespace: Annotated[str, Field(description="The namespace it lives in.", examples=["default"])]
    name: Annotated[str, Field(description="The display name, or the object's name.", examples=["Web shop"])]
    scope: ScopeText
    status: StatusText
    instance_type: TypeText
    parent_id: Annotated[str | None, Field(description="The parent's id.", examples=["global"])]
    desired_state: Annotated[StateText, Field(description="What the user wants.")]
    effective_state: Annotated[
        StateText | None, Field(description="The most restrictive of its own desired state and its ancestors'.")
    ]
    ready: Annotated[bool, Field(description="Whether it is where it should be.")]
    config: Annotated[dict[str, Any], Field(description="Its own configuration, as in `spec.config`.")]
    runtime_metadata: Annotated[dict[str, Any], Field(description="Free-form values about its run.")]
    description: Annotated[str | None, Field(description="What it is for.")]
    template: Annotated[str | None, Field(description="The template it runs; none for a logical instance.")]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    replicas: Annotated[int, Field(description="How many pods are wanted.")]
    created_at: Annotated[datetime, Field(description="When it was created.")]
    updated_at: Annotated[datetime, Field(description="When the object was last written, status included.")]
    created_by: Annotated[str | None, Field(description="Who created it through the REST API.", examples=["alice"])]
    started_at: Annotated[datetime | None, Field(description="When it last became running.")]
    stopped_at: Annotated[datetime | None, Field(description="When it last became stopped.")]
    reason: Annotated[str | None, Field(description="Why the desired state was set.")]
    path: Annotated[str | None, Field(description="Names from the root to it.", examples=["global/web"])]
    depth: Annotated[int | None, Field(description="How many ancestors it has.")]
    children: ChildrenView
    restarts: Annotated[int, Field(description="Restarts so far.")]
    labels: Annotated[dict[str, str], Field(description="The labels of the object.")]
    conditions: Annotated[list[ConditionView], Field(description="Observations that explain the status.")]
    resource_version: Annotated[str, Field(description="Version of the object; also the ETag of this answer.")]


@dataclass(slots=True)
class InstanceDetail(InstanceView):
    """One instance with all there is to say about it."""

    overrides: Annotated[
        dict[str, Any], Field(description="Changes to the template, as in `spec.overrides`; values of secrets are not.")
    ]
    history: Annotated[list[TransitionView], Field(description="The last transitions, oldest first.")]


@dataclass(slots=True)
class InstancePage:
    """A part of a list."""

    items: list[InstanceView]
    total: Annotated[int, Field(description="How many match in all.")]
    skip: Annotated[int, Field(description="How many come before this part.")]
    limit: Annotated[int, Field(description="How many this part may have.")]
    has_more: Annotated[bool, Field(description="Whether others come after it.")]


@dataclass(slots=True)
class ActionResult:
    """What became of an action."""

    instance_id: Annotated[str, Field(description="The instance.", examples=["web"])]
    action: Annotated[str, Field(description="The action.", examples=["stop"])]
    previous_status: Annotated[StatusText, Field(description="Status before.")]
    current_status: Annotated[StatusText, Field(description="Status as it was when this was answered.")]
    success: Annotated[bool, Field(description="With `wait`: whether it has happened. Else: whether it was asked for.")]
    message: Annotated[str, Field(description="The same for people.")]
    timestamp: Annotated[datetime, Field(description="When this was answered.")]


@dataclass(slots=True)
class Node:
    """An instance and what is below it."""

    instance: InstanceView
    children: Annotated[list["Node"], Field(description="Direct children, by id.")]
    depth: Annotated[int, Field(description="How far below the root of this answer.")]


@dataclass(slots=True)
class Hierarchy:
    """A tree."""

    root: Node
    total_instances: Annotated[int, Field(description="How many instances this tree shows.")]


@dataclass(slots=True)
class ProjectView:
    """A project with what works for it."""

    project: InstanceDetail
    orchestrations: list[InstanceView]
    total: Annotated[int, Field(description="How many orchestrations there are.")]


@dataclass(slots=True)
class TaskView:
    """A unit of work."""

    id: str
    status: str


@dataclass(slots=True)
class TaskList:
    """The tasks of an instance."""

    instance_id: Annotated[str, Field(examples=["web"])]
    instance_name: Annotated[str, Field(examples=["Web shop"])]
    tasks: list[TaskView]
    total: int
