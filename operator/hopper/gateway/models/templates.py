"""Templates as they are written and answered. What a template holds is the model of the CRD."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hopper.api.model import ObjectName
from hopper.api.template import USERS_SHOWN, TemplateSpec
from hopper.gateway.models.requests import BODY

_EXAMPLE: dict[str, Any] = {"name": "web", "spec": {"image": "nginx:1.27", "ports": [{"containerPort": 80}]}}
Spec = Annotated[TemplateSpec, Field(description="The service, as in `spec` of a HopperTemplate.")]


class CreateTemplate(BaseModel):
    """A new template."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: ObjectName
    spec: Spec


class UpdateTemplate(BaseModel):
    """What a template is to be. A secret variable without a value keeps the one that it has."""

    model_config = BODY | ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Annotated[ObjectName | None, Field(description="Cannot be changed; accepted if it is the same.")] = None
    spec: Spec


@dataclass(slots=True)
class TemplateView:
    """One template, and who uses it."""

    name: Annotated[str, Field(description="Name of the template.", examples=["web"])]
    uid: Annotated[str, Field(description="Identity of the object.")]
    namespace: Annotated[str, Field(description="The namespace it lives in.", examples=["default"])]
    spec: Annotated[dict[str, Any], Field(description="The service, as in the CRD; values of secrets are not.")]
    users: Annotated[int, Field(description="How many instances name it.")]
    used_by: Annotated[list[str], Field(description=f"Their ids, sorted; the first {USERS_SHOWN}.")]
    created_at: Annotated[datetime, Field(description="When it was created.")]
    updated_at: Annotated[datetime, Field(description="When the object was last written, status included.")]
    resource_version: Annotated[str, Field(description="Version of the object; also the ETag of this answer.")]


@dataclass(slots=True)
class TemplatePage:
    """A part of a list."""

    items: list[TemplateView]
    total: Annotated[int, Field(description="How many there are in all.")]
    skip: Annotated[int, Field(description="How many come before this part.")]
    limit: Annotated[int, Field(description="How many this part may have.")]
    has_more: Annotated[bool, Field(description="Whether others come after it.")]
