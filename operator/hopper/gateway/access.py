"""Access control: the dependencies of every route that authenticate the caller and check a permission."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query, Request

from hopper.api.resources import INSTANCES, TEMPLATES, Resource
from hopper.gateway.auth import Caller, Permission, Purpose
from hopper.gateway.context import Context
from hopper.gateway.http.connections import client_network
from hopper.gateway.http.errors import ForbiddenError, ProblemError, UnauthorizedError, unavailable
from hopper.gateway.views.queries import find_instance
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

    async def is_allowed(self, permission: Permission) -> bool:
        """Whether the caller has a permission in the namespace."""
        return await self.context.authority.allows(self.caller, permission, self.namespace)

    async def require(self, permission: Permission, write: str) -> None:
        """Raise `ForbiddenError` if the caller lacks a permission that a write needs. `write` describes the write."""
        if not await self.is_allowed(permission):
            raise _lacks_permission(self.caller, permission, self.namespace, write)


def _lacks_permission(
    caller: Caller, permission: Permission, namespace: str, request: str = "this request"
) -> ForbiddenError:
    return ForbiddenError(
        f"{caller.name} lacks the permission to {permission} in namespace {namespace}, which {request} needs"
    )


class Requires:
    """Dependency of a route that requires a permission: `Annotated[Access, Depends(Requires("get"))]`.

    With `by_name`, the permission for the one instance in the path is enough.

    Errors: 401, 403, 429, and 503 until the initial list is complete.
    """

    def __init__(
        self,
        verb: str,
        resource: Resource = INSTANCES,
        subresource: str = "",
        purpose: Purpose = Purpose.GENERAL,
        *,
        by_name: bool = False,
    ) -> None:
        self.permission = Permission(verb, resource, subresource, purpose=purpose)
        self.by_name = by_name

    async def __call__(self, request: Request, namespace: NamespaceQuery = None) -> Access:
        context: Context = request.app.state.context
        caller = await _identify(context, request)
        namespace = namespace or context.settings.namespace
        if not context.settings.serves(namespace):
            raise ForbiddenError(f"this gateway does not serve namespace {namespace}; use one that it was started with")
        if namespace in context.settings.system_namespaces:
            raise ForbiddenError(
                f"namespace {namespace} belongs to the system, so no caller may use it; use another one"
            )
        access = Access(context, caller, namespace)
        if not await access.is_allowed(self.permission) and not await self._is_allowed_by_name(access, request):
            raise _lacks_permission(caller, self.permission, namespace)
        if reasons := context.not_ready():
            raise unavailable("; ".join(reasons))
        return access

    async def _is_allowed_by_name(self, access: Access, request: Request) -> bool:
        # Only for existing instances, so that invented names cause no reviews.
        instance = find_instance(access.index, request.path_params["id"]) if self.by_name else None
        return instance is not None and await access.is_allowed(replace(self.permission, name=instance.name))

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
MayAct = Annotated[Access, Depends(Requires("patch", purpose=Purpose.ACTION))]
MayDelete = Annotated[Access, Depends(Requires("delete"))]
MaySendHeartbeat = Annotated[Access, Depends(Requires("create", INSTANCES, "heartbeat", by_name=True))]

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
