"""Every error has the same form, whatever it comes from, and gives nothing away."""

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


class Guarded(NoAuthentication):
    """Knows one token, which may only do one thing."""

    def __init__(self, may: str = "list") -> None:
        self.may = may

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        if headers.get("authorization") != "Bearer right":
            raise UnauthorizedError("send a token", headers={"WWW-Authenticate": "Bearer"})
        return Caller("alice")

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return permission.verb == self.may


class TestRouting:
    async def test_an_unknown_route(self, gateway: InMemoryGateway) -> None:
        body = assert_problem(await gateway.get("/nothing"), 404, "NotFound")
        assert "/openapi.json" in body["detail"]

    async def test_a_wrong_method(self, gateway: InMemoryGateway) -> None:
        answer = await gateway.client.patch("/instances")
        assert_problem(answer, 405, "MethodNotAllowed")
        assert "GET" in answer.headers["allow"]

    async def test_a_wrong_method_beside_the_api(self, gateway: InMemoryGateway) -> None:
        answer = await gateway.client.post("http://gateway/openapi.json")
        assert (
            assert_problem(answer, 405, "MethodNotAllowed")["detail"]
            == "POST is not allowed for /openapi.json; use GET"
        )
        assert answer.headers["allow"] == "GET"

    async def test_a_missing_instance(self, gateway: InMemoryGateway) -> None:
        assert (
            assert_problem(await gateway.get("/instances/web"), 404, "NotFound")["detail"] == "Instance web not found"
        )

    async def test_a_wrong_parameter(self, gateway: InMemoryGateway) -> None:
        body = assert_problem(await gateway.get("/instances?limit=many&scope=moon"), 422, "ValidationError")
        assert {it["field"] for it in body["errors"]} == {"query -> limit", "query -> scope"}
        assert all(it.keys() == {"field", "message", "type"} for it in body["errors"])


class TestAccess:
    async def test_nobody_knows_who_it_is(self) -> None:
        answer = await InMemoryGateway(Guarded()).get("/instances")
        assert_problem(answer, 401, "Unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_may_not(self) -> None:
        gateway = InMemoryGateway(Guarded())
        gateway.instance("web")
        right = {"Authorization": "Bearer right"}
        assert (await gateway.get("/instances", headers=right)).status_code == 200
        body = assert_problem(await gateway.get("/instances/web", headers=right), 403, "Forbidden")
        assert body["detail"] == "alice lacks the permission to get hopperinstances in namespace default"

    async def test_who_may_not_list_is_not_told_of_others(self) -> None:
        gateway = InMemoryGateway(Guarded("get"))
        gateway.instance("global", "Global")
        gateway.instance("web", parent="global")
        answers = {
            path: (await gateway.get(path, headers={"Authorization": "Bearer right"})).status_code
            for path in (
                *("/instances", "/instances/active", "/instances/projects/web", "/registry/topology"),
                *(f"/instances/global/{it}" for it in ("children", "descendants", "hierarchy", "tree")),
            )
        }
        assert set(answers.values()) == {403}, answers
        for path in ("", "/status", "/tasks", "/ancestors"):
            assert (await gateway.get(f"/instances/web{path}", headers={"Authorization": "Bearer right"})).is_success

    async def test_another_namespace(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(namespaces=frozenset({"default"})))
        assert_problem(await gateway.get("/instances?namespace=other"), 403, "Forbidden")

    async def test_too_often(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(requests_per_second=1.0, burst=2))
        codes = [(await gateway.get("/instances")).status_code for _ in range(2)]
        answer = await gateway.get("/instances")
        assert codes == [200, 200]
        assert_problem(answer, 429, "TooManyRequests")
        assert int(answer.headers["retry-after"]) >= 1

    async def test_guessing_is_bounded(self) -> None:
        gateway = InMemoryGateway(Guarded(), settings_with(requests_per_second=1.0, burst=2))
        assert [(await gateway.get("/instances")).status_code for _ in range(3)] == [401, 401, 429]

    @pytest.mark.parametrize(
        "content", [b"{", b"x" * 2_000_000, b'{"name": "a", "scope": "PROJECT"}', b'{"colour": 1}']
    )
    async def test_nobody_knows_who_it_is_before_the_body_is_read(self, content: bytes) -> None:
        """To read it costs time, and so do its mistakes."""
        gateway = InMemoryGateway(Guarded(), settings_with(requests_per_second=1.0, burst=2))
        json = {"Content-Type": "application/json"}
        answers = [await gateway.client.post("/instances", content=content, headers=json) for _ in range(3)]
        assert [it.status_code for it in answers] == [401, 401, 429]

    async def test_a_request_counts_once(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(requests_per_second=0.001, burst=2))
        body = {"name": "a", "scope": "PROJECT"}
        assert [(await gateway.post("/instances", body)).status_code for _ in range(3)] == [201, 409, 429]

    async def test_the_registry_is_not_complete(self, gateway: InMemoryGateway) -> None:
        gateway.not_ready_reasons.append("the initial list is not complete")
        answer = await gateway.get("/instances")
        assert "not complete" in assert_problem(answer, 503, "ServiceUnavailable")["detail"]
        assert answer.headers["retry-after"] == "1"


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
    async def test_each(self, error: ApiError, code: int, kind: str) -> None:
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

    async def test_what_nobody_expected(self, caplog: pytest.LogCaptureFixture) -> None:
        gateway = InMemoryGateway()

        @gateway.app.get("/api/v1/fails")
        async def fails() -> None:
            raise ZeroDivisionError("a secret")

        with caplog.at_level(logging.CRITICAL):
            answer = await gateway.get("/fails")
        assert_problem(answer, 500, "InternalError")
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text


async def test_what_is_cut_short_when_the_gateway_ends(gateway: InMemoryGateway) -> None:
    """uvicorn cancels what is not done in time, and would answer that with an error of its own."""
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
    answer = await task
    assert_problem(answer, 503, "ServiceUnavailable")
    assert answer.headers["retry-after"] == "1"


def test_every_code_of_the_contract_has_a_name() -> None:
    kinds = errors.ProblemError.__subclasses__()
    assert {kind.code for kind in kinds} == {400, 401, 403, 404, 408, 409, 413, 422, 429, 503}
