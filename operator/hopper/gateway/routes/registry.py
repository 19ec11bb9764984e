"""`/registry`: discovery, health, the graph, what happens, and heartbeats."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import Field

from hopper.api.heartbeat import Vitals
from hopper.api.resources import INSTANCES
from hopper.gateway.access import Access, Requires
from hopper.gateway.context import Context
from hopper.gateway.discovery import Criteria
from hopper.gateway.http.answers import as_json, is_known, unchanged
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.models.registry import RegistryHealth, RegistryList, Topology
from hopper.gateway.models.words import ScopeWord, StatusWord, TypeWord
from hopper.gateway.routes.instances import Id, MayList
from hopper.gateway.sse import EventStream
from hopper.gateway.views.reads import find, lookup
from hopper.gateway.views.registry import draw_topology, list_entries, revision_of, tell_health

router = APIRouter(prefix="/registry", tags=["registry"], route_class=JsonRoute)

_WATCH = Requires("watch")
MayWatch = Annotated[Access, Depends(_WATCH)]
MayBeat = Annotated[Access, Depends(Requires("create", INSTANCES, "heartbeat"))]

_NO_VITALS = Vitals()


Capability = Annotated[str, Field(min_length=1, max_length=63)]
Label = Annotated[str, Field(pattern=r"^[^=]+=", max_length=381)]  # a prefix of 253, a name of 63, a value of 63


@router.get("/instances", response_model=RegistryList, summary="List everything that is known")
async def list_registry(request: Request, access: MayList) -> Response:
    """Answer every instance of the namespace, with its health."""
    return await _found(request, access, Criteria())


@router.get("/discover", response_model=RegistryList, summary="Find instances")
async def discover(
    request: Request,
    access: MayList,
    scope: Annotated[ScopeWord | None, Query()] = None,
    status: Annotated[list[StatusWord] | None, Query(max_length=9, description="Any of these.")] = None,
    type: Annotated[TypeWord | None, Query()] = None,  # noqa: A002
    capability: Annotated[list[Capability] | None, Query(max_length=64, description="All of these.")] = None,
    parent_id: Annotated[str | None, Query(max_length=253, description="Id or uid of the parent.")] = None,
    ancestor_id: Annotated[str | None, Query(max_length=253, description="Id or uid of one above.")] = None,
    label: Annotated[
        list[Label] | None,
        Query(max_length=64, description="All of these, as key=value.", examples=[["tier=web"]]),
    ] = None,
    healthy: Annotated[bool | None, Query(description="Healthy, or in trouble.")] = None,
    name: Annotated[str | None, Query(max_length=253, description="Id, with `*`, `?` and `[…]`.")] = None,
    can_parent: Annotated[ScopeWord | None, Query(description="With room for one more child of this scope.")] = None,
) -> Response:
    """Answer the instances that match all criteria, by id."""
    criteria = Criteria(
        scope=scope,
        phases=tuple(status or ()),
        type=type,
        parent=_name_of(access, parent_id),
        ancestor=_name_of(access, ancestor_id),
        capabilities=tuple(capability or ()),
        labels={key: value for key, _, value in (it.partition("=") for it in label or ())},
        name=name,
        can_parent=can_parent,
        healthy=healthy,
    )
    return await _found(request, access, criteria)


def _name_of(access: Access, identity: str | None) -> str | None:
    found = lookup(access.index, identity) if identity else None
    return found.name if found else identity


async def _found(request: Request, access: Access, criteria: Criteria) -> Response:
    context, namespace = access.context, access.namespace

    async def find_all() -> bytes:
        return await list_entries(namespace, criteria, context.catalogue, context.entries)

    return await _whole(request, context, f"{namespace} {criteria}", find_all)


async def _whole(request: Request, context: Context, key: str, make: Callable[[], Awaitable[bytes]]) -> Response:
    """Answer what only changes with the revision."""
    revision = revision_of(context.catalogue)
    etag = f'"{revision}"'
    if is_known(request, etag):
        return unchanged(etag)
    return as_json(await context.whole.get(key, revision, make), etag)


@router.get("/health", response_model=RegistryHealth, summary="How is everything?")
async def get_registry_health(access: MayList) -> Response:
    """Answer totals, who is in trouble and why, and how each instance does. It is at most a second old."""
    context, now = access.context, access.context.clock()
    version = context.catalogue.journal.revision, context.catalogue.beats.revision, now.replace(microsecond=0)

    async def tell() -> bytes:
        return await tell_health(access.namespace, context.catalogue, now)

    return as_json(await context.whole.get(f"{access.namespace} health", version, tell))


@router.get("/topology", response_model=Topology, summary="Read the graph")
async def get_topology(request: Request, access: MayList) -> Response:
    """Answer all instances as a graph. Its revision is where `/registry/events` goes on."""
    context = access.context

    async def draw() -> bytes:
        return await draw_topology(access.namespace, context.catalogue)

    return await _whole(request, context, f"{access.namespace} topology", draw)


@router.get(
    "/events",
    response_class=Response,
    summary="Follow what happens",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_events(
    request: Request,
    access: MayWatch,
    last_event_id: Annotated[
        str | None, Header(max_length=64, description="Go on after this event, or after a revision of the topology.")
    ] = None,
) -> Response:
    """Answer server-sent events: a snapshot's revision, then what happens to the instances of the namespace."""

    async def still_allowed() -> bool:
        return await _WATCH.still_lets(access, request)

    return EventStream(access.context, access.namespace, last_event_id, still_allowed, access.known_caller)


@router.post("/instances/{id}/heartbeat", status_code=204, response_class=Response, summary="Give a sign of life")
async def beat(
    id: Id,  # noqa: A002
    access: MayBeat,
    body: Annotated[Vitals | None, Body(examples=[{"active_tasks": 3, "queue_depth": 0, "status": "healthy"}])] = None,
) -> Response:
    """Tell that an instance lives, and how it does. This costs no write to the instance."""
    access.context.heartbeat_writer.beat(find(access.index, id), body or _NO_VITALS)
    return Response(status_code=204)
