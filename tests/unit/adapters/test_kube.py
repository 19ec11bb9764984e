"""Requests, and the result or error for each kind of response."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
import yaml
from aiohttp import web

from hopper.adapters import kube
from hopper.adapters.kube import APPLY_PATCH, MERGE_PATCH
from hopper.ports import ApiError, ConflictError, ExpiredError, NotFoundError, RefusedError, UnavailableError
from tests.unit.adapters.server import Server, respond_html, respond_json, serving

PATH = "/apis/hopper.dev/v1/namespaces/default/hopperinstances/web"


async def test_a_request_is_sent_and_its_response_returned(server: Server) -> None:
    server.handler = respond_json({"kind": "HopperInstance"})
    response = await server.kube.request(
        "PATCH",
        f"{PATH}/status",
        resource="hopperinstances/status",
        body={"status": {"phase": "Running"}},
        content_type=MERGE_PATCH,
        query="fieldManager=hopper-operator",
    )
    assert response == {"kind": "HopperInstance"}
    (received,) = server.received
    assert (received.method, received.path) == ("PATCH", f"{PATH}/status")
    assert received.query == {"fieldManager": "hopper-operator"}
    assert received.headers["content-type"] == MERGE_PATCH
    assert received.headers["accept"] == "application/json"
    assert received.body == {"status": {"phase": "Running"}}
    assert server.observed == [("PATCH", "hopperinstances/status", 200)]


async def test_server_side_apply_has_its_own_content_type(server: Server) -> None:
    await server.kube.request("PATCH", PATH, resource="services", body={"kind": "Service"}, content_type=APPLY_PATCH)
    assert server.received[0].headers["content-type"] == APPLY_PATCH
    assert server.received[0].body == {"kind": "Service"}


async def test_the_body_of_an_apply_is_valid_yaml(server: Server) -> None:
    """JSON encodes an emoji as two escapes, which YAML rejects. YAML has no control characters either."""
    text = "🚀 ünï\x85\x9f\u2028\ufeff\t\x01 \\ud83d \\\\"
    await server.kube.request("PATCH", PATH, resource="services", body={"a": text}, content_type=APPLY_PATCH)
    assert server.received[0].body == {"a": text}
    assert yaml.safe_load(server.received[0].text) == {"a": text}
    assert "🚀" in server.received[0].text
    assert not re.search("[\x7f-\x9f\u2028\ufeff]", server.received[0].text)


async def test_a_request_has_the_bearer_token() -> None:
    async with serving(api_key={"BearerToken": "secret"}, api_key_prefix={"BearerToken": "Bearer"}) as server:
        await server.kube.request("GET", PATH, resource="hopperinstances")
        assert server.received[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, RefusedError),
        (401, UnavailableError),
        (403, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, ExpiredError),
        (413, UnavailableError),
        (422, RefusedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
async def test_each_status_code_raises_its_error(server: Server, code: int, error: type[ApiError]) -> None:
    server.handler = respond_json({"kind": "Status", "code": code, "message": "because"}, code)
    with pytest.raises(error, match=f"^{code}: because$") as caught:
        await server.kube.request("PATCH", PATH, resource="hopperinstances", body={})
    assert type(caught.value) is error
    assert server.observed == [("PATCH", "hopperinstances", code)]


@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", "", "[]", '{"code": 502}', "null"])
async def test_an_error_of_a_proxy_is_unavailable(server: Server, body: str) -> None:
    server.handler = respond_html(body, 502)
    with pytest.raises(UnavailableError, match=r"^502: "):
        await server.kube.request("GET", PATH, resource="hopperinstances")


async def test_a_long_error_is_truncated(server: Server) -> None:
    server.handler = respond_html("x" * 10_000, 500)
    with pytest.raises(UnavailableError) as caught:
        await server.kube.request("GET", PATH, resource="hopperinstances")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", ["<html>Log in first</html>", "", "{"])
async def test_a_response_other_than_json_is_unavailable(server: Server, body: str) -> None:
    server.handler = respond_html(body)
    with pytest.raises(UnavailableError, match=PATH):
        await server.kube.request("GET", PATH, resource="hopperinstances")


async def test_a_refused_connection_is_unavailable(server: Server) -> None:
    server.kube._client.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(UnavailableError, match=f"GET {PATH}: Cannot connect"):
        await server.kube.request("GET", PATH, resource="hopperinstances")
    assert server.observed == [("GET", "hopperinstances", 0)]


async def test_a_connection_that_breaks_before_the_response_is_unavailable(server: Server) -> None:
    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.handler = handle
    with pytest.raises(UnavailableError):
        await server.kube.request("PATCH", PATH, resource="hopperinstances", body={})
    assert server.observed == [("PATCH", "hopperinstances", 0)]


async def test_a_connection_that_breaks_during_the_response_is_unavailable(server: Server) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"kind": ')
        assert request.transport is not None
        request.transport.abort()
        return response

    server.handler = handle
    with pytest.raises(UnavailableError):
        await server.kube.request("GET", PATH, resource="hopperinstances")
    assert server.observed == [("GET", "hopperinstances", 0)]


async def test_a_missing_response_times_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    server.handler = handle
    monkeypatch.setattr(kube, "REQUEST_TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    with pytest.raises(UnavailableError, match=f"GET {PATH}: no response in time"):
        await server.kube.request("GET", PATH, resource="hopperinstances")
    assert server.observed == [("GET", "hopperinstances", 0)]


async def test_a_client_that_must_not_write_still_reads(server: Server) -> None:
    server.may_write = False
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        with pytest.raises(UnavailableError, match="must not write"):
            await server.kube.request(method, PATH, resource="hopperinstances", body={})
    assert server.received == []
    await server.kube.request("GET", PATH, resource="hopperinstances")
    assert len(server.received) == 1


async def test_concurrent_requests_share_the_connections(server: Server) -> None:
    send = server.kube.request
    await asyncio.gather(*(send("GET", f"{PATH}-{n}", resource="hopperinstances") for n in range(50)))
    assert {request.path for request in server.received} == {f"{PATH}-{n}" for n in range(50)}
