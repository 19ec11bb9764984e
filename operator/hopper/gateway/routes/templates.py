"""`/templates`: what services are made from."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.resources import TEMPLATES
from hopper.api.template import HopperTemplate
from hopper.gateway.access import Access, Requires
from hopper.gateway.http.answers import etag_of, is_known, respond, unchanged, version_in
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.intents.templating import (
    create_template,
    delete_template,
    find_template,
    templates_of,
    update_template,
)
from hopper.gateway.models.listing import Limit, Skip
from hopper.gateway.models.templates import CreateTemplate, TemplatePage, TemplateView, UpdateTemplate
from hopper.gateway.models.versions import IfMatch
from hopper.gateway.views.templates import view_template

router = APIRouter(prefix="/templates", tags=["templates"], route_class=JsonRoute)

Name = Annotated[str, Path(min_length=1, max_length=253, description="Name of the template.", examples=["web"])]
MayGet = Annotated[Access, Depends(Requires("get", TEMPLATES))]
MayList = Annotated[Access, Depends(Requires("list", TEMPLATES))]
MayCreate = Annotated[Access, Depends(Requires("create", TEMPLATES))]
MayPatch = Annotated[Access, Depends(Requires("patch", TEMPLATES))]
MayDelete = Annotated[Access, Depends(Requires("delete", TEMPLATES))]

_VIEW = TypeAdapter(TemplateView)
_PAGE = TypeAdapter(TemplatePage)


@router.get("", response_model=TemplatePage, summary="List templates")
async def list_templates(request: Request, access: MayList, skip: Skip = 0, limit: Limit = 100) -> Response:
    """Answer a part of the templates, by name."""
    everyone = templates_of(access)
    found = everyone[skip : skip + limit]
    etag = etag_of((len(everyone), skip, limit, *(it.metadata.resource_version for it in found)))
    if is_known(request, etag):
        return unchanged(etag)
    more = skip + len(found) < len(everyone) and bool(found)
    page = TemplatePage([view_template(it) for it in found], len(everyone), skip, limit, more)
    return respond(_PAGE, page, etag=etag)


def _answer(template: HopperTemplate, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    answer = respond(_VIEW, view_template(template), code, f'"{template.metadata.resource_version}"')
    answer.headers.update(headers or {})
    return answer


@router.post("", response_model=TemplateView, status_code=201, summary="Create a template")
async def create(body: CreateTemplate, access: MayCreate) -> Response:
    """Create a template."""
    template = await create_template(access, body)
    return _answer(template, 201, {"Location": f"/api/v1/templates/{template.name}"})


@router.get("/{name}", response_model=TemplateView, summary="Read a template")
async def get_template(name: Name, request: Request, access: MayGet) -> Response:
    """Answer one template. The values of secret variables are never part of it."""
    template = find_template(access, name)
    etag = f'"{template.metadata.resource_version}"'
    return unchanged(etag) if is_known(request, etag) else _answer(template)


@router.put("/{name}", response_model=TemplateView, summary="Change a template")
async def update(name: Name, body: UpdateTemplate, access: MayPatch, if_match: IfMatch = None) -> Response:
    """Give a template another spec, which rolls out to everybody who uses it."""
    return _answer(await update_template(access, find_template(access, name), body, version_in(if_match)))


@router.delete("/{name}", status_code=204, response_class=Response, summary="Delete a template")
async def delete(name: Name, access: MayDelete) -> Response:
    """Delete a template that no instance uses."""
    await delete_template(access, find_template(access, name))
    return Response(status_code=204)
