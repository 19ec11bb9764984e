"""HTTP over one kept connection, as lean as can be: what is measured is the server."""

from __future__ import annotations

import asyncio
import ssl
import time


class Wire:
    """Sends one request after the other. Bodies come with a Content-Length or in chunks; both are read to the end."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._tls = host, port, tls

    async def __aenter__(self) -> Wire:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=2**24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return code, headers and body."""
        code, found = await self.begin(path, **headers)
        if found.get("transfer-encoding") == "chunked":
            return code, found, await self._chunks()
        return code, found, await self._reader.readexactly(int(found.get("content-length", 0)))

    async def begin(self, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        """Send a request; return code and headers as soon as they are there."""
        extra = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{extra}\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), found

    async def until(self, text: bytes) -> float:
        """Read on until there is this text; return when it was there."""
        await self._reader.readuntil(text)
        return time.perf_counter()

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(parts)
