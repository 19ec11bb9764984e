"""Request and response models of templates. The spec of a template is the model of the CRD."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hopper.api.model import ObjectName
from hopper.api.template import USERS_SHOWN, TemplateSpec
from hopper.gateway.models.common import REQUEST_CONFIG, Page

_EXAMPLE: dict[str, Any] = {"name": "web", "spec": {"image": "nginx:1.27", "ports": [{"containerPort": 80}]}}
Spec = Annotated[TemplateSpec, Field(description="Spec of the template, as in a HopperTemplate.")]


class CreateTemplate(BaseModel):
    """Request to create a template."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: ObjectName
    spec: Spec


class UpdateTemplate(BaseModel):
    """Request to replace the spec of a template. A secret variable without a value keeps its current value."""

    model_config = REQUEST_CONFIG | ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Annotated[
        ObjectName | None, Field(description="Name of the template. Immutable: must be the current name.")
    ] = None
    spec: Spec


@dataclass(slots=True)
class TemplateView:
    """A template and the instances that use it."""

    name: Annotated[str, Field(description="Name of the template.", examples=["web"])]
    uid: Annotated[str, Field(description="Uid of the object.")]
    namespace: Annotated[str, Field(description="Namespace of the object.", examples=["default"])]
    spec: Annotated[
        dict[str, Any],
        Field(description="Spec of the template, as in a HopperTemplate, without the values of secrets."),
    ]
    users: Annotated[int, Field(description="Number of instances that use the template.")]
    used_by: Annotated[
        list[str],
        Field(description=f"Ids of the instances that use the template, sorted. At most {USERS_SHOWN} are listed."),
    ]
    created_at: Annotated[datetime, Field(description="Creation time of the object.")]
    updated_at: Annotated[datetime, Field(description="Time of the last write to the object, including its status.")]
    resource_version: Annotated[
        str, Field(description="Resource version of the object. The ETag of the response has the same value.")
    ]


@dataclass(slots=True)
class TemplatePage(Page[TemplateView]):
    """A page of templates."""

    items: list[TemplateView]
