"""Services of a stack: `/stacks/{name}/instances`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.gateway.access import Access, MayCreate, MayDelete, MayGet, MayList, MayPatch
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.responses import combined_etag, has_current_etag, json_response, not_modified, object_etag
from hopper.gateway.intents.lifecycle import terminate_instance
from hopper.gateway.models.stacks import (
    OVERRIDE_KINDS,
    CreateStackInstance,
    DeletePreview,
    DuplicateStackInstance,
    OverrideKind,
    RenameStackInstance,
    StackInstanceDetail,
    StackInstanceView,
    UpdateStackInstance,
)
from hopper.gateway.stacks.changes import (
    create_stack_instance,
    duplicate_instance,
    replace_overrides,
    update_stack_instance,
)
from hopper.gateway.stacks.members import (
    get_member_or_404,
    get_stack_or_404,
    members_of,
    name_in_stack,
    template_name_of,
)
from hopper.gateway.stacks.renaming import rename_instance
from hopper.gateway.stacks.views import preview_of_deletion, view_stack_detail, view_stack_instance

router = APIRouter(prefix="/stacks/{name}/instances", tags=["stacks"], route_class=JsonRoute)

StackName = Annotated[
    str,
    Path(min_length=1, max_length=253, description="Name or uid of the Project.", examples=["shop"]),
]
MemberId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=253,
        description="Name of the instance within the stack, or its id or uid.",
        examples=["db"],
    ),
]

_VIEW = TypeAdapter(StackInstanceView)
_LIST = TypeAdapter(list[StackInstanceView])
_PREVIEW = TypeAdapter(DeletePreview)
_JSON_OBJECT: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
_NO_NAME = DuplicateStackInstance()


@router.get("", response_model=list[StackInstanceView], summary="List the instances of a stack")
async def list_stack_instances(
    name: StackName,
    request: Request,
    access: MayList,
    search: Annotated[
        str | None,
        Query(
            max_length=253,
            description="Return only instances with this text in their name, template name or description.",
        ),
    ] = None,
    enabled: Annotated[
        bool | None, Query(description="Return only instances that are enabled if true, or disabled if false.")
    ] = None,
) -> Response:
    """Return the instances of an active stack, oldest first."""
    stack = get_stack_or_404(access, name, active=True)
    members = [member for member in members_of(access, stack) if _contains(member, stack, search)]
    views = [view_stack_instance(access, stack, member) for member in members]
    views = [view for view in views if enabled is None or view.enabled is enabled]
    etag = combined_etag(instance.metadata.resource_version for instance in (stack, *members))
    return not_modified(etag) if has_current_etag(request, etag) else json_response(_LIST, views, etag=etag)


def _contains(member: HopperInstance, stack: HopperInstance, search: str | None) -> bool:
    texts = (name_in_stack(member, stack), template_name_of(member), member.spec.description or "")
    return search is None or any(search.lower() in text.lower() for text in texts)


@router.post("", response_model=StackInstanceView, status_code=201, summary="Create an instance of a stack")
async def create_in_stack(name: StackName, body: CreateStackInstance, access: MayCreate) -> Response:
    """Create an instance with a template in an active stack."""
    stack = get_stack_or_404(access, name, active=True)
    return _created_response(access, stack, await create_stack_instance(access, stack, body))


def _created_response(access: Access, stack: HopperInstance, member: HopperInstance) -> Response:
    response = _view_response(access, stack, member, 201)
    response.headers["Location"] = f"/api/v1/stacks/{stack.name}/instances/{name_in_stack(member, stack)}"
    return response


def _view_response(access: Access, stack: HopperInstance, member: HopperInstance, code: int = 200) -> Response:
    return json_response(_VIEW, view_stack_instance(access, stack, member), code)


def _detail_response(access: Access, stack: HopperInstance, member: HopperInstance) -> Response:
    etag = object_etag(member.metadata.resource_version)
    return json_response(_JSON_OBJECT, view_stack_detail(access, stack, member), etag=etag)


@router.get("/{instance}", response_model=StackInstanceDetail, summary="Get an instance of a stack")
async def get_stack_instance(name: StackName, instance: MemberId, request: Request, access: MayGet) -> Response:
    """Return an instance with all its overrides. The values of secret variables are omitted."""
    stack = get_stack_or_404(access, name)
    member = get_member_or_404(access, stack, instance)
    etag = object_etag(member.metadata.resource_version)
    return not_modified(etag) if has_current_etag(request, etag) else _detail_response(access, stack, member)


@router.put("/{instance}", response_model=StackInstanceView, summary="Update an instance of a stack")
async def change_stack_instance(
    name: StackName, instance: MemberId, body: UpdateStackInstance, access: MayPatch
) -> Response:
    """Update the description, or start or stop the instance. Omitted fields keep their value."""
    stack = get_stack_or_404(access, name)
    changed = await update_stack_instance(access, get_member_or_404(access, stack, instance), body)
    return _view_response(access, stack, changed)


@router.delete("/{instance}", status_code=204, response_class=Response, summary="Delete an instance of a stack")
async def delete_stack_instance(name: StackName, instance: MemberId, access: MayDelete) -> Response:
    """Terminate an instance. Its object and its persistent volumes stay, and its name can be used again."""
    stack = get_stack_or_404(access, name)
    await terminate_instance(access, get_member_or_404(access, stack, instance), cascade=False)
    return Response(status_code=204)


@router.post(
    "/{instance}/duplicate",
    response_model=StackInstanceView,
    status_code=201,
    summary="Duplicate an instance of a stack",
)
async def duplicate_stack_instance(
    name: StackName, instance: MemberId, access: MayCreate, body: DuplicateStackInstance | None = None
) -> Response:
    """Create an instance with the same template and overrides, and with new volumes."""
    stack = get_stack_or_404(access, name, active=True)
    source = get_member_or_404(access, stack, instance)
    return _created_response(
        access, stack, await duplicate_instance(access, stack, source, (body or _NO_NAME).instance_id)
    )


@router.put(
    "/{instance}/rename",
    response_model=StackInstanceView,
    summary="Rename an instance of a stack",
)
async def rename_stack_instance(
    name: StackName, instance: MemberId, body: RenameStackInstance, access: MayCreate
) -> Response:
    """Rename an instance and its owned objects. It restarts, and keeps its overrides, volumes and history."""
    stack = get_stack_or_404(access, name)
    return _view_response(access, stack, await rename_instance(access, stack, instance, body.instance_id))


@router.get("/{instance}/delete-preview", response_model=DeletePreview, summary="Preview the deletion of an instance")
async def preview_deletion(name: StackName, instance: MemberId, access: MayList) -> Response:
    """Return the owned objects that a deletion would remove or keep, and warnings. Nothing is deleted."""
    stack = get_stack_or_404(access, name)
    preview = preview_of_deletion(access, stack, get_member_or_404(access, stack, instance))
    return json_response(_PREVIEW, preview)


async def _replace(kind: OverrideKind, access: Access, name: str, instance: str, body: Any) -> Response:
    stack = get_stack_or_404(access, name)
    changed = await replace_overrides(access, get_member_or_404(access, stack, instance), kind, body)
    return _detail_response(access, stack, changed)


def _add_override_route(kind: OverrideKind) -> None:
    async def replace_list(
        name: StackName,
        instance: MemberId,
        access: MayPatch,
        body: kind.body,  # type: ignore[name-defined]
    ) -> Response:
        return await _replace(kind, access, name, instance, body)

    async def replace_value(
        name: StackName,
        instance: MemberId,
        access: MayPatch,
        body: kind.body | None = None,  # type: ignore[name-defined]
    ) -> Response:
        return await _replace(kind, access, name, instance, body)

    add_route = router.put(
        f"/{{instance}}/{kind.path}",
        response_model=StackInstanceDetail,
        summary=f"Replace the {kind.path} overrides of an instance",
        description="Replace all overrides of this kind. An empty list or null removes them, so that the values of "
        "the template apply.",
        operation_id=f"replace_{kind.response_field}",
    )
    add_route(replace_list if kind.is_list else replace_value)


for _kind in OVERRIDE_KINDS.values():
    _add_override_route(_kind)
