"""Access control: the dependencies of every route that authenticate the caller and check a permission."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from hopper.api.resources import INSTANCES, TEMPLATES, Resource
from hopper.gateway.auth import Caller, Permission
from hopper.gateway.context import Context
from hopper.gateway.http.connections import client_network
from hopper.gateway.http.errors import ForbiddenError, ProblemError, UnauthorizedError, unavailable
from hopper.ports import ApiError
from hopper.registry import NamespaceIndex

_AUTHENTICATED = "hopper.authenticated"

NamespaceQuery = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=63,
        description="Namespace of the request. Defaults to the gateway's own namespace.",
        examples=["default"],
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """A request that has passed access control: its caller and its namespace."""

    context: Context
    caller: Caller
    namespace: str

    @property
    def known_caller(self) -> str | None:
        """Name of the caller, None without authentication."""
        return self.caller.name if self.caller.is_known else None

    @property
    def index(self) -> NamespaceIndex:
        """Instances of the namespace."""
        return self.context.index(self.namespace)


class Requires:
    """Dependency of a route that requires a permission: `Annotated[Access, Depends(Requires("get"))]`.

    Errors: 401, 403, 429, and 503 until the initial list is complete.
    """

    def __init__(self, verb: str, resource: Resource = INSTANCES, subresource: str = "") -> None:
        self.permission = Permission(verb, resource, subresource)

    async def __call__(self, request: Request, namespace: NamespaceQuery = None) -> Access:
        context: Context = request.app.state.context
        caller = await _identify(context, request)
        namespace = namespace or context.settings.namespace
        if not context.settings.serves(namespace):
            raise ForbiddenError(f"this gateway does not serve namespace {namespace}; use one that it was started with")
        if not await context.authority.allows(caller, self.permission, namespace):
            raise ForbiddenError(f"{caller.name} lacks the permission to {self.permission} in namespace {namespace}")
        if reasons := context.not_ready():
            raise unavailable("; ".join(reasons))
        return Access(context, caller, namespace)

    async def is_still_granted(self, access: Access, request: Request) -> bool:
        """Whether the caller of an open request still has the permission.

        True if the check itself fails, because an outage of the API server revokes no permissions.
        """
        try:
            return (await self(request, access.namespace)).caller == access.caller
        except (UnauthorizedError, ForbiddenError):
            return False
        except (ProblemError, ApiError):
            return True


WATCH_INSTANCES = Requires("watch")

MayGet = Annotated[Access, Depends(Requires("get"))]
# Required by every route that returns the names of other instances.
MayList = Annotated[Access, Depends(Requires("list"))]
MayWatch = Annotated[Access, Depends(WATCH_INSTANCES)]
MayCreate = Annotated[Access, Depends(Requires("create"))]
MayPatch = Annotated[Access, Depends(Requires("patch"))]
MayDelete = Annotated[Access, Depends(Requires("delete"))]
MaySendHeartbeat = Annotated[Access, Depends(Requires("create", INSTANCES, "heartbeat"))]

MayGetTemplates = Annotated[Access, Depends(Requires("get", TEMPLATES))]
MayListTemplates = Annotated[Access, Depends(Requires("list", TEMPLATES))]
MayCreateTemplates = Annotated[Access, Depends(Requires("create", TEMPLATES))]
MayPatchTemplates = Annotated[Access, Depends(Requires("patch", TEMPLATES))]
MayDeleteTemplates = Annotated[Access, Depends(Requires("delete", TEMPLATES))]


async def authenticate(request: Request) -> None:
    """Identify the caller before the body is read, so that anonymous clients cannot make the gateway parse it.

    Errors: 401 and 429.
    """
    request.scope[_AUTHENTICATED] = await _identify(request.app.state.context, request)


async def _identify(context: Context, request: Request) -> Caller:
    # Used once: an event stream checks again later, and must not get the same result.
    authenticated: Caller | None = request.scope.pop(_AUTHENTICATED, None)
    if authenticated is not None:
        return authenticated
    address = client_network(request.client.host) if request.client else ""
    try:
        caller = await context.authority.identify(request.headers, address)
    except UnauthorizedError:
        # Failed attempts count as well, for each client address.
        context.rate_limiter.acquire(f"@{address}")
        raise
    request.scope["hopper.caller"] = caller.name
    context.rate_limiter.acquire(caller.name)
    return caller
