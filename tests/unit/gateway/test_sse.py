"""Server-sent events: snapshot, events, resumption and the end of a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hopper.api.resources import INSTANCES
from hopper.gateway.discovery import Catalogue, Journal
from hopper.gateway.sse import KEEP_ALIVE, EventStream
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

SECONDS = 5


class StreamReader:
    """Reader of the events of one stream."""

    def __init__(self, stream: EventStream) -> None:
        self._chunks = stream.chunks()
        self._events: list[tuple[str, str, dict[str, Any]]] = []

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the rest of the stream."""
        return self._chunks

    async def chunk(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await anext(self._chunks)

    async def next(self) -> tuple[str, str, dict[str, Any]]:
        """Return kind, id and data of the next event."""
        while not self._events:
            for text in (await self.chunk()).decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
                if fields.get("event", "health") != "health":  # covered by the tests of health
                    self._events.append((fields["event"], fields["id"], json.loads(fields["data"])))
        return self._events.pop(0)

    async def kinds(self, count: int) -> list[str]:
        return [(await self.next())[0] for _ in range(count)]

    async def close(self) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]


async def allowed() -> bool:
    return True


@asynccontextmanager
async def following(
    gateway: InMemoryGateway, last_id: str | None = None, namespace: str = "default"
) -> AsyncIterator[StreamReader]:
    follower = StreamReader(EventStream(gateway.context, namespace, last_id, allowed))
    try:
        yield follower
    finally:
        await follower.close()


class TestEvents:
    async def test_events_of_an_instance(self, gateway: InMemoryGateway) -> None:
        gateway.instance("global", "Global")
        async with following(gateway) as follower:
            kind, token, data = await follower.next()
            assert (kind, data) == ("snapshot", {"revision": token, "total": 1, "reset": False})
            gateway.instance("web", "Project", "global", phase=None)
            kind, token, data = await follower.next()
            assert (kind, data["id"], data["scope"], data["status"]) == ("registered", "web", "PROJECT", "created")
            assert (data["parent_id"], data["revision"], data["namespace"]) == ("global", token, "default")
            assert (await follower.kinds(1)) == ["child_added"]
            step = {"from": "Created", "to": "Starting", "time": "2026-03-01T11:00:00Z", "reason": "DesiredState"}
            gateway.instance("web", "Project", None, "Starting", status={"history": [step]})
            assert (await follower.kinds(2)) == ["child_removed", "parent_changed"]
            kind, _, data = await follower.next()
            assert (kind, data["from"], data["to"], data["reason"]) == (
                "transition",
                "created",
                "starting",
                "DesiredState",
            )
            kind, _, data = await follower.next()
            assert (kind, data["status"]) == ("changed", "starting")
            uid = gateway.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
            await gateway.store.delete(INSTANCES, "default", "web", uid=uid)
            kind, _, data = await follower.next()
            assert (kind, data["id"], data["uid"]) == ("unregistered", "web", uid)

    async def test_events_of_other_namespaces_are_omitted(self, gateway: InMemoryGateway) -> None:
        async with following(gateway) as follower:
            await follower.next()
            gateway.instance("far", namespace="other")
            gateway.instance("near")
            assert (await follower.next())[2]["id"] == "near"

    async def test_resume_after_an_event(self, gateway: InMemoryGateway) -> None:
        gateway.instance("a")
        async with following(gateway) as follower:
            _, token, _ = await follower.next()
        gateway.instance("b")
        gateway.instance("c")
        async with following(gateway, token) as follower:
            seen = [await follower.next() for _ in range(2)]
            assert [(kind, data["id"]) for kind, _, data in seen] == [("registered", "b"), ("registered", "c")]
        async with following(gateway, seen[0][1]) as follower:
            assert await follower.next() == seen[1]

    async def test_resume_after_the_revision_of_the_topology(self, gateway: InMemoryGateway) -> None:
        gateway.instance("a")
        revision = (await gateway.get("/registry/topology")).json()["revision"]
        gateway.instance("b")
        async with following(gateway, revision) as follower:
            assert (await follower.next())[2]["id"] == "b"

    @pytest.mark.parametrize("last", ["", "other-1", "nonsense", "-", "other"])
    async def test_an_unknown_event_id_resets_the_stream(self, gateway: InMemoryGateway, last: str) -> None:
        gateway.instance("a")
        async with following(gateway, last) as follower:
            kind, _, data = await follower.next()
            assert (kind, data["reset"]) == ("snapshot", bool(last))

    async def test_a_slow_client_gets_a_reset(self) -> None:
        gateway = InMemoryGateway()
        journal = Journal(capacity=5)
        journal.open()
        gateway.context.catalogue = Catalogue(gateway.context.catalogue.instances, journal=journal)
        async with following(gateway) as follower:
            _, first, _ = await follower.next()
            for number in range(10):
                gateway.instance(f"p-{number}")
            kind, token, data = await follower.next()
            assert (kind, data["reset"], data["total"]) == ("snapshot", True, 10)
        async with following(gateway, first) as follower:
            assert (await follower.next()) == (kind, token, data)


class TestEnd:
    async def test_an_idle_stream_gets_comments(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(keepalive_seconds=0.01))
        async with following(gateway) as follower:
            await follower.next()
            assert [await follower.chunk() for _ in range(3)] == [KEEP_ALIVE] * 3

    async def test_a_revoked_permission_ends_an_idle_stream(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(keepalive_seconds=0.01))
        verdicts = [True, False]

        async def pop() -> bool:
            return verdicts.pop(0)

        follower = StreamReader(EventStream(gateway.context, "default", None, pop))
        await follower.next()
        assert await follower.chunk() == KEEP_ALIVE
        with pytest.raises(StopAsyncIteration):
            await follower.chunk()

    async def test_a_revoked_permission_ends_a_busy_stream(self) -> None:
        """A busy stream has no idle intervals."""
        gateway = InMemoryGateway(settings=settings_with(keepalive_seconds=0.05))
        verdicts = [True, False]

        async def pop() -> bool:
            return verdicts.pop(0)

        async def happen() -> None:
            number = 0
            while True:
                number += 1
                gateway.instance("busy", displayName=f"{number}")
                await asyncio.sleep(0.001)

        busy = asyncio.create_task(happen())
        follower = StreamReader(EventStream(gateway.context, "default", None, pop))
        async with asyncio.timeout(SECONDS):
            told = [chunk async for chunk in follower.chunks()]
        busy.cancel()
        assert KEEP_ALIVE not in told
        assert verdicts == []

    async def test_shutdown_ends_the_stream(self, gateway: InMemoryGateway) -> None:
        async with following(gateway) as follower:
            await follower.next()
            gateway.context.stopping.set()
            with pytest.raises(StopAsyncIteration):
                await follower.chunk()


class AsgiConnection:
    """An HTTP request as a server passes it to the application."""

    def __init__(self, gateway: InMemoryGateway, path: str) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        path, _, query = path.partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "root_path": ""}
        scope |= {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http"}
        scope |= {"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80)}
        self.task = asyncio.create_task(gateway.app(scope, self._receive, self.sent.put))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            return await self.sent.get()


async def test_a_stream_over_asgi() -> None:
    gateway = InMemoryGateway(settings=settings_with(max_streams=1))
    first = AsgiConnection(gateway, "/api/v1/registry/events")
    start = await first.next()
    headers = dict(start["headers"])
    assert (start["status"], headers[b"content-type"][:17]) == (200, b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert b"content-length" not in headers
    assert (await first.next())["body"].startswith(b"retry:")
    assert b"event: snapshot" in (await first.next())["body"]
    # The limit of one stream applies until the first one is closed.
    second = AsgiConnection(gateway, "/api/v1/registry/events")
    assert (await second.next())["status"] == 429
    first.gone.set()
    async with asyncio.timeout(SECONDS):
        await first.task
    assert gateway.context.stream_limit.open == 0
    third = AsgiConnection(gateway, "/api/v1/registry/events")
    assert (await third.next())["status"] == 200
    gateway.context.stopping.set()
    async with asyncio.timeout(SECONDS):
        await third.task
        await second.task
    messages = [third.sent.get_nowait() for _ in range(third.sent.qsize())]
    assert messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
