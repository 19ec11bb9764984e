"""Limits for connections, which apply before any work is done. Idle connections keep no client out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from hopper.gateway.http import protocol
from hopper.gateway.http.connections import (
    ConnectionLimit,
    ConnectionSlot,
    Listener,
    allowed_connections,
    client_network,
)
from hopper.gateway.http.protocol import BoundedHttpProtocol, bounded_protocol
from hopper.gateway.http.tls import ServerCertificate
from hopper.process.system import open_listener
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

SECONDS = 10
PROBE = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
UNFINISHED = b"GET /api/v1/instances HTTP/1.1\r\nHost: gateway\r\nX: " + b"x" * 60_000


@asynccontextmanager
async def listening(
    gateway: InMemoryGateway, limit: ConnectionLimit, certificate: ServerCertificate | None = None
) -> AsyncIterator[int]:
    """Serve a gateway with a limit for connections on a free port."""
    config = uvicorn.Config(gateway.app, http=BoundedHttpProtocol, lifespan="off", log_config=None, access_log=False)
    state = ServerState()

    def make_protocol(slot: ConnectionSlot) -> BoundedHttpProtocol:
        return bounded_protocol(slot, config=config, server_state=state, app_state={})

    socket = open_listener("127.0.0.1", 0)
    listener = Listener(socket, make_protocol, limit, certificate)
    try:
        yield socket.getsockname()[1]
    finally:
        listener.close()
        await listener.wait_closed()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await until_empty(limit)


async def until_empty(limit: ConnectionLimit) -> None:
    async with asyncio.timeout(SECONDS):
        while len(limit):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def exchange(port: int, data: bytes) -> bytes:
    """Send data, and return all received bytes until the server closes the connection."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()


def acquire(limit: ConnectionLimit, address: str, ended: list[str] | None = None, name: str = "") -> ConnectionSlot:
    slot = limit.acquire(address, lambda: (ended if ended is not None else []).append(name))
    assert slot is not None
    return slot


class TestConnectionLimit:
    def test_the_longest_wait_ends_first(self) -> None:
        limit, ended = ConnectionLimit(3, 3), list[str]()
        first, *_ = [acquire(limit, "a", ended, name) for name in ("first", "second", "third")]
        first.answer()
        first.wait_for_client()
        for name in ("fourth", "fifth", "sixth"):
            acquire(limit, "b", ended, name)
        assert ended == ["second", "third", "first"]
        assert len(limit) == 3

    def test_a_connection_with_a_request_is_never_ended(self) -> None:
        limit, ended = ConnectionLimit(2, 2), list[str]()
        slots = [acquire(limit, "a", ended) for _ in range(2)]
        for slot in slots:
            slot.answer()
        assert limit.acquire("b", lambda: None) is None
        slots[0].release()
        slots[0].release()
        acquire(limit, "b")
        assert (len(limit), ended) == (2, [])

    def test_an_address_at_its_limit_ends_only_its_own_connections(self) -> None:
        limit, ended = ConnectionLimit(10, 2), list[str]()
        acquire(limit, "b", ended, "other")
        for name in ("first", "second", "third"):
            acquire(limit, "a", ended, name)
        assert ended == ["first"]
        assert len(limit) == 3

    def test_nothing_is_kept_of_released_connections(self) -> None:
        limit = ConnectionLimit(10, 2)
        for number in range(50):
            slot = acquire(limit, str(number))
            slot.answer()
            slot.release()
            slot.wait_for_client()
        assert len(limit) == 0
        assert (limit.waiting_count, limit.address_count) == (0, 0)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_the_network_of_a_client(host: str, network: str) -> None:
    """All addresses of an IPv6 network share a limit, because a single host may have all of them."""
    assert client_network(host) == network


def test_connections_need_files() -> None:
    assert 1 <= allowed_connections(10**9) < 10**6
    assert allowed_connections(7) == 7


async def test_unfinished_heads_keep_no_client_out(gateway: InMemoryGateway) -> None:
    limit = ConnectionLimit(20, 20)
    async with listening(gateway, limit) as port:
        clients = []
        for _ in range(100):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            clients[-1][1].write(UNFINISHED)
        assert (await exchange(port, PROBE)).startswith(b"HTTP/1.1 200")
        assert len(limit) <= 20
        for _, writer in clients:
            writer.close()


async def test_a_refused_connection_gets_503(gateway: InMemoryGateway) -> None:
    limit = ConnectionLimit(1, 1)
    async with listening(gateway, limit) as port:
        slot = acquire(limit, "192.0.2.1")
        slot.answer()
        response = await exchange(port, b"")
        slot.release()
    assert response.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 5\r\n" in response
    assert b"x-content-type-options: nosniff" in response


async def test_a_connection_is_counted_until_it_ends(gateway: InMemoryGateway) -> None:
    limit = ConnectionLimit(5, 5)
    async with listening(gateway, limit) as port:
        for _ in range(20):
            assert (await exchange(port, PROBE)).startswith(b"HTTP/1.1 200")
        await until_empty(limit)


async def test_pipelined_requests_are_limited(gateway: InMemoryGateway) -> None:
    """The parser would otherwise make an object of every request in the received data at once."""
    request = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"
    async with listening(gateway, ConnectionLimit(5, 5)) as port:
        response = await exchange(port, request * (protocol.MAX_PIPELINED - 1) + PROBE)
        assert response.count(b"HTTP/1.1 200") == protocol.MAX_PIPELINED
        with pytest.raises(ConnectionError):
            await exchange(port, request * 5000)


async def test_a_response_must_be_read(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_UNREAD_SECONDS", 0.2)
    limit = ConnectionLimit(5, 5)
    request = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"
    async with listening(gateway, limit) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request * protocol.MAX_PIPELINED)
        await asyncio.sleep(0.1)
        await until_empty(limit)
        writer.close()
        del reader
