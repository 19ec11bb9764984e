"""Whoever does not read an answer to its end leaves no connection behind, even if the other side says no good-bye."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from kubernetes.aio.client import ApiClient, Configuration

from hopper.adapters.kube import Kube

_ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[Configuration]:
    """How to reach a server over TLS that begins an answer, and takes no notice of anything after that."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as connection:
            connection.recv(10_000)
            connection.sendall(_ANSWER)
            over.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        host = f"https://127.0.0.1:{listening.getsockname()[1]}"
        yield Configuration(host=host, ssl_ca_cert=str(trusted), client_session_kwargs={"trust_env": False})
        over.set()
        server.join(30)


def test_nothing_is_left_open(configuration: Configuration) -> None:
    async def scene() -> None:
        kube, begun = Kube(ApiClient(configuration)), asyncio.Event()

        async def read() -> None:
            async for _ in kube.stream("/", resource="pods"):
                begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await kube.close()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(scene())
        gc.collect()
    assert [str(it.message) for it in told if issubclass(it.category, ResourceWarning)] == []
