"""Minimal HTTP over one kept connection, so that the client adds little to what the server takes."""

from __future__ import annotations

import asyncio
import ssl
import time


class HttpConnection:
    """Client that sends one request at a time. It reads bodies with a Content-Length and bodies in chunks."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._tls = host, port, tls

    async def __aenter__(self) -> HttpConnection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=2**24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return code, headers and body."""
        code, received = await self.begin(path, **headers)
        if received.get("transfer-encoding") == "chunked":
            return code, received, await self._chunks()
        return code, received, await self._reader.readexactly(int(received.get("content-length", 0)))

    async def begin(self, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        """Send a request; return code and headers, and leave the body unread."""
        extra = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{extra}\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        received = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), received

    async def until(self, text: bytes) -> float:
        """Read the body up to a text; return the time of its arrival."""
        await self._reader.readuntil(text)
        return time.perf_counter()

    async def _chunks(self) -> bytes:
        chunks = []
        while size := int(await self._reader.readline(), 16):
            chunks.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(chunks)
