"""`/instances`: instances, lists of them, and what is above and below them."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.names import GLOBAL_NAME
from hopper.domain import tree
from hopper.gateway.access import Access, Requires
from hopper.gateway.discovery import Criteria
from hopper.gateway.http.answers import as_json, etag_of, is_known, respond, unchanged, version_in
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.errors import MissingError
from hopper.gateway.intents.acting import terminate
from hopper.gateway.intents.creating import create
from hopper.gateway.intents.updating import update
from hopper.gateway.models.instances import (
    Hierarchy,
    InstanceDetail,
    InstancePage,
    InstanceView,
    ProjectView,
    TaskList,
)
from hopper.gateway.models.listing import Limit, Skip
from hopper.gateway.models.registry import StatusView
from hopper.gateway.models.requests import CreateInstance, UpdateInstance
from hopper.gateway.models.versions import IfMatch
from hopper.gateway.models.words import ScopeWord, StatusWord, TypeWord
from hopper.gateway.views.instances import view_detail, view_instance
from hopper.gateway.views.lists import Asked, Sort
from hopper.gateway.views.reads import find, lookup
from hopper.gateway.views.registry import view_status
from hopper.gateway.views.rendering import flat
from hopper.gateway.views.secrecy import marked

router = APIRouter(prefix="/instances", tags=["instances"], route_class=JsonRoute)

Id = Annotated[str, Path(min_length=1, max_length=253, description="Name or uid of the instance.", examples=["web"])]
MayGet = Annotated[Access, Depends(Requires("get"))]
MayList = Annotated[Access, Depends(Requires("list"))]  # of whatever tells what others are called
MayCreate = Annotated[Access, Depends(Requires("create"))]
MayPatch = Annotated[Access, Depends(Requires("patch"))]
MayDelete = Annotated[Access, Depends(Requires("delete"))]

_DETAIL = TypeAdapter(InstanceDetail)
_PROJECT = TypeAdapter(ProjectView)
_STATUS = TypeAdapter(StatusView)
_TASKS = TypeAdapter(TaskList)

_ACTIVE = Criteria(phases=(Phase.RUNNING, Phase.PAUSED))


@router.get("", response_model=InstancePage, summary="List instances")
async def list_instances(
    request: Request,
    access: MayList,
    scope: Annotated[ScopeWord | None, Query()] = None,
    status: Annotated[StatusWord | None, Query()] = None,
    type: Annotated[TypeWord | None, Query()] = None,  # noqa: A002
    parent_id: Annotated[str | None, Query(max_length=253, description="Id or uid of the parent.")] = None,
    name: Annotated[str | None, Query(max_length=253, description="Id or name, with `*`, `?` and `[…]`.")] = None,
    sort: Annotated[Sort, Query(description="Field to sort by; `-` in front turns it round.")] = Sort.ID,
    skip: Skip = 0,
    limit: Limit = 100,
) -> Response:
    """Answer a part of the instances that match all criteria."""
    parent = lookup(access.index, parent_id) if parent_id else None
    phases = (status,) if status else ()
    criteria = Criteria(scope=scope, phases=phases, type=type, parent=parent.name if parent else parent_id)
    return await _page(request, access, Asked(criteria, name, sort), skip, limit)


async def _page(request: Request, access: Access, asked: Asked, skip: int, limit: int) -> Response:
    found, total = access.context.lists.page(access.namespace, asked, skip, limit)
    etag = etag_of((total, skip, limit, *(it.metadata.resource_version for it in found)))
    if is_known(request, etag):
        return unchanged(etag)
    return as_json(await access.context.rendered.page(found, total, skip, limit), etag)


@router.post("", response_model=InstanceDetail, status_code=201, summary="Create an instance")
async def create_instance(body: CreateInstance, access: MayCreate) -> Response:
    """Create an instance. One of the same id that is terminated is replaced, and leaves it its volumes."""
    instance = await create(access, body)
    location = {"Location": f"/api/v1/instances/{instance.name}"}
    return _detail(access, instance, 201, location)


def _detail(
    access: Access, instance: HopperInstance, code: int = 200, headers: dict[str, str] | None = None
) -> Response:
    answer = respond(_DETAIL, _view(access, instance), code, f'"{instance.metadata.resource_version}"')
    answer.headers.update(headers or {})
    return answer


def _view(access: Access, instance: HopperInstance) -> InstanceDetail:
    return view_detail(instance, marked(instance, access.context.templates))


@router.get("/global", response_model=InstanceDetail, summary="Read the Global instance")
async def get_global(request: Request, access: MayGet) -> Response:
    """Answer the one Global instance of the namespace."""
    return await get_instance(GLOBAL_NAME, request, access)


@router.get("/active", response_model=InstancePage, summary="List what is running or paused")
async def list_active(request: Request, access: MayList, skip: Skip = 0, limit: Limit = 100) -> Response:
    """Answer a part of the instances that are running or paused."""
    return await _page(request, access, Asked(_ACTIVE), skip, limit)


@router.get("/projects/{project_id}", response_model=ProjectView, summary="Read a project with its orchestrations")
async def get_project(
    project_id: Annotated[str, Path(min_length=1, max_length=253, description="Name or uid.", examples=["web"])],
    request: Request,
    access: MayList,
) -> Response:
    """Answer a project and everything that works directly for it."""
    project = find(access.index, project_id)
    if project.spec.scope is not Scope.PROJECT:
        raise MissingError(f"Instance {project.name} is no Project")
    below = [it for it in access.index.children(project.name) if it.spec.scope is Scope.ORCHESTRATION]
    below.sort(key=lambda it: it.name)
    etag = etag_of(it.metadata.resource_version for it in (project, *below))
    if is_known(request, etag):
        return unchanged(etag)
    views = [view_instance(it) for it in below]
    return respond(_PROJECT, ProjectView(_view(access, project), views, len(views)), etag=etag)


@router.get("/{id}", response_model=InstanceDetail, summary="Read an instance")
async def get_instance(id: Id, request: Request, access: MayGet) -> Response:  # noqa: A002
    """Answer one instance, by its id or its uid."""
    instance = find(access.index, id)
    etag = f'"{instance.metadata.resource_version}"'
    return unchanged(etag) if is_known(request, etag) else _detail(access, instance)


@router.put("/{id}", response_model=InstanceDetail, summary="Change an instance")
async def update_instance(
    id: Id,  # noqa: A002
    body: UpdateInstance,
    access: MayPatch,
    if_match: IfMatch = None,
) -> Response:
    """Change the fields that are given; null removes one, and those left out stay."""
    version = version_in(if_match) or body.resource_version
    return _detail(access, await update(access, find(access.index, id), body, version))


@router.delete("/{id}", status_code=204, response_class=Response, summary="Terminate an instance")
async def delete_instance(
    id: Id,  # noqa: A002
    access: MayDelete,
    cascade: Annotated[bool, Query(description="Terminate everything below it as well.")] = False,
) -> Response:
    """Ask for the end of an instance. The record stays, and its id may be used again."""
    await terminate(access, find(access.index, id), cascade=cascade)
    return Response(status_code=204)


@router.get("/{id}/children", response_model=list[InstanceView], summary="List direct children")
async def list_children(id: Id, request: Request, access: MayList) -> Response:  # noqa: A002
    """Answer the direct children, by id."""
    found = find(access.index, id)
    return await _list(request, access, sorted(access.index.children(found.name), key=lambda it: it.name))


@router.get("/{id}/ancestors", response_model=list[InstanceView], summary="List what is above")
async def list_ancestors(id: Id, request: Request, access: MayGet) -> Response:  # noqa: A002
    """Answer the parent, its parent and so on."""
    return await _list(request, access, tree.ancestors(find(access.index, id), access.index))


@router.get("/{id}/descendants", response_model=list[InstanceView], summary="List what is below")
async def list_descendants(id: Id, request: Request, access: MayList) -> Response:  # noqa: A002
    """Answer the children, then their children and so on."""
    return await _list(request, access, tree.descendants(find(access.index, id).name, access.index))


async def _list(request: Request, access: Access, instances: Iterable[HopperInstance]) -> Response:
    found = list(instances)
    etag = etag_of(it.metadata.resource_version for it in found)
    if is_known(request, etag):
        return unchanged(etag)
    return as_json(await access.context.rendered.list_of(found), etag)


_DEPTH = Query(ge=0, le=1000, description="How many levels below it; all when left out.")


@router.get("/{id}/hierarchy", response_model=Hierarchy, summary="Read the tree below")
@router.get("/{id}/tree", response_model=Hierarchy, summary="Read the tree below", operation_id="get_tree")
async def get_hierarchy(
    id: Id,  # noqa: A002
    request: Request,
    access: MayList,
    depth: Annotated[int | None, _DEPTH] = None,
) -> Response:
    """Answer the instance with everything below it, as a tree."""
    root, total = tree.subtree(find(access.index, id), access.index, depth)
    etag = etag_of(it.metadata.resource_version for it in flat(root))
    if is_known(request, etag):
        return unchanged(etag)
    return as_json(await access.context.rendered.hierarchy(root, total), etag)


@router.get("/{id}/status", response_model=StatusView, summary="Read the status")
async def get_status(id: Id, access: MayGet) -> Response:  # noqa: A002
    """Answer how an instance is, with what its last heartbeat told."""
    context = access.context
    return respond(_STATUS, view_status(find(access.index, id), context.catalogue, context.clock()))


@router.get("/{id}/tasks", response_model=TaskList, summary="List tasks")
async def list_tasks(id: Id, access: MayGet) -> Response:  # noqa: A002
    """Answer the tasks of an instance: none, as long as there is no kind for them."""
    instance = find(access.index, id)
    tasks: list[Any] = []
    return respond(_TASKS, TaskList(instance.name, instance.spec.display_name or instance.name, tasks, len(tasks)))
