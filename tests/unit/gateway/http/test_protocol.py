"""Request heads that are too large or too slow close their connection, and no other one."""

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
    """Serve a gateway on a free port."""
    config = uvicorn.Config(gateway.app, http=BoundedHttpProtocol, lifespan="off", log_config=None, access_log=False)
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedHttpProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send chunks, and return all received bytes until the server closes the connection."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause)
            return await reader.read()
        finally:
            writer.close()


async def test_a_valid_request_is_served(gateway: InMemoryGateway) -> None:
    async with listening(gateway) as port:
        response = await exchange(port, GET, b"Connection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "nonsense", [b"hello\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_invalid_http_gets_400(gateway: InMemoryGateway, nonsense: bytes) -> None:
    async with listening(gateway) as port:
        response = await exchange(port, nonsense)
    assert response.startswith(b"HTTP/1.1 400 Bad Request"), response
    assert b'{"error_type":"BadRequest","detail":"the request is not valid HTTP' in response


async def test_a_large_head_gets_431(gateway: InMemoryGateway) -> None:
    async with listening(gateway) as port:
        for head, reason in (
            (GET + b"X: y\r\n" * 11_000, b"request has more than 200 headers; send fewer"),
            (GET + b"X: " + b"y" * 66_000, b"request head is larger than 65536 bytes; send fewer or shorter headers"),
            (b"GET /" + b"x" * 66_000, b"request head is larger than 65536 bytes; send fewer or shorter headers"),
        ):
            response = await exchange(port, head)
            assert response.startswith(b"HTTP/1.1 431"), response
            assert b'{"error_type":"RequestHeaderFieldsTooLarge","detail":"the ' + reason in response


async def test_a_slow_head_gets_408(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a new connection, byte by byte, and as the second request of a connection."""
    monkeypatch.setattr(protocol, "MAX_HEAD_SECONDS", 0.3)
    async with listening(gateway) as port:
        assert await exchange(port) == b""
        response = await exchange(port, *(GET[n : n + 1] for n in range(10)), pause=0.02)
        assert response.startswith(b"HTTP/1.1 408"), response
        response = await exchange(port, GET + b"\r\n", GET, pause=0.05)
        assert response.startswith(b"HTTP/1.1 200"), response
        assert b"HTTP/1.1 408" in response


async def test_the_time_limit_excludes_the_body(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may take longer than the time limit of the head."""
    monkeypatch.setattr(protocol, "MAX_HEAD_SECONDS", 0.1)
    head = GET.replace(b"GET", b"POST") + b"Connection: close\r\nContent-Type: application/json\r\n"
    body = b'{"name": "web", "scope": "PROJECT"}'
    async with listening(gateway) as port:
        response = await exchange(port, head + b"Content-Length: %d\r\n\r\n" % len(body), body[:5], body[5:], pause=0.2)
    assert response.startswith(b"HTTP/1.1 201"), response
