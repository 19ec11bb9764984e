"""Lists and watches: the requests, and responses in chunks of any size."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from hopper.adapters.lists import KubeLister, ListReader
from hopper.api.bounded_json import free_form_problem
from hopper.api.resources import INSTANCES, PODS, Manifest
from hopper.ports import ApiError, ExpiredError, ListChunk, RefusedError, UnavailableError, WatchEvent
from tests.unit.adapters.server import Handler, Server, respond_html, respond_json
from tests.unit.hostile_json import deep_text, instance_text, list_text

LIST = "/apis/hopper.dev/v1/namespaces/default/hopperinstances"
VERSION = {"resourceVersion": "42"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"items": [', "]", "}, {", '\\"', '], "items":null', "🚀\x85\u2028"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)


class TestLists:
    async def test_a_list_is_requested_without_pages_and_yielded_in_chunks(self, server: Server) -> None:
        expected = [{"metadata": {"name": f"a-{number}", "labels": {"text": "x" * 1000}}} for number in range(500)]
        server.handler = respond_json({"items": expected, "metadata": {"resourceVersion": "7"}})
        chunks = [chunk async for chunk in KubeLister(server.kube).chunks(INSTANCES, "default", "app=x")]
        assert [manifest for chunk in chunks for manifest in chunk.items] == expected
        assert max(len(chunk.items) for chunk in chunks) < len(expected)
        assert [chunk.version for chunk in chunks if chunk.version] == [chunks[-1].version] == ["7"]
        (received,) = server.received
        assert (received.path, received.query) == (LIST, {"labelSelector": "app=x"})
        assert server.observed == [("GET", "hopperinstances", 200)]

    async def test_all_namespaces_are_listed_without_a_namespace(self, server: Server) -> None:
        server.handler = respond_json({"items": None, "metadata": {"resourceVersion": "3"}})
        assert [chunk async for chunk in KubeLister(server.kube).chunks(INSTANCES, None)][-1] == ListChunk([], "3")
        assert (server.received[0].path, server.received[0].query) == ("/apis/hopper.dev/v1/hopperinstances", {})

    @pytest.mark.parametrize(
        ("handler", "error"),
        [
            (respond_json({"message": "no"}, 403), RefusedError),
            (respond_json({"message": "busy"}, 429), UnavailableError),
            (respond_json({"kind": "Status"}), UnavailableError),
            (respond_html('{"items": [{"metadata": {}}, '), UnavailableError),
            (respond_html("<html>"), UnavailableError),
        ],
    )
    async def test_an_error_or_an_incomplete_list_raises(
        self, server: Server, handler: Handler, error: type[ApiError]
    ) -> None:
        server.handler = handler
        with pytest.raises(error):
            _ = [chunk async for chunk in KubeLister(server.kube).chunks(INSTANCES, "default")]

    async def test_a_connection_that_breaks_during_the_list_raises(self, server: Server) -> None:
        async def break_off(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"items": [{"metadata": {"name": "a"}}, {"met')
            assert request.transport
            request.transport.close()
            return response

        server.handler = break_off
        chunks = KubeLister(server.kube).chunks(INSTANCES, "default")
        assert await anext(chunks) == ListChunk([{"metadata": {"name": "a"}}])
        with pytest.raises(UnavailableError):
            await anext(chunks)
        assert server.observed == [("GET", "hopperinstances", 0)]

    async def test_closing_the_generator_ends_the_request(self, server: Server) -> None:
        request_ended = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"items": [')
            try:
                while True:
                    await response.write(b'{"metadata": {"name": "a"}},')
                    await asyncio.sleep(0.01)
            finally:
                request_ended.set()

        server.handler = endless
        chunks = KubeLister(server.kube).chunks(INSTANCES, "default")
        while not (await anext(chunks)).items:
            pass
        await chunks.aclose()
        async with asyncio.timeout(10):
            await request_ended.wait()


def read_all(text: bytes, size: int) -> tuple[list[dict[str, Any]], str]:
    reader = ListReader()
    objects = [manifest for start in range(0, len(text), size) for manifest in reader.feed(text[start : start + size])]
    return objects, reader.resource_version()


@given(
    objects=OBJECTS,
    size=st.integers(1, 200),
    metadata_first=st.booleans(),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_a_list_is_read_completely_whatever_the_chunk_size(
    objects: list[dict[str, Any]], size: int, metadata_first: bool, ascii_only: bool, indent: int | None
) -> None:
    # The API server sends the metadata of built-in kinds first, and the keys of custom kinds in alphabetical order.
    listed = (
        {"kind": "PodList", "metadata": VERSION, "items": objects}
        if metadata_first
        else {"apiVersion": "hopper.dev/v1", "items": objects, "kind": "HopperInstanceList", "metadata": VERSION}
    )
    separators = None if indent else (",", ":")
    text = json.dumps(listed, ensure_ascii=ascii_only, indent=indent, separators=separators)
    assert read_all(text.encode(), size) == (objects, "42")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_empty_list_may_be_null(size: int) -> None:
    assert read_all(b'{"kind":"PodList","metadata":{"resourceVersion":"42"},"items":null}', size) == ([], "42")
    assert read_all(b'{"items":null,"metadata":{"resourceVersion":"42"}}', size) == ([], "42")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"null",
        b'{"metadata":{"resourceVersion":"42"}}',
        b'{"items":[',
        b'{"items":[{"a":1}',
        b'{"items":[{"a":1},',
        b'{"items":[{"a":1]',
        b'{"items":[{"a":1}]',
        b'{"items":[{"a":1}],"metadata":{"resourceVersion":"4',
    ],
)
def test_an_incomplete_list_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="incomplete or invalid"):
        read_all(text, 5)


def test_objects_are_returned_as_soon_as_they_are_complete() -> None:
    reader = ListReader()
    assert reader.feed(b'{"items":[{"a":1},{"a"') == [{"a": 1}]
    assert reader.feed(b":2}") == [{"a": 2}]
    assert reader.feed(b",") == []


def pod(name: str, version: int) -> Manifest:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)}, "note": "ü" * 50}


def line(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, ensure_ascii=False).encode() + b"\n"


def respond_stream(content: bytes, chunk: int = 1000) -> Handler:
    """Respond with a stream, and end it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(content), chunk):
            await response.write(content[start : start + chunk])
            await asyncio.sleep(0)
        return response

    return handle


async def watch(server: Server) -> list[WatchEvent]:
    async with KubeLister(server.kube).watch(PODS, "default", "app=web", "7") as events:
        return [event async for event in events]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
async def test_events_arrive_complete_whatever_the_chunks(server: Server, chunk: int) -> None:
    expected = [("ADDED", pod("a", 8)), ("MODIFIED", pod("b", 9)), ("BOOKMARK", pod("", 10))]
    server.handler = respond_stream(b"".join(line(*event) for event in expected), chunk)
    assert await watch(server) == expected
    assert server.observed == [("WATCH", "pods", 200)]


async def test_the_request_names_version_selector_and_timeout(server: Server) -> None:
    server.handler = respond_stream(b"")
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
    server.handler = respond_stream(line("ADDED", pod("a", 8)) + line("ERROR", error))
    with pytest.raises(ExpiredError, match="too old resource version"):
        await watch(server)


async def test_an_expired_version_means_to_list_again(server: Server) -> None:
    server.handler = respond_json({"kind": "Status", "code": 410, "message": "gone"}, 410)
    with pytest.raises(ExpiredError):
        await watch(server)


async def test_anything_but_json_is_unavailable(server: Server) -> None:
    server.handler = respond_stream(b"<html>Bad Gateway</html>\n")
    with pytest.raises(UnavailableError, match=r"GET /api/v1/namespaces/default/pods"):
        await watch(server)


async def test_a_broken_connection_is_unavailable(server: Server) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line("ADDED", pod("a", 8)))
        assert request.transport is not None
        request.transport.abort()
        return response

    server.handler = handle
    with pytest.raises(UnavailableError):
        await watch(server)


async def test_deep_objects_are_read_from_lists_events_and_responses(server: Server) -> None:
    deep = instance_text("deep", deep_text(1200), elsewhere=deep_text(9000))
    healthy = instance_text("healthy", "{}")
    server.handler = respond_stream(list_text(deep, healthy), 5000)
    listed = [item async for chunk in KubeLister(server.kube).chunks(INSTANCES, None) for item in chunk.items]
    server.handler = respond_stream(
        b"".join(f'{{"type":"ADDED","object":{text}}}\n'.encode() for text in (deep, healthy))
    )
    watched = [manifest for _, manifest in await watch(server)]
    server.handler = respond_stream(deep.encode())
    read = await server.kube.request("GET", "/deep", resource="x")
    for manifests in (listed, watched, [read]):
        assert [manifest["metadata"]["name"] for manifest in manifests] == ["deep", "healthy"][: len(manifests)]
        problem = free_form_problem(manifests[0]["spec"]["config"]["extra"])
        assert problem is not None
        assert "levels deep" in problem
    server.handler = respond_stream(f'{{"message":{deep_text(9000)}}}'.encode())
    assert (await server.kube.request("GET", "/deep", resource="x")).keys() == {"message"}
