"""Watches: one JSON object per line, in chunks of any size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hopper.adapters.lists import KubeLister
from hopper.api.resources import PODS, Manifest
from hopper.ports import ExpiredError, UnavailableError, WatchEvent
from tests.unit.adapters.server import Answer, Server, says, serving


def pod(name: str, version: int) -> Manifest:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)}, "note": "ü" * 50}


def line(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, ensure_ascii=False).encode() + b"\n"


def streams(content: bytes, chunk: int = 1000) -> Answer:
    """Answer with a stream, and end it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(content), chunk):
            await response.write(content[start : start + chunk])
            await asyncio.sleep(0)
        return response

    return answer


async def watch(server: Server) -> list[WatchEvent]:
    async with KubeLister(server.kube).watch(PODS, "default", "app=web", "7") as events:
        return [event async for event in events]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as started:
        yield started


@pytest.mark.parametrize("chunk", [1, 7, 1000])
async def test_events_arrive_complete_whatever_the_chunks(server: Server, chunk: int) -> None:
    expected = [("ADDED", pod("a", 8)), ("MODIFIED", pod("b", 9)), ("BOOKMARK", pod("", 10))]
    server.answer = streams(b"".join(line(*event) for event in expected), chunk)
    assert await watch(server) == expected
    assert server.observed == [("WATCH", "pods", 200)]


async def test_the_request_names_version_selector_and_timeout(server: Server) -> None:
    server.answer = streams(b"")
    assert await watch(server) == []
    (request,) = server.received
    assert request.path == PODS.path("default")
    assert 300 <= int(request.query.pop("timeoutSeconds")) <= 600
    assert request.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "labelSelector": "app=web",
    }


async def test_an_error_event_means_to_list_again(server: Server) -> None:
    error = {"kind": "Status", "code": 410, "message": "too old resource version"}
    server.answer = streams(line("ADDED", pod("a", 8)) + line("ERROR", error))
    with pytest.raises(ExpiredError, match="too old resource version"):
        await watch(server)


async def test_an_expired_version_means_to_list_again(server: Server) -> None:
    server.answer = says({"kind": "Status", "code": 410, "message": "gone"}, 410)
    with pytest.raises(ExpiredError):
        await watch(server)


async def test_anything_but_json_is_no_usable_answer(server: Server) -> None:
    server.answer = streams(b"<html>Bad Gateway</html>\n")
    with pytest.raises(UnavailableError, match=r"GET /api/v1/namespaces/default/pods"):
        await watch(server)


async def test_a_broken_connection_is_no_usable_answer(server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line("ADDED", pod("a", 8)))
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answer = answer
    with pytest.raises(UnavailableError):
        await watch(server)
