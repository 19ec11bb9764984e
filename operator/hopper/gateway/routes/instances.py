"""Instances, lists of instances and the hierarchy: `/instances`."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.names import GLOBAL_NAME
from hopper.api.resources import INSTANCES
from hopper.domain import tree
from hopper.gateway.access import Access, MayCreate, MayDelete, MayGet, MayList, MayPatch
from hopper.gateway.auth import Permission
from hopper.gateway.discovery import Criteria
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.errors import HttpNotFoundError
from hopper.gateway.http.responses import (
    combined_etag,
    expected_version,
    has_current_etag,
    json_response,
    not_modified,
    object_etag,
    raw_json_response,
)
from hopper.gateway.intents.creation import create_from_request
from hopper.gateway.intents.lifecycle import terminate_instance
from hopper.gateway.intents.updates import update_from_request
from hopper.gateway.models.common import IfMatch, Limit, Skip
from hopper.gateway.models.enums import ScopeParameter, StatusParameter, TypeParameter
from hopper.gateway.models.instances import (
    Hierarchy,
    InstanceDetail,
    InstancePage,
    InstanceView,
    ProjectView,
    TaskList,
    TaskView,
)
from hopper.gateway.models.registry import StatusView
from hopper.gateway.models.requests import CreateInstance, UpdateInstance
from hopper.gateway.views.queries import ListQuery, Sort, find_instance, get_instance_or_404
from hopper.gateway.views.registry import view_status
from hopper.gateway.views.rendering import instances_in
from hopper.gateway.views.resources import view_detail, view_instance
from hopper.gateway.views.secret_values import marked_overrides

router = APIRouter(prefix="/instances", tags=["instances"], route_class=JsonRoute)

Id = Annotated[str, Path(min_length=1, max_length=253, description="Name or uid of the instance.", examples=["web"])]
ProjectId = Annotated[
    str, Path(min_length=1, max_length=253, description="Name or uid of the Project.", examples=["web"])
]
ParentIdQuery = Annotated[
    str | None, Query(max_length=253, description="Return only children of the instance with this id or uid.")
]

_DETAIL = TypeAdapter(InstanceDetail)
_PROJECT = TypeAdapter(ProjectView)
_STATUS = TypeAdapter(StatusView)
_TASKS = TypeAdapter(TaskList)

# Permission to learn the names of other instances.
MAY_LIST = Permission("list", INSTANCES)
_ACTIVE = Criteria(phases=(Phase.RUNNING, Phase.PAUSED))


@router.get("", response_model=InstancePage, summary="List instances")
async def list_instances(
    request: Request,
    access: MayList,
    scope: Annotated[ScopeParameter | None, Query()] = None,
    status: Annotated[StatusParameter | None, Query()] = None,
    type: Annotated[TypeParameter | None, Query()] = None,  # noqa: A002
    parent_id: ParentIdQuery = None,
    name: Annotated[
        str | None,
        Query(
            max_length=253,
            description="Return only instances with a matching id or display name. "
            "Case-insensitive, with the wildcards `*`, `?` and `[…]`.",
        ),
    ] = None,
    sort: Annotated[Sort, Query(description="Field to sort by. A leading `-` reverses the order.")] = Sort.ID,
    skip: Skip = 0,
    limit: Limit = 100,
) -> Response:
    """Return a page of the instances that match all parameters."""
    parent = find_instance(access.index, parent_id) if parent_id else None
    phases = (status,) if status else ()
    criteria = Criteria(scope=scope, phases=phases, type=type, parent=parent.name if parent else parent_id)
    return await _page_response(request, access, ListQuery(criteria, name, sort), skip, limit)


async def _page_response(request: Request, access: Access, query: ListQuery, skip: int, limit: int) -> Response:
    instances, total = access.context.instance_lists.page(access.namespace, query, skip, limit)
    etag = combined_etag((total, skip, limit, *(instance.metadata.resource_version for instance in instances)))
    if has_current_etag(request, etag):
        return not_modified(etag)
    return raw_json_response(await access.context.instance_renderer.page(instances, total, skip, limit), etag)


@router.post("", response_model=InstanceDetail, status_code=201, summary="Create an instance")
async def create_instance(body: CreateInstance, access: MayCreate) -> Response:
    """Create an instance. A terminated instance with the same id is replaced, and its volumes are kept."""
    instance = await create_from_request(access, body)
    location = {"Location": f"/api/v1/instances/{instance.name}"}
    return _detail_response(access, instance, 201, location)


def _detail_response(
    access: Access, instance: HopperInstance, code: int = 200, headers: dict[str, str] | None = None
) -> Response:
    etag = object_etag(instance.metadata.resource_version)
    response = json_response(_DETAIL, _detail(access, instance), code, etag)
    response.headers.update(headers or {})
    return response


def _detail(access: Access, instance: HopperInstance) -> InstanceDetail:
    return view_detail(instance, marked_overrides(instance, access.context.templates))


@router.get("/global", response_model=InstanceDetail, summary="Get the Global instance")
async def get_global(request: Request, access: MayGet) -> Response:
    """Return the Global instance of the namespace."""
    return await get_instance(GLOBAL_NAME, request, access)


@router.get("/active", response_model=InstancePage, summary="List active instances")
async def list_active(request: Request, access: MayList, skip: Skip = 0, limit: Limit = 100) -> Response:
    """Return a page of the instances that are running or paused."""
    return await _page_response(request, access, ListQuery(_ACTIVE), skip, limit)


@router.get("/projects/{project_id}", response_model=ProjectView, summary="Get a Project with its Orchestrations")
async def get_project(project_id: ProjectId, request: Request, access: MayList) -> Response:
    """Return a Project and its direct children of scope Orchestration."""
    project = get_instance_or_404(access.index, project_id)
    if project.spec.scope is not Scope.PROJECT:
        raise HttpNotFoundError(f"Instance {project.name} is not a Project")
    orchestrations = sorted(
        (child for child in access.index.children(project.name) if child.spec.scope is Scope.ORCHESTRATION),
        key=lambda child: child.name,
    )
    etag = combined_etag(instance.metadata.resource_version for instance in (project, *orchestrations))
    if has_current_etag(request, etag):
        return not_modified(etag)
    views = [view_instance(orchestration) for orchestration in orchestrations]
    return json_response(_PROJECT, ProjectView(_detail(access, project), views, len(views)), etag=etag)


@router.get("/{id}", response_model=InstanceDetail, summary="Get an instance")
async def get_instance(id: Id, request: Request, access: MayGet) -> Response:  # noqa: A002
    """Return an instance by its id or uid."""
    instance = get_instance_or_404(access.index, id)
    etag = object_etag(instance.metadata.resource_version)
    return not_modified(etag) if has_current_etag(request, etag) else _detail_response(access, instance)


@router.put("/{id}", response_model=InstanceDetail, summary="Update an instance")
async def update_instance(
    id: Id,  # noqa: A002
    body: UpdateInstance,
    access: MayPatch,
    if_match: IfMatch = None,
) -> Response:
    """Update the fields in the request. Omitted fields keep their value; null removes a field."""
    version = expected_version(if_match) or body.resource_version
    instance = get_instance_or_404(access.index, id)
    return _detail_response(access, await update_from_request(access, instance, body, version))


@router.delete("/{id}", status_code=204, response_class=Response, summary="Terminate an instance")
async def delete_instance(
    id: Id,  # noqa: A002
    access: MayDelete,
    cascade: Annotated[bool, Query(description="Terminate all descendants as well.")] = False,
) -> Response:
    """Set the desired state Terminated. The object stays, and its id can be used again."""
    await terminate_instance(access, get_instance_or_404(access.index, id), cascade=cascade)
    return Response(status_code=204)


@router.get("/{id}/children", response_model=list[InstanceView], summary="List the children of an instance")
async def list_children(id: Id, request: Request, access: MayList) -> Response:  # noqa: A002
    """Return the direct children, sorted by id."""
    parent = get_instance_or_404(access.index, id)
    children = sorted(access.index.children(parent.name), key=lambda child: child.name)
    return await _list_response(request, access, children)


@router.get("/{id}/ancestors", response_model=list[InstanceView], summary="List the ancestors of an instance")
async def list_ancestors(id: Id, request: Request, access: MayList) -> Response:  # noqa: A002
    """Return the ancestors, starting with the parent."""
    return await _list_response(request, access, tree.ancestors(get_instance_or_404(access.index, id), access.index))


@router.get("/{id}/descendants", response_model=list[InstanceView], summary="List the descendants of an instance")
async def list_descendants(id: Id, request: Request, access: MayList) -> Response:  # noqa: A002
    """Return the descendants, level by level, starting with the children."""
    name = get_instance_or_404(access.index, id).name
    return await _list_response(request, access, tree.descendants(name, access.index))


async def _list_response(request: Request, access: Access, instances: Iterable[HopperInstance]) -> Response:
    instances = list(instances)
    etag = combined_etag(instance.metadata.resource_version for instance in instances)
    if has_current_etag(request, etag):
        return not_modified(etag)
    return raw_json_response(await access.context.instance_renderer.list_of(instances), etag)


Depth = Annotated[
    int | None, Query(ge=0, le=1000, description="Maximum number of levels below the instance. Defaults to all.")
]


@router.get("/{id}/hierarchy", response_model=Hierarchy, summary="Get the tree below an instance")
@router.get("/{id}/tree", response_model=Hierarchy, summary="Get the tree below an instance", operation_id="get_tree")
async def get_hierarchy(
    id: Id,  # noqa: A002
    request: Request,
    access: MayList,
    depth: Depth = None,
) -> Response:
    """Return an instance and its descendants as a tree."""
    root, total = tree.subtree(get_instance_or_404(access.index, id), access.index, depth)
    etag = combined_etag(instance.metadata.resource_version for instance in instances_in(root))
    if has_current_etag(request, etag):
        return not_modified(etag)
    return raw_json_response(await access.context.instance_renderer.hierarchy(root, total), etag)


@router.get("/{id}/status", response_model=StatusView, summary="Get the status of an instance")
async def get_status(id: Id, access: MayGet) -> Response:  # noqa: A002
    """Return the status of an instance, with the metrics from its last heartbeat."""
    context = access.context
    instance = get_instance_or_404(access.index, id)
    view = view_status(instance, context.catalogue, context.clock())
    if view.worst_id != instance.name and not await access.is_allowed(MAY_LIST):
        view.worst_id = instance.name
    return json_response(_STATUS, view)


@router.get("/{id}/tasks", response_model=TaskList, summary="List the tasks of an instance")
async def list_tasks(id: Id, access: MayGet) -> Response:  # noqa: A002
    """Return the tasks of an instance. The list is always empty, because tasks are not implemented yet."""
    instance = get_instance_or_404(access.index, id)
    tasks: list[TaskView] = []
    display_name = instance.spec.display_name or instance.name
    return json_response(_TASKS, TaskList(instance.name, display_name, tasks, len(tasks)))
