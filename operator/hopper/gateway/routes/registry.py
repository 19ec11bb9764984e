"""Search, health, topology, events and heartbeats: `/registry`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response
from pydantic import Field

from hopper.api.heartbeat import Vitals
from hopper.gateway.access import WATCH_INSTANCES, Access, MayList, MaySendHeartbeat, MayWatch
from hopper.gateway.context import Context
from hopper.gateway.discovery import Criteria
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.responses import has_current_etag, not_modified, object_etag, raw_json_response
from hopper.gateway.models.enums import ScopeParameter, StatusParameter, TypeParameter
from hopper.gateway.models.registry import RegistryHealth, RegistryList, Topology
from hopper.gateway.routes.instances import Id, ParentIdQuery
from hopper.gateway.sse import EventStream
from hopper.gateway.views.queries import find_instance, get_instance_or_404
from hopper.gateway.views.registry import render_health, render_topology

router = APIRouter(prefix="/registry", tags=["registry"], route_class=JsonRoute)

_NO_VITALS = Vitals()

Capability = Annotated[str, Field(min_length=1, max_length=63)]
Label = Annotated[str, Field(pattern=r"^[^=]+=", max_length=381)]  # a prefix of 253, a name of 63, a value of 63


@router.get("/instances", response_model=RegistryList, summary="List all instances with their health")
async def list_registry(request: Request, access: MayList) -> Response:
    """Return all instances of the namespace, each with its health."""
    return await _matches_response(request, access, Criteria())


@router.get("/discover", response_model=RegistryList, summary="Search for instances")
async def discover(
    request: Request,
    access: MayList,
    scope: Annotated[ScopeParameter | None, Query()] = None,
    status: Annotated[
        list[StatusParameter] | None,
        Query(max_length=9, description="Return only instances with one of these statuses."),
    ] = None,
    type: Annotated[TypeParameter | None, Query()] = None,  # noqa: A002
    capability: Annotated[
        list[Capability] | None,
        Query(max_length=64, description="Return only instances with all of these capabilities."),
    ] = None,
    parent_id: ParentIdQuery = None,
    ancestor_id: Annotated[
        str | None, Query(max_length=253, description="Return only descendants of the instance with this id or uid.")
    ] = None,
    label: Annotated[
        list[Label] | None,
        Query(
            max_length=64,
            description="Return only instances with all of these labels, each as key=value.",
            examples=[["tier=web"]],
        ),
    ] = None,
    healthy: Annotated[
        bool | None, Query(description="Return only healthy instances if true, or only those in trouble if false.")
    ] = None,
    name: Annotated[
        str | None,
        Query(
            max_length=253,
            description="Return only instances with a matching id, with the wildcards `*`, `?` and `[…]`.",
        ),
    ] = None,
    can_parent: Annotated[
        ScopeParameter | None,
        Query(description="Return only instances that may have one more child of this scope."),
    ] = None,
) -> Response:
    """Return the instances that match all parameters, sorted by id."""
    criteria = Criteria(
        scope=scope,
        phases=tuple(status or ()),
        type=type,
        parent=_name_of(access, parent_id),
        ancestor=_name_of(access, ancestor_id),
        capabilities=tuple(capability or ()),
        labels={key: value for key, _, value in (pair.partition("=") for pair in label or ())},
        name=name,
        can_parent=can_parent,
        healthy=healthy,
    )
    return await _matches_response(request, access, criteria)


def _name_of(access: Access, identity: str | None) -> str | None:
    """Return the name of the instance with this id or uid. An unknown one is returned unchanged."""
    instance = find_instance(access.index, identity) if identity else None
    return instance.name if instance else identity


async def _matches_response(request: Request, access: Access, criteria: Criteria) -> Response:
    context, namespace = access.context, access.namespace

    async def render() -> bytes:
        return await context.registry_renderer.matches(namespace, criteria)

    return await _cached_response(request, context, f"{namespace} {criteria}", render)


async def _cached_response(
    request: Request, context: Context, key: str, render: Callable[[], Awaitable[bytes]]
) -> Response:
    """Return a response that changes only with the revision of the journal."""
    revision = context.catalogue.revision
    etag = object_etag(revision)
    if has_current_etag(request, etag):
        return not_modified(etag)
    return raw_json_response(await context.response_cache.get(key, revision, render), etag)


@router.get("/health", response_model=RegistryHealth, summary="Get the health of all instances")
async def get_registry_health(access: MayList) -> Response:
    """Return counts by status and health, the instances in trouble, and the metrics of each instance.

    The response is at most one second old.
    """
    context, now = access.context, access.context.clock()
    version = context.catalogue.journal.revision, context.catalogue.heartbeats.revision, now.replace(microsecond=0)

    async def render() -> bytes:
        return await render_health(access.namespace, context.catalogue, now)

    return raw_json_response(await context.response_cache.get(f"{access.namespace} health", version, render))


@router.get("/topology", response_model=Topology, summary="Get the topology")
async def get_topology(request: Request, access: MayList) -> Response:
    """Return all instances as a graph. Send its revision to `/registry/events` to get later changes."""
    context = access.context

    async def render() -> bytes:
        return await render_topology(access.namespace, context.catalogue)

    return await _cached_response(request, context, f"{access.namespace} topology", render)


@router.get(
    "/events",
    response_class=Response,
    summary="Watch events",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_events(
    request: Request,
    access: MayWatch,
    last_event_id: Annotated[
        str | None,
        Header(max_length=64, description="Id of an event, or revision of the topology, to continue after."),
    ] = None,
) -> Response:
    """Stream the events of all instances of the namespace as server-sent events, starting with a snapshot."""

    async def is_still_granted() -> bool:
        return await WATCH_INSTANCES.is_still_granted(access, request)

    return EventStream(access.context, access.namespace, last_event_id, is_still_granted, access.known_caller)


@router.post(
    "/instances/{id}/heartbeat",
    status_code=204,
    response_class=Response,
    summary="Send a heartbeat",
    operation_id="beat",
)
async def post_heartbeat(
    id: Id,  # noqa: A002
    access: MaySendHeartbeat,
    body: Annotated[Vitals | None, Body(examples=[{"active_tasks": 3, "queue_depth": 0, "status": "healthy"}])] = None,
) -> Response:
    """Report that an instance is alive, optionally with metrics. Heartbeats are not written to the instance."""
    access.context.heartbeat_writer.receive(get_instance_or_404(access.index, id), body or _NO_VITALS)
    return Response(status_code=204)
