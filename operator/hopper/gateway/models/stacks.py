"""The instances of a stack, as they are asked for and answered. The seven kinds of override are those of the CRD."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from datetime import datetime
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from hopper.api.model import ObjectName
from hopper.api.service import Overrides
from hopper.domain.service.merge import HEALTHCHECK, LIST_KINDS
from hopper.gateway.models.requests import BODY, Description
from hopper.gateway.models.words import StatusText

InstanceId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=62,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name within the stack; with the stack's name and a hyphen in front 63 characters at most.",
        examples=["db"],
    ),
]


class CreateStackInstance(BaseModel):
    """A new instance of a stack."""

    model_config = BODY | ConfigDict(
        json_schema_extra={"examples": [{"instance_id": "db", "template_service_id": "postgres"}]}
    )

    instance_id: InstanceId
    template_service_id: Annotated[ObjectName, Field(description="Name of the template to run.")]
    description: Description = None


class UpdateStackInstance(BaseModel):
    """Changes to an instance of a stack: fields left out stay."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    description: Description = None
    enabled: Annotated[bool | None, Field(description="False stops it, true starts it.")] = None


class DuplicateStackInstance(BaseModel):
    """What the copy is to be called."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [{"instance_id": "db-2"}]})

    instance_id: Annotated[
        InstanceId | None, Field(description="By default the name with `-copy`, then `-copy-2` and so on.")
    ] = None


class RenameStackInstance(BaseModel):
    """The new name."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [{"instance_id": "database"}]})

    instance_id: InstanceId


@dataclass(slots=True)
class StackInstanceView:
    """One instance of a stack."""

    id: Annotated[str, Field(description="Name of the object: `{stack}-{instance}`.", examples=["shop-db"])]
    uid: Annotated[str, Field(description="Identity of the object; accepted wherever an id is.")]
    stack_id: Annotated[str, Field(description="The stack: a Project.", examples=["shop"])]
    instance_id: Annotated[str, Field(description="Name within the stack.", examples=["db"])]
    template_service_id: Annotated[str, Field(description="Name of the template that it runs.", examples=["postgres"])]
    template_name: Annotated[str, Field(description="The same.", examples=["postgres"])]
    container_name: Annotated[
        str, Field(description="Name of its Deployment, Service and so on.", examples=["hopper-shop-db"])
    ]
    description: Annotated[str | None, Field(description="What it is for.")]
    enabled: Annotated[bool, Field(description="Whether it is wanted running or paused.")]
    status: StatusText
    ready: Annotated[bool, Field(description="Whether it is where it should be.")]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    created_at: Annotated[datetime, Field(description="When it was created.")]
    updated_at: Annotated[datetime, Field(description="When the object was last written, status included.")]


@dataclass(frozen=True, slots=True)
class OverrideKind:
    """One of the seven kinds: its field in `Overrides`, its name on the wire of the CRD, and what it holds."""

    field: str
    wire: str
    body: Any

    @property
    def answer(self) -> str:
        """The field of answers that holds it."""
        return {"env": "env_vars"}.get(self.field, self.field)

    @property
    def path(self) -> str:
        """The last part of its route."""
        return self.answer.replace("_", "-")

    @property
    def is_list(self) -> bool:
        return self.field != HEALTHCHECK


def _kinds() -> Mapping[str, OverrideKind]:
    hints, wire = get_type_hints(Overrides, include_extras=True), {it.field: it.wire for it in LIST_KINDS}
    return {it.name: OverrideKind(it.name, wire.get(it.name, it.name), hints[it.name]) for it in fields(Overrides)}


OVERRIDE_KINDS = _kinds()

# With the overrides nested. For the documentation only: what is answered leaves out what is not set.
StackInstanceDetail = make_dataclass(
    "StackInstanceDetail",
    [(kind.answer, kind.body) for kind in OVERRIDE_KINDS.values()],
    bases=(StackInstanceView,),
    namespace={"__doc__": "One instance of a stack with its overrides; values of secrets are not among them."},
)


@dataclass(slots=True)
class ObjectView:
    """One object in the cluster."""

    kind: Annotated[str, Field(description="Its kind.", examples=["Deployment"])]
    name: Annotated[str, Field(description="Its name.", examples=["hopper-shop-db"])]


@dataclass(slots=True)
class DeletePreview:
    """What a deletion would take along, and what it would leave."""

    id: Annotated[str, Field(description="Name of the object.", examples=["shop-db"])]
    name: Annotated[str, Field(description="Name within the stack.", examples=["db"])]
    template_name: Annotated[str, Field(description="The template that it runs.", examples=["postgres"])]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    container_name: Annotated[str, Field(description="Name of its Deployment.", examples=["hopper-shop-db"])]
    removed: Annotated[list[ObjectView], Field(description="What would go, pods and endpoints with it.")]
    kept: Annotated[list[ObjectView], Field(description="What would stay: volumes of a Persistent instance.")]
    needed_by: Annotated[list[str], Field(description="Siblings whose templates depend on it; they keep running.")]
    warnings: Annotated[list[str], Field(description="What is worth knowing before.")]
