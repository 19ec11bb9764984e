"""A response that is not read to its end leaves no connection open, even if the peer does not close TLS."""

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

from hopper.adapters.kube import KubeClient

_RESPONSE_START = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[Configuration]:
    """Configuration for a TLS server that starts a response, and then ignores its peer."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    test_ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as connection:
            connection.recv(10_000)
            connection.sendall(_RESPONSE_START)
            test_ended.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        host = f"https://127.0.0.1:{listening.getsockname()[1]}"
        yield Configuration(host=host, ssl_ca_cert=str(trusted), client_session_kwargs={"trust_env": False})
        test_ended.set()
        server.join(30)


def test_a_cancelled_stream_closes_its_connection(configuration: Configuration) -> None:
    async def cancel_stream() -> None:
        kube, started = KubeClient(ApiClient(configuration)), asyncio.Event()

        async def read() -> None:
            async for _ in kube.stream("/", resource="pods"):
                started.set()

        reading = asyncio.create_task(read())
        await started.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await kube.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(cancel_stream())
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []
