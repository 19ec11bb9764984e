"""Whether the caller of an open stream still has the permission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from fastapi import Request

from hopper.gateway.access import Requires
from hopper.gateway.auth import Caller, Permission
from hopper.gateway.http.errors import UnauthorizedError
from hopper.ports import UnavailableError
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

WATCH = Requires("watch")


@dataclass
class ChangingAuthority:
    """An authority with a result that tests can change."""

    scheme: str | None = "bearer"
    name: str = "alice"
    known: bool = True
    allowed: bool = True
    away: bool = False
    calls: list[str] = field(default_factory=list)

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        self.calls.append("identify")
        if self.away:
            raise UnavailableError("connection refused")
        if not self.known:
            raise UnauthorizedError("the key is not accepted any more")
        return Caller(self.name)

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return self.allowed


def request_to(gateway: InMemoryGateway) -> Request:
    return Request({"type": "http", "app": gateway.app, "headers": [], "client": None})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"known": False}, False),
        ({"allowed": False}, False),
        ({"name": "bob"}, False),
        ({"away": True}, True),
    ],
)
async def test_permission_of_an_open_stream(change: dict[str, object], expected: bool) -> None:
    authority = ChangingAuthority()
    gateway = InMemoryGateway(authority)
    request = request_to(gateway)
    access = await WATCH(request)
    for key, value in change.items():
        setattr(authority, key, value)
    assert await WATCH.is_still_granted(access, request) is expected
    assert len(authority.calls) == 2


async def test_the_rate_limit_does_not_end_a_stream() -> None:
    gateway = InMemoryGateway(ChangingAuthority(), settings_with(requests_per_second=0.001, burst=1))
    request = request_to(gateway)
    access = await WATCH(request)
    assert await WATCH.is_still_granted(access, request)
