"""Templates: `/templates`."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.template import HopperTemplate
from hopper.gateway.access import (
    MayCreateTemplates,
    MayDeleteTemplates,
    MayGetTemplates,
    MayListTemplates,
    MayPatchTemplates,
)
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.responses import (
    combined_etag,
    expected_version,
    has_current_etag,
    json_response,
    not_modified,
    object_etag,
)
from hopper.gateway.intents.templates import (
    create_template,
    delete_template,
    get_template_or_404,
    templates_in_namespace,
    update_template,
)
from hopper.gateway.models.common import IfMatch, Limit, Skip
from hopper.gateway.models.templates import CreateTemplate, TemplatePage, TemplateView, UpdateTemplate
from hopper.gateway.views.resources import view_template

router = APIRouter(prefix="/templates", tags=["templates"], route_class=JsonRoute)

TemplateNamePath = Annotated[
    str, Path(min_length=1, max_length=253, description="Name of the template.", examples=["web"])
]

_VIEW = TypeAdapter(TemplateView)
_PAGE = TypeAdapter(TemplatePage)


@router.get("", response_model=TemplatePage, summary="List templates")
async def list_templates(request: Request, access: MayListTemplates, skip: Skip = 0, limit: Limit = 100) -> Response:
    """Return a page of the templates, sorted by name."""
    templates = templates_in_namespace(access)
    shown = templates[skip : skip + limit]
    etag = combined_etag((len(templates), skip, limit, *(template.metadata.resource_version for template in shown)))
    if has_current_etag(request, etag):
        return not_modified(etag)
    has_more = skip + len(shown) < len(templates) and bool(shown)
    page = TemplatePage([view_template(template) for template in shown], len(templates), skip, limit, has_more)
    return json_response(_PAGE, page, etag=etag)


def _template_response(template: HopperTemplate, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    response = json_response(_VIEW, view_template(template), code, object_etag(template.metadata.resource_version))
    response.headers.update(headers or {})
    return response


@router.post("", response_model=TemplateView, status_code=201, summary="Create a template", operation_id="create")
async def post_template(body: CreateTemplate, access: MayCreateTemplates) -> Response:
    """Create a template."""
    template = await create_template(access, body)
    return _template_response(template, 201, {"Location": f"/api/v1/templates/{template.name}"})


@router.get("/{name}", response_model=TemplateView, summary="Get a template")
async def get_template(name: TemplateNamePath, request: Request, access: MayGetTemplates) -> Response:
    """Return a template. The values of secret variables are omitted."""
    template = get_template_or_404(access, name)
    etag = object_etag(template.metadata.resource_version)
    return not_modified(etag) if has_current_etag(request, etag) else _template_response(template)


@router.put("/{name}", response_model=TemplateView, summary="Update a template", operation_id="update")
async def put_template(
    name: TemplateNamePath, body: UpdateTemplate, access: MayPatchTemplates, if_match: IfMatch = None
) -> Response:
    """Replace the spec of a template. The change rolls out to all instances that use the template."""
    template = get_template_or_404(access, name)
    return _template_response(await update_template(access, template, body, expected_version(if_match)))


@router.delete("/{name}", status_code=204, response_class=Response, summary="Delete a template", operation_id="delete")
async def remove_template(name: TemplateNamePath, access: MayDeleteTemplates) -> Response:
    """Delete a template that no instance uses."""
    await delete_template(access, get_template_or_404(access, name))
    return Response(status_code=204)
