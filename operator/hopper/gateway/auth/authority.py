"""Interface of the authentication modes, and the mode without authentication."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hopper.api.resources import Resource

ANONYMOUS = "anonymous"


class Purpose(StrEnum):
    """Reason for a permission check. RBAC makes no difference between the purposes, but the roles of API keys do."""

    GENERAL = "general"
    ACTION = "action"  # a lifecycle action
    CODE = "code"  # a write that decides what code runs: an image, a command, a health check, a file or a reference


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission in terms of RBAC: a verb on a resource or a subresource, for all objects or only for `name`."""

    verb: str
    resource: Resource
    subresource: str = ""
    name: str = ""
    purpose: Purpose = field(default=Purpose.GENERAL, compare=False)

    def __str__(self) -> str:
        subresource = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource.plural}{subresource}" + (f' "{self.name}"' if self.name else "")


@dataclass(frozen=True, slots=True)
class Caller:
    """A client. The access log and `spec.reason` of changed instances contain its name."""

    name: str

    @property
    def is_known(self) -> bool:
        return self.name != ANONYMOUS


class Authority(Protocol):
    """An authentication mode. `scheme` is its security scheme in the OpenAPI document, None without authentication.

    Both methods raise `ApiError` if they need the API server and it is not available.
    """

    scheme: str | None

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        """Return the caller that sent these headers from a client address.

        Raises `UnauthorizedError`, and `TooManyRequestsError` for too many unknown credentials.
        """

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        """Whether the caller has the permission in a namespace."""


class NoAuthentication:
    """Authority that gives all permissions to every caller.

    Only for a gateway on a loopback address that checks Host and Origin headers (`http.guard`).
    """

    scheme: str | None = None

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        return Caller(ANONYMOUS)

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return True
