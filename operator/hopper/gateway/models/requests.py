"""Request bodies for instances."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hopper.api.bounded_json import check_free_form
from hopper.api.config import InstanceConfig
from hopper.api.model import ObjectName
from hopper.api.service import Overrides
from hopper.gateway.models.common import REQUEST_CONFIG, Version
from hopper.gateway.models.enums import ScopeParameter, TypeParameter

DisplayName = Annotated[str, Field(min_length=1, max_length=255, description="Display name of the instance.")]
Description = Annotated[str | None, Field(max_length=4096, description="Purpose of the instance.")]
ParentId = Annotated[str | None, Field(min_length=1, max_length=253, description="Id or uid of the parent.")]
RuntimeMetadata = Annotated[
    dict[str, Any] | None,
    Field(description="Free-form values about the run of the instance."),
    BeforeValidator(check_free_form),
]
Config = Annotated[InstanceConfig | None, Field(description="Configuration of the instance, as in `spec.config`.")]
TemplateOverrides = Annotated[Overrides | None, Field(description="Overrides of the template, as in `spec.overrides`.")]
TemplateName = Annotated[
    ObjectName | None, Field(description="Name of the instance's template. Omit for a logical instance.")
]


class CreateInstance(BaseModel):
    """Request to create an instance."""

    model_config = REQUEST_CONFIG | ConfigDict(
        json_schema_extra={"examples": [{"name": "Web shop", "scope": "PROJECT", "id": "web", "parent_id": "global"}]}
    )

    name: DisplayName
    scope: ScopeParameter
    id: Annotated[
        ObjectName | None,
        Field(description="Name of the object. Derived from `name` if omitted. Always `global` for scope Global."),
    ] = None
    instance_type: TypeParameter | None = None
    parent_id: ParentId = None
    config: Config = None
    runtime_metadata: RuntimeMetadata = None
    description: Description = None
    created_by: Annotated[
        str | None, Field(max_length=255, deprecated=True, description="Ignored: the creator is the caller.")
    ] = None
    template: TemplateName = None
    overrides: TemplateOverrides = None


class UpdateInstance(BaseModel):
    """Request to update an instance. Omitted fields keep their value; null removes a field."""

    model_config = REQUEST_CONFIG | ConfigDict(
        json_schema_extra={"examples": [{"description": "Sells shoes", "config": {"capabilities": ["payments"]}}]}
    )

    name: DisplayName | None = None
    scope: Annotated[
        ScopeParameter | None, Field(description="Scope of the instance. Immutable: must be the current scope.")
    ] = None
    instance_type: TypeParameter | None = None
    parent_id: ParentId = None
    config: Config = None
    runtime_metadata: RuntimeMetadata = None
    description: Description = None
    template: TemplateName = None
    overrides: TemplateOverrides = None
    resource_version: Version | None = None


class ActionRequest(BaseModel):
    """Options of a lifecycle action."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [{"reason": "maintenance"}]})

    force: Annotated[
        bool,
        Field(
            description="Request the action even if the instance is stopped or already in the target state, or if "
            "another client has changed it in the meantime."
        ),
    ] = False
    reason: Annotated[
        str | None,
        Field(max_length=900, description="Reason for the action, shown in conditions, history and Events."),
    ] = None
