"""`/instances`: one instance, and lists of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.gateway.access import Access, Requires
from hopper.gateway.answers import etag_of, is_known, respond, unchanged
from hopper.gateway.bodies import JsonRoute
from hopper.gateway.models.instances import InstanceDetail, InstancePage
from hopper.gateway.models.listing import Limit, Skip
from hopper.gateway.models.words import ScopeWord, StatusWord, TypeWord
from hopper.gateway.reads import Sort, Wanted, find, lookup, page
from hopper.gateway.views import view_detail, view_instance

router = APIRouter(prefix="/instances", tags=["instances"], route_class=JsonRoute)

Id = Annotated[str, Path(min_length=1, max_length=253, description="Name or uid of the instance.", examples=["web"])]
MayGet = Annotated[Access, Depends(Requires("get"))]
MayList = Annotated[Access, Depends(Requires("list"))]

_DETAIL = TypeAdapter(InstanceDetail)
_PAGE = TypeAdapter(InstancePage)


@router.get("", response_model=InstancePage, summary="List instances")
async def list_instances(
    request: Request,
    access: MayList,
    scope: Annotated[ScopeWord | None, Query()] = None,
    status: Annotated[StatusWord | None, Query()] = None,
    type: Annotated[TypeWord | None, Query()] = None,  # noqa: A002
    parent_id: Annotated[str | None, Query(max_length=253, description="Empty: those without a parent.")] = None,
    name: Annotated[str | None, Query(max_length=253, description="Id or name, with `*`, `?` and `[…]`.")] = None,
    sort: Annotated[Sort, Query(description="Field to sort by; `-` in front turns it round.")] = Sort.ID,
    skip: Skip = 0,
    limit: Limit = 100,
) -> Response:
    """Answer a part of the instances that match all criteria."""
    if parent_id and (parent := lookup(access.index, parent_id)):
        parent_id = parent.name
    wanted = Wanted(scope, status, type, parent_id, name)
    found, total = page(access.index, wanted, sort, skip, limit)
    etag = etag_of((total, *(it.metadata.resource_version for it in found)))
    if is_known(request, etag):
        return unchanged(etag)
    more = skip + len(found) < total and bool(found)
    return respond(_PAGE, InstancePage([view_instance(it) for it in found], total, skip, limit, more), etag=etag)


@router.get("/{id}", response_model=InstanceDetail, summary="Read an instance")
async def get_instance(id: Id, request: Request, access: MayGet) -> Response:  # noqa: A002
    """Answer one instance, by its id or its uid."""
    instance = find(access.index, id)
    etag = f'"{instance.metadata.resource_version}"'
    if is_known(request, etag):
        return unchanged(etag)
    return respond(_DETAIL, view_detail(instance), etag=etag)
