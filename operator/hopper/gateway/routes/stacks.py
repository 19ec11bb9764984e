"""`/stacks/{name}/instances`: the services of a stack."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.gateway.access import Access, Requires
from hopper.gateway.http.answers import etag_of, is_known, respond, unchanged
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.intents.acting import terminate
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
from hopper.gateway.stacks.changing import create_stack_instance, duplicate, replace_overrides, update_stack_instance
from hopper.gateway.stacks.members import (
    find_instance,
    find_stack,
    instance_id,
    instances_of,
    template_of,
)
from hopper.gateway.stacks.previewing import preview
from hopper.gateway.stacks.renaming import rename
from hopper.gateway.stacks.views import view_stack_detail, view_stack_instance

router = APIRouter(prefix="/stacks/{name}/instances", tags=["stacks"], route_class=JsonRoute)

Stack = Annotated[str, Path(min_length=1, max_length=253, description="The stack: a Project.", examples=["shop"])]
Instance = Annotated[
    str, Path(min_length=1, max_length=253, description="Name within the stack, id or uid.", examples=["db"])
]
MayGet = Annotated[Access, Depends(Requires("get"))]
MayList = Annotated[Access, Depends(Requires("list"))]
MayCreate = Annotated[Access, Depends(Requires("create"))]
MayPatch = Annotated[Access, Depends(Requires("patch"))]
MayDelete = Annotated[Access, Depends(Requires("delete"))]

_VIEW = TypeAdapter(StackInstanceView)
_LIST = TypeAdapter(list[StackInstanceView])
_PREVIEW = TypeAdapter(DeletePreview)
_PLAIN: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
_NO_NAME = DuplicateStackInstance()


@router.get("", response_model=list[StackInstanceView], summary="List the instances of a stack")
async def list_stack_instances(
    name: Stack,
    request: Request,
    access: MayList,
    search: Annotated[str | None, Query(max_length=253, description="Part of a name, template or description.")] = None,
    enabled: Annotated[bool | None, Query(description="Only those that are, or are not.")] = None,
) -> Response:
    """Answer the instances of an active stack, oldest first."""
    stack = find_stack(access, name, active=True)
    found = [it for it in instances_of(access, stack) if _mentions(it, stack, search)]
    views = [view_stack_instance(access, stack, it) for it in found]
    views = [it for it in views if enabled is None or it.enabled is enabled]
    etag = etag_of(it.metadata.resource_version for it in (stack, *found))
    return unchanged(etag) if is_known(request, etag) else respond(_LIST, views, etag=etag)


def _mentions(instance: HopperInstance, stack: HopperInstance, search: str | None) -> bool:
    texts = (instance_id(instance, stack), template_of(instance), instance.spec.description or "")
    return search is None or any(search.lower() in text.lower() for text in texts)


@router.post("", response_model=StackInstanceView, status_code=201, summary="Create an instance of a stack")
async def create_in_stack(name: Stack, body: CreateStackInstance, access: MayCreate) -> Response:
    """Create an instance of an active stack that runs a template."""
    stack = find_stack(access, name, active=True)
    return _created(access, stack, await create_stack_instance(access, stack, body))


def _created(access: Access, stack: HopperInstance, instance: HopperInstance) -> Response:
    answer = _one(access, stack, instance, 201)
    answer.headers["Location"] = f"/api/v1/stacks/{stack.name}/instances/{instance_id(instance, stack)}"
    return answer


def _one(access: Access, stack: HopperInstance, instance: HopperInstance, code: int = 200) -> Response:
    return respond(_VIEW, view_stack_instance(access, stack, instance), code)


def _detail(access: Access, stack: HopperInstance, instance: HopperInstance) -> Response:
    etag = f'"{instance.metadata.resource_version}"'
    return respond(_PLAIN, view_stack_detail(access, stack, instance), etag=etag)


@router.get("/{instance}", response_model=StackInstanceDetail, summary="Read an instance of a stack")
async def get_stack_instance(name: Stack, instance: Instance, request: Request, access: MayGet) -> Response:
    """Answer one instance with all its overrides. The values of secret variables are never part of it."""
    stack = find_stack(access, name)
    found = find_instance(access, stack, instance)
    etag = f'"{found.metadata.resource_version}"'
    return unchanged(etag) if is_known(request, etag) else _detail(access, stack, found)


@router.put("/{instance}", response_model=StackInstanceView, summary="Change an instance of a stack")
async def change_stack_instance(
    name: Stack, instance: Instance, body: UpdateStackInstance, access: MayPatch
) -> Response:
    """Change the description, or start and stop it; fields left out stay."""
    stack = find_stack(access, name)
    changed = await update_stack_instance(access, find_instance(access, stack, instance), body)
    return _one(access, stack, changed)


@router.delete("/{instance}", status_code=204, response_class=Response, summary="Delete an instance of a stack")
async def delete_stack_instance(name: Stack, instance: Instance, access: MayDelete) -> Response:
    """Terminate an instance: what runs goes, persistent volumes and the record stay, and its name is free."""
    stack = find_stack(access, name)
    await terminate(access, find_instance(access, stack, instance), cascade=False)
    return Response(status_code=204)


@router.post(
    "/{instance}/duplicate", response_model=StackInstanceView, status_code=201, summary="Copy an instance of a stack"
)
async def duplicate_stack_instance(
    name: Stack, instance: Instance, access: MayCreate, body: DuplicateStackInstance | None = None
) -> Response:
    """Create another instance with the same template and overrides, and volumes of its own."""
    stack = find_stack(access, name, active=True)
    source = find_instance(access, stack, instance)
    return _created(access, stack, await duplicate(access, stack, source, (body or _NO_NAME).instance_id))


@router.put(
    "/{instance}/rename",
    response_model=StackInstanceView,
    summary="Rename an instance of a stack",
    dependencies=[Depends(Requires("delete"))],  # the old object goes
)
async def rename_stack_instance(
    name: Stack, instance: Instance, body: RenameStackInstance, access: MayCreate
) -> Response:
    """Give it a new name everywhere; overrides, volumes and history are kept. It restarts under the new name."""
    stack = find_stack(access, name)
    return _one(access, stack, await rename(access, stack, instance, body.instance_id))


@router.get("/{instance}/delete-preview", response_model=DeletePreview, summary="Say what a deletion would take along")
async def preview_deletion(name: Stack, instance: Instance, access: MayGet) -> Response:
    """Answer everything that would go, and what would stay."""
    stack = find_stack(access, name)
    return respond(_PREVIEW, preview(access, stack, find_instance(access, stack, instance)))


async def _replace(kind: OverrideKind, access: Access, name: str, instance: str, body: Any) -> Response:
    stack = find_stack(access, name)
    changed = await replace_overrides(access, find_instance(access, stack, instance), kind, body)
    return _detail(access, stack, changed)


def _add(kind: OverrideKind) -> None:
    async def replace_list(
        name: Stack,
        instance: Instance,
        access: MayPatch,
        body: kind.body,  # type: ignore[name-defined]
    ) -> Response:
        return await _replace(kind, access, name, instance, body)

    async def replace_one(
        name: Stack,
        instance: Instance,
        access: MayPatch,
        body: kind.body | None = None,  # type: ignore[name-defined]
    ) -> Response:
        return await _replace(kind, access, name, instance, body)

    add = router.put(
        f"/{{instance}}/{kind.path}",
        response_model=StackInstanceDetail,
        summary=f"Replace the {kind.path} of an instance",
        description="Replaces all of its own; an empty list, or null, leaves those of the template.",
        operation_id=f"replace_{kind.answer}",
    )
    add(replace_list if kind.is_list else replace_one)


for _kind in OVERRIDE_KINDS.values():
    _add(_kind)
