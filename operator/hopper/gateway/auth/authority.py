"""What every way of authentication answers: who is asking, and whether they may."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from hopper.api.resources import Resource
from hopper.gateway.http.errors import ForbiddenError

ANONYMOUS = "anonymous"


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Permission:
    """Something that may be allowed, in the words of RBAC: a verb on a kind, or on a part of it."""

    verb: str
    resource: Resource
    subresource: str = ""

    def __str__(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource.plural}{part}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `name` goes into the access log, and into the reason of what is changed."""

    name: str

    @property
    def is_known(self) -> bool:
        return self.name != ANONYMOUS


class Authority(Protocol):
    """One way of authentication. `scheme` is what OpenAPI calls it, None where nobody has to say who they are.

    Both methods raise `ApiError` where the API server has to be asked and does not answer.
    """

    scheme: str | None

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        """Return who sends these headers. Raises `UnauthorizedError`."""

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        """Tell whether this caller may do that in a namespace."""


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Open:
    """Lets everybody do everything; only for a gateway that nobody else can reach.

    The user's own browser can: what a page from elsewhere has it send is refused (`only_here`).
    """

    scheme: str | None = None

    def __init__(self, *, only_here: bool = True) -> None:
        self._only_here = only_here

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        if self._only_here:
            origin = headers.get("origin")
            for url in (f"//{headers.get('host', '')}", *([origin] if origin is not None else ())):
                if not is_loopback(_host_of(url) or ""):
                    raise ForbiddenError("without authentication, only programs on this machine are served")
        return Caller(ANONYMOUS)

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return True
