"""Bodies of requests about instances."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hopper.api.config import InstanceConfig
from hopper.api.model import ObjectName
from hopper.api.service import Overrides
from hopper.gateway.models.versions import Version
from hopper.gateway.models.words import ScopeWord, TypeWord

# Values are never repeated in an error: they may be secret.
BODY = ConfigDict(extra="forbid", hide_input_in_errors=True)

DisplayName = Annotated[str, Field(min_length=1, max_length=255, description="A name for people.")]
Description = Annotated[str | None, Field(max_length=4096, description="What the instance is for.")]
ParentId = Annotated[str | None, Field(min_length=1, max_length=253, description="Id or uid of the parent.")]
RuntimeMetadata = Annotated[dict[str, Any] | None, Field(description="Free-form values about its run.")]
Config = Annotated[InstanceConfig | None, Field(description="Configuration, as in `spec.config`.")]
Changes = Annotated[Overrides | None, Field(description="Changes to the template, as in `spec.overrides`.")]
TemplateName = Annotated[ObjectName | None, Field(description="The template to run; none for a logical instance.")]


class CreateInstance(BaseModel):
    """A new instance."""

    model_config = BODY | ConfigDict(
        json_schema_extra={"examples": [{"name": "Web shop", "scope": "PROJECT", "id": "web", "parent_id": "global"}]}
    )

    name: DisplayName
    scope: ScopeWord
    id: Annotated[
        ObjectName | None, Field(description="Name of the object; made from `name` when left out. Global: `global`.")
    ] = None
    instance_type: TypeWord | None = None
    parent_id: ParentId = None
    config: Config = None
    runtime_metadata: RuntimeMetadata = None
    description: Description = None
    created_by: Annotated[str | None, Field(max_length=255, description="By default the caller.")] = None
    template: TemplateName = None
    overrides: Changes = None


class UpdateInstance(BaseModel):
    """Changes to an instance: fields left out stay, null removes one."""

    model_config = BODY | ConfigDict(
        json_schema_extra={"examples": [{"description": "Sells shoes", "config": {"capabilities": ["payments"]}}]}
    )

    name: DisplayName | None = None
    scope: Annotated[ScopeWord | None, Field(description="Cannot be changed; accepted if it is the same.")] = None
    instance_type: TypeWord | None = None
    parent_id: ParentId = None
    config: Config = None
    runtime_metadata: RuntimeMetadata = None
    description: Description = None
    template: TemplateName = None
    overrides: Changes = None
    resource_version: Version | None = None


class ActionRequest(BaseModel):
    """How to carry out an action."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [{"reason": "maintenance"}]})

    force: Annotated[
        bool,
        Field(description="Do it although it is so already, or was stopped, or is being edited by somebody else."),
    ] = False
    reason: Annotated[
        str | None, Field(max_length=900, description="Why; shown in conditions, history and events.")
    ] = None
