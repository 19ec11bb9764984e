"""Every error response has the same form, and reveals nothing about the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from hopper.gateway.auth import Caller, NoAuthentication, Permission
from hopper.gateway.http import errors
from hopper.gateway.http.errors import UnauthorizedError
from hopper.ports import ApiError, Cause, ConflictError, NotFoundError, RefusedError, UnavailableError
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with


class OneVerbAuthority(NoAuthentication):
    """An authority with one token and one permitted verb."""

    def __init__(self, may: str = "list") -> None:
        self.may = may

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        if headers.get("authorization") != "Bearer right":
            raise UnauthorizedError("send a token", headers={"WWW-Authenticate": "Bearer"})
        return Caller("alice")

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return permission.verb == self.may


class TestRouting:
    async def test_an_unknown_route_gets_404(self, gateway: InMemoryGateway) -> None:
        body = assert_problem(await gateway.get("/nothing"), 404, "NotFound")
        assert "/openapi.json" in body["detail"]

    async def test_a_wrong_method_gets_405(self, gateway: InMemoryGateway) -> None:
        response = await gateway.client.patch("/instances")
        assert_problem(response, 405, "MethodNotAllowed")
        assert "GET" in response.headers["allow"]

    async def test_a_wrong_method_outside_the_api_gets_405(self, gateway: InMemoryGateway) -> None:
        response = await gateway.client.post("http://gateway/openapi.json")
        assert (
            assert_problem(response, 405, "MethodNotAllowed")["detail"]
            == "POST is not allowed for /openapi.json; use GET"
        )
        assert response.headers["allow"] == "GET"

    async def test_a_missing_instance_gets_404(self, gateway: InMemoryGateway) -> None:
        assert (
            assert_problem(await gateway.get("/instances/web"), 404, "NotFound")["detail"] == "Instance web not found"
        )

    async def test_invalid_parameters_get_422_with_their_fields(self, gateway: InMemoryGateway) -> None:
        body = assert_problem(await gateway.get("/instances?limit=many&scope=moon"), 422, "ValidationError")
        assert {error["field"] for error in body["errors"]} == {"query -> limit", "query -> scope"}
        assert all(error.keys() == {"field", "message", "type"} for error in body["errors"])


class TestAccess:
    async def test_missing_credentials_get_401(self) -> None:
        response = await InMemoryGateway(OneVerbAuthority()).get("/instances")
        assert_problem(response, 401, "Unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"

    async def test_a_missing_permission_gets_403(self) -> None:
        gateway = InMemoryGateway(OneVerbAuthority())
        gateway.instance("web")
        right = {"Authorization": "Bearer right"}
        assert (await gateway.get("/instances", headers=right)).status_code == 200
        body = assert_problem(await gateway.get("/instances/web", headers=right), 403, "Forbidden")
        assert (
            body["detail"]
            == "alice lacks the permission to get hopperinstances in namespace default, which this request needs"
        )

    async def test_routes_that_reveal_other_names_require_list(self) -> None:
        gateway = InMemoryGateway(OneVerbAuthority("get"))
        gateway.instance("global", "Global")
        gateway.instance("web", parent="global")
        responses = {
            path: (await gateway.get(path, headers={"Authorization": "Bearer right"})).status_code
            for path in (
                *("/instances", "/instances/active", "/instances/projects/web", "/registry/topology"),
                *(f"/instances/global/{instance}" for instance in ("ancestors", "children", "descendants", "tree")),
            )
        }
        assert set(responses.values()) == {403}, responses
        for path in ("", "/status", "/tasks"):
            assert (await gateway.get(f"/instances/web{path}", headers={"Authorization": "Bearer right"})).is_success

    async def test_a_namespace_that_is_not_served_gets_403(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(namespaces=frozenset({"default"})))
        assert_problem(await gateway.get("/instances?namespace=other"), 403, "Forbidden")

    async def test_too_many_requests_get_429(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(requests_per_second=1.0, burst=2))
        codes = [(await gateway.get("/instances")).status_code for _ in range(2)]
        response = await gateway.get("/instances")
        assert codes == [200, 200]
        assert_problem(response, 429, "TooManyRequests")
        assert int(response.headers["retry-after"]) >= 1

    async def test_failed_authentication_counts_as_a_request(self) -> None:
        gateway = InMemoryGateway(OneVerbAuthority(), settings_with(requests_per_second=1.0, burst=2))
        assert [(await gateway.get("/instances")).status_code for _ in range(3)] == [401, 401, 429]

    @pytest.mark.parametrize(
        "content", [b"{", b"x" * 2_000_000, b'{"name": "a", "scope": "PROJECT"}', b'{"colour": 1}']
    )
    async def test_authentication_precedes_the_body(self, content: bytes) -> None:
        """Reading and validating a body costs time."""
        gateway = InMemoryGateway(OneVerbAuthority(), settings_with(requests_per_second=1.0, burst=2))
        json = {"Content-Type": "application/json"}
        responses = [await gateway.client.post("/instances", content=content, headers=json) for _ in range(3)]
        assert [response.status_code for response in responses] == [401, 401, 429]

    async def test_a_request_with_a_body_counts_once(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(requests_per_second=0.001, burst=2))
        body = {"name": "a", "scope": "PROJECT"}
        assert [(await gateway.post("/instances", body)).status_code for _ in range(3)] == [201, 409, 429]

    async def test_requests_before_the_initial_list_get_503(self, gateway: InMemoryGateway) -> None:
        gateway.not_ready_reasons.append("the initial list is not complete")
        response = await gateway.get("/instances")
        assert "not complete" in assert_problem(response, 503, "ServiceUnavailable")["detail"]
        assert response.headers["retry-after"] == "1"


CAUSE = Cause("spec.scope", "is immutable", "FieldValueInvalid")


class TestApiErrors:
    @pytest.mark.parametrize(
        ("error", "code", "kind"),
        [
            (NotFoundError("404: gone", code=404), 404, "NotFound"),
            (ConflictError("409: modified", code=409), 409, "Conflict"),
            (RefusedError("403: forbidden", code=403), 403, "Forbidden"),
            (RefusedError("422: invalid", code=422, causes=[CAUSE]), 422, "ValidationError"),
            (RefusedError("400: strict decoding error", code=400), 422, "ValidationError"),
            (UnavailableError("connection refused"), 503, "ServiceUnavailable"),
        ],
    )
    async def test_api_server_errors_become_responses(self, error: ApiError, code: int, kind: str) -> None:
        gateway = InMemoryGateway()

        @gateway.app.get("/api/v1/fails")
        async def fails() -> None:
            raise error

        body = assert_problem(await gateway.get("/fails"), code, kind)
        if not error.causes:
            assert str(error).split(": ")[-1] in body["detail"]
        else:
            assert body["detail"] == "body -> spec -> scope: is immutable"
            wrong = {"field": "body -> spec -> scope", "message": "is immutable", "type": "FieldValueInvalid"}
            assert body["errors"] == [wrong]

    async def test_an_unexpected_error_gets_500_without_details(self, caplog: pytest.LogCaptureFixture) -> None:
        gateway = InMemoryGateway()

        @gateway.app.get("/api/v1/fails")
        async def fails() -> None:
            raise ZeroDivisionError("a secret")

        with caplog.at_level(logging.CRITICAL):
            response = await gateway.get("/fails")
        assert_problem(response, 500, "InternalError")
        assert "secret" not in response.text
        assert "Traceback" not in response.text


async def test_a_request_cancelled_by_shutdown_gets_503(gateway: InMemoryGateway) -> None:
    """uvicorn cancels requests after the grace period, and would send a response in another form."""
    gateway.instance("web")
    asked = asyncio.Event()

    async def hang(*args: Any, **options: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    gateway.store.patch = hang  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(gateway.post("/instances/web/stop"))
    await asked.wait()
    gateway.context.stop()
    task.cancel()
    response = await task
    assert_problem(response, 503, "ServiceUnavailable")
    assert response.headers["retry-after"] == "1"


def test_every_documented_code_has_an_exception() -> None:
    kinds = errors.ProblemError.__subclasses__()
    assert {kind.code for kind in kinds} == {400, 401, 403, 404, 408, 409, 413, 422, 429, 503}
