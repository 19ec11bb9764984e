"""Who calls, for which namespace, and whether they may: the first thing that every route depends on."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request

from hopper.api.resources import INSTANCES, Resource
from hopper.gateway.auth import Caller, Permission
from hopper.gateway.context import Context
from hopper.gateway.http.errors import ForbiddenError, ProblemError, UnauthorizedError, unavailable
from hopper.ports import ApiError
from hopper.registry import NamespaceIndex

_ADMITTED = "hopper.admitted"

NamespaceQuery = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=63,
        description="The namespace; the gateway's own when left out.",
        examples=["default"],
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """A caller who may do what they ask for, in one namespace."""

    context: Context
    caller: Caller
    namespace: str

    @property
    def known_caller(self) -> str | None:
        """The name of the caller, None where nobody has to say who they are."""
        return self.caller.name if self.caller.is_known else None

    @property
    def index(self) -> NamespaceIndex:
        """The instances of the namespace."""
        return self.context.index(self.namespace)


class Requires:
    """A dependency of a route: `Annotated[Access, Depends(Requires("get"))]`.

    It answers 401, 403, 429, and 503 while the registry is not complete.
    """

    def __init__(self, verb: str, resource: Resource = INSTANCES, subresource: str = "") -> None:
        self.permission = Permission(verb, resource, subresource)

    async def __call__(self, request: Request, namespace: NamespaceQuery = None) -> Access:
        context: Context = request.app.state.context
        caller = await _identify(context, request)
        namespace = namespace or context.settings.namespace
        if not context.settings.serves(namespace):
            raise ForbiddenError(f"this gateway does not serve namespace {namespace}")
        if not await context.authority.allows(caller, self.permission, namespace):
            raise ForbiddenError(f"{caller.name} may not {self.permission} in namespace {namespace}")
        if problems := context.unready():
            raise unavailable("; ".join(problems))
        return Access(context, caller, namespace)

    async def still_lets(self, access: Access, request: Request) -> bool:
        """Tell whether somebody who was let in with this request still may.

        Where that cannot be found out just now, they may: the API server being away takes nobody's rights.
        """
        try:
            return (await self(request, access.namespace)).caller == access.caller
        except (UnauthorizedError, ForbiddenError):
            return False
        except (ProblemError, ApiError):
            return True


async def admit(request: Request) -> None:
    """Find out who calls, before their body is read: nobody has a megabyte looked through without a name.

    Answers 401 and 429.
    """
    request.scope[_ADMITTED] = await _identify(request.app.state.context, request)


async def _identify(context: Context, request: Request) -> Caller:
    # Taken out: whoever asks again about the same request, for a stream, wants to know anew.
    admitted: Caller | None = request.scope.pop(_ADMITTED, None)
    if admitted is not None:
        return admitted
    try:
        caller = await context.authority.identify(request.headers)
    except UnauthorizedError:
        # Guessing is bounded like everything else.
        context.rates.take(f"@{request.client.host if request.client else ''}")
        raise
    request.scope["hopper.caller"] = caller.name
    context.rates.take(caller.name)
    return caller
