"""Heads of requests that are too large, or do not come: the connection is closed, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from hopper.gateway.http import protocol
from hopper.gateway.http.protocol import BoundedHttpProtocol
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

SECONDS = 10
GET = b"GET /api/v1/instances HTTP/1.1\r\nHost: gateway\r\n"


@asynccontextmanager
async def listening(gateway: InMemoryGateway) -> AsyncIterator[int]:
    """Serve a gateway on a port of its own."""
    config = uvicorn.Config(gateway.app, http=BoundedHttpProtocol, lifespan="off", log_config=None, access_log=False)
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedHttpProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def sent(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts, and return all that comes back until the other side closes."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause)
            return await reader.read()
        finally:
            writer.close()


async def test_an_ordinary_request(gateway: InMemoryGateway) -> None:
    async with listening(gateway) as port:
        answer = await sent(port, GET, b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "nonsense", [b"hello\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_what_is_no_request(gateway: InMemoryGateway, nonsense: bytes) -> None:
    async with listening(gateway) as port:
        answer = await sent(port, nonsense)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request"), answer
    assert b'{"error_type":"BadRequest","detail":"the request is not valid HTTP' in answer


async def test_a_head_without_an_end(gateway: InMemoryGateway) -> None:
    async with listening(gateway) as port:
        for head in (GET + b"X: y\r\n" * 11_000, b"GET /" + b"x" * 66_000):
            answer = await sent(port, head)
            assert answer.startswith(b"HTTP/1.1 431"), answer
            assert b'{"error_type":"RequestHeaderFieldsTooLarge","detail":"the request head is larger than' in answer


async def test_a_head_that_does_not_come(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at once, nor drop by drop, nor as the second request of a connection."""
    monkeypatch.setattr(protocol, "MAX_HEAD_SECONDS", 0.3)
    async with listening(gateway) as port:
        assert await sent(port) == b""
        answer = await sent(port, *(GET[n : n + 1] for n in range(10)), pause=0.02)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        answer = await sent(port, GET + b"\r\n", GET, pause=0.05)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"HTTP/1.1 408" in answer


async def test_others_keep_their_time(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that takes longer than a head may is none of this, nor is an answer that does."""
    monkeypatch.setattr(protocol, "MAX_HEAD_SECONDS", 0.1)
    head = GET.replace(b"GET", b"POST") + b"Connection: close\r\nContent-Type: application/json\r\n"
    body = b'{"name": "web", "scope": "PROJECT"}'
    async with listening(gateway) as port:
        answer = await sent(port, head + b"Content-Length: %d\r\n\r\n" % len(body), body[:5], body[5:], pause=0.2)
    assert answer.startswith(b"HTTP/1.1 201"), answer
