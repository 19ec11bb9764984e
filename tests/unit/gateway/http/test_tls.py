"""TLS of the gateway: changed certificates are read again, and connections are limited before the handshake."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hopper.gateway.http import connections, tls
from hopper.gateway.http.connections import ConnectionLimit
from hopper.gateway.http.tls import ServerCertificate
from tests.unit.gateway.http.test_connections import PROBE, SECONDS, listening, until_empty
from tests.unit.gateway.in_memory_gateway import InMemoryGateway


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for a name, in place of an earlier one."""
    files = directory / "tls.crt", directory / "tls.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    output = ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([*command.split(), *subject, *output], check=True, capture_output=True)
    return files


async def probe(port: int, authority: Path, name: str) -> bytes:
    """Return the answer to a probe through TLS, with a certificate for this name."""
    context = ssl.create_default_context(cafile=authority)
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            writer.write(PROBE)
            return await reader.read()
        finally:
            writer.close()


async def test_a_new_certificate_is_used_without_a_restart(
    gateway: InMemoryGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_CHECKED_EVERY_SECONDS", 0.0)
    files = make_certificate(tmp_path, "first.example")
    async with listening(gateway, ConnectionLimit(5, 5), ServerCertificate(*files)) as port:
        assert (await probe(port, files[0], "first.example")).startswith(b"HTTP/1.1 200")
        make_certificate(tmp_path, "second.example")
        assert (await probe(port, files[0], "second.example")).startswith(b"HTTP/1.1 200")
        trusted = tmp_path / "trusted.crt"
        trusted.write_bytes(files[0].read_bytes())
        for text in (b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"):
            files[0].write_bytes(text)
            assert (await probe(port, trusted, "second.example")).startswith(b"HTTP/1.1 200")
        files[0].unlink()
        assert (await probe(port, trusted, "second.example")).startswith(b"HTTP/1.1 200")
        make_certificate(tmp_path, "third.example")
        assert (await probe(port, files[0], "third.example")).startswith(b"HTTP/1.1 200")


async def test_unfinished_handshakes_keep_nobody_out(
    gateway: InMemoryGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_HANDSHAKE_SECONDS", 0.5)
    files, limit = make_certificate(tmp_path, "gateway.example"), ConnectionLimit(10, 10)
    async with listening(gateway, limit, ServerCertificate(*files)) as port:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for _, writer in clients[::2]:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await probe(port, files[0], "gateway.example")).startswith(b"HTTP/1.1 200")
        assert len(limit) <= 10
        await until_empty(limit)
        for _, writer in clients:
            writer.close()


def server_connections() -> list[SSLProtocol]:
    """Return the TLS connections in memory that the gateway has accepted, also those that are closed."""
    return [value for value in gc.get_objects() if type(value) is SSLProtocol and vars(value)["_server_side"]]


@contextmanager
def without_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("handshake", "sent"),
    [
        pytest.param(True, b"GET / HTTP/1.1\r\nX: " + b"y" * 30_000, id="unfinished head"),
        pytest.param(True, PROBE, id="answered request"),
        pytest.param(False, b"GET / HTTP/1.1\r\n\r\n", id="failed handshake"),
        pytest.param(False, b"", id="unfinished handshake"),
    ],
)
async def test_closed_connections_free_their_buffers_without_the_garbage_collector(
    gateway: InMemoryGateway, tmp_path: Path, handshake: bool, sent: bytes
) -> None:
    """The garbage collector runs rarely, and 5,000 buffers would exceed the memory of the pod."""
    files, limit = make_certificate(tmp_path, "gateway.example"), ConnectionLimit(10, 10)
    context = ssl.create_default_context(cafile=files[0]) if handshake else None
    name = "gateway.example" if handshake else None
    async with listening(gateway, limit, ServerCertificate(*files)) as port:
        with without_garbage_collector():
            writers = []
            for _ in range(30):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
                writer.write(sent)
                writers.append(writer)
                await asyncio.sleep(0)
            for writer in writers:
                writer.transport.abort()
            writers.clear()
            del writer
            await until_empty(limit)
            async with asyncio.timeout(SECONDS):
                while server_connections():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


def test_files_that_do_not_match_are_reported(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    certificate, _ = make_certificate(first, "a.example")
    _, key = make_certificate(second, "b.example")
    with pytest.raises(ValueError, match=r"tls\.crt and .*tls\.key are not a PEM certificate and its unencrypted"):
        ServerCertificate(certificate, key)
    with pytest.raises(OSError, match="nothing"):
        ServerCertificate(tmp_path / "nothing", key)
