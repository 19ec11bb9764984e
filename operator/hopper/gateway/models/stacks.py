"""Request and response models of stacks. The seven kinds of override are those of the CRD."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from datetime import datetime
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from hopper.api.model import ObjectName
from hopper.api.service import Overrides
from hopper.domain.service.merge import HEALTHCHECK, LIST_KINDS
from hopper.gateway.models.common import REQUEST_CONFIG
from hopper.gateway.models.enums import StatusValue
from hopper.gateway.models.requests import Description

InstanceId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=62,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Name of the instance within the stack. `{stack}-{instance}` must have at most 63 characters.",
        examples=["db"],
    ),
]


class CreateStackInstance(BaseModel):
    """Request to create an instance of a stack."""

    model_config = REQUEST_CONFIG | ConfigDict(
        json_schema_extra={"examples": [{"instance_id": "db", "template_service_id": "postgres"}]}
    )

    instance_id: InstanceId
    template_service_id: Annotated[ObjectName, Field(description="Name of the instance's template.")]
    description: Description = None


class UpdateStackInstance(BaseModel):
    """Request to update an instance of a stack. Omitted fields keep their value."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    description: Description = None
    enabled: Annotated[
        bool | None, Field(description="Whether the instance should run: true starts it, false stops it.")
    ] = None


class DuplicateStackInstance(BaseModel):
    """Request to duplicate an instance of a stack."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [{"instance_id": "db-2"}]})

    instance_id: Annotated[
        InstanceId | None,
        Field(description="Name of the copy within the stack. Defaults to the name with `-copy`, then `-copy-2` etc."),
    ] = None


class RenameStackInstance(BaseModel):
    """Request to rename an instance of a stack."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [{"instance_id": "database"}]})

    instance_id: InstanceId


@dataclass(slots=True)
class StackInstanceView:
    """An instance of a stack."""

    id: Annotated[str, Field(description="Name of the object: `{stack}-{instance}`.", examples=["shop-db"])]
    uid: Annotated[str, Field(description="Uid of the object. Every instance parameter also accepts it.")]
    stack_id: Annotated[str, Field(description="Name of the stack, which is a Project.", examples=["shop"])]
    instance_id: Annotated[str, Field(description="Name of the instance within the stack.", examples=["db"])]
    template_service_id: Annotated[str, Field(description="Name of the instance's template.", examples=["postgres"])]
    template_name: Annotated[str, Field(description="Same as `template_service_id`.", examples=["postgres"])]
    container_name: Annotated[
        str,
        Field(description="Name of the instance's Deployment and Service.", examples=["hopper-shop-db"]),
    ]
    description: Annotated[str | None, Field(description="Purpose of the instance.")]
    enabled: Annotated[bool, Field(description="Whether the desired state is Running or Paused.")]
    status: StatusValue
    ready: Annotated[bool, Field(description="Whether the instance has reached its effective state.")]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    created_at: Annotated[datetime, Field(description="Creation time of the object.")]
    updated_at: Annotated[datetime, Field(description="Time of the last write to the object, including its status.")]


@dataclass(frozen=True, slots=True)
class OverrideKind:
    """A kind of override. `field` is its field in `Overrides`, `wire` its name in the CRD, `body` its type."""

    field: str
    wire: str
    body: Any

    @property
    def response_field(self) -> str:
        """The field of responses with these overrides."""
        return {"env": "env_vars"}.get(self.field, self.field)

    @property
    def path(self) -> str:
        """The last segment of the route."""
        return self.response_field.replace("_", "-")

    @property
    def is_list(self) -> bool:
        return self.field != HEALTHCHECK


def _override_kinds() -> Mapping[str, OverrideKind]:
    hints = get_type_hints(Overrides, include_extras=True)
    wire_names = {kind.field: kind.wire for kind in LIST_KINDS}
    return {
        field.name: OverrideKind(field.name, wire_names.get(field.name, field.name), hints[field.name])
        for field in fields(Overrides)
    }


OVERRIDE_KINDS = _override_kinds()

# Only for the OpenAPI document: responses omit fields that are not set.
StackInstanceDetail = make_dataclass(
    "StackInstanceDetail",
    [(kind.response_field, kind.body) for kind in OVERRIDE_KINDS.values()],
    bases=(StackInstanceView,),
    namespace={"__doc__": "An instance of a stack with its overrides, without the values of secrets."},
)


@dataclass(slots=True)
class ObjectView:
    """An object in the cluster."""

    kind: Annotated[str, Field(description="Kind of the object.", examples=["Deployment"])]
    name: Annotated[str, Field(description="Name of the object.", examples=["hopper-shop-db"])]


@dataclass(slots=True)
class DeletePreview:
    """Effects of the deletion of an instance of a stack."""

    id: Annotated[str, Field(description="Name of the object.", examples=["shop-db"])]
    name: Annotated[str, Field(description="Name of the instance within the stack.", examples=["db"])]
    template_name: Annotated[str, Field(description="Name of the instance's template.", examples=["postgres"])]
    override_count: Annotated[int, Field(description="Number of override entries.")]
    container_name: Annotated[str, Field(description="Name of the instance's Deployment.", examples=["hopper-shop-db"])]
    removed: Annotated[
        list[ObjectView],
        Field(description="Owned objects that would be deleted. Their pods and endpoints are deleted with them."),
    ]
    kept: Annotated[
        list[ObjectView], Field(description="Owned objects that would stay, such as volumes of a Persistent instance.")
    ]
    needed_by: Annotated[
        list[str], Field(description="Siblings with a template that depends on the instance. They keep running.")
    ]
    warnings: Annotated[list[str], Field(description="Warnings about the deletion.")]
