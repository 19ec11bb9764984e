"""A man in the middle: between one operator and the API server, on the cluster's own certificates.

It counts what goes through, and does to it what networks and busy API servers do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import aiohttp
from aiohttp import web

from hopper.adapters.connection import connect
from hopper.local import LocalCluster
from tests.cluster.support.live_instances import _session

_SKIPPED = {"Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding", "Content-Encoding"}
_LATE_SECONDS = 0.5
_UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Fault(Enum):
    """What can happen to a request, besides an HTTP error code in place of the API server's answer."""

    RESET = "the connection breaks before the request arrives"
    LOSE = "the request arrives and takes effect, the connection breaks before the answer"
    LATE = "the answer takes its time"


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the operator."""

    method: str
    path: str
    watches: bool

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def writes_instances(self) -> bool:
        return self.writes and "/hopperinstances" in self.path


# Decides about a call: None lets it through, a number is an HTTP error.
Rule = Callable[[Call], Fault | int | None]


class FaultProxy:
    """Forwards to the API server. `rule` decides what happens to each call; `on_answer` hears of each one forwarded."""

    def __init__(self, upstream: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._open: set[asyncio.Transport] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.calls: list[Call] = []
        self.faults: list[Fault | int] = []
        self.expired = 0  # watches that the API server ended because their version is too old
        self.rule: Rule = lambda call: None
        self.on_answer: Callable[[Call], None] = lambda call: None

    def cut(self) -> None:
        """Break every open connection."""
        for transport in tuple(self._open):
            transport.abort()

    def stall(self) -> None:
        """Have the watches say nothing any more, their connections open."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let go what was stalled."""
        self._flowing.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take one request from the operator to the API server, or not."""
        call = Call(request.method, request.path, "watch" in request.query)
        self.calls.append(call)
        transport = request.transport
        assert transport is not None
        fault = self.rule(call)
        if fault is not None:
            self.faults.append(fault)
        self._open.add(transport)
        try:
            if isinstance(fault, int):
                return _error(fault)
            if fault is Fault.RESET:
                transport.abort()
                return web.Response()
            return await self._forward(request, call, fault)
        finally:
            self._open.discard(transport)

    async def _forward(self, request: web.Request, call: Call, fault: Fault | None) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in _SKIPPED}
        body = await request.read()
        try:
            async with self._upstream.request(
                request.method, request.rel_url, headers=headers, data=body or None, timeout=_UNLIMITED
            ) as answer:
                if call.watches and answer.status == 200:
                    return await self._stream(request, answer)
                payload = await answer.read()
        except (aiohttp.ClientError, OSError):
            return _abort(request)  # the API server is away, and so are we
        self.on_answer(call)
        if fault is Fault.LATE:
            await asyncio.sleep(_LATE_SECONDS)
        if fault is Fault.LOSE:
            return _abort(request)
        return web.Response(body=payload, status=answer.status, headers={"Content-Type": answer.content_type})

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        try:
            async for line in answer.content:
                await self._flowing.wait()
                self.expired += b'"code":410' in line
                await response.write(line)
        except (aiohttp.ClientError, OSError):
            return _abort(request)
        return response


def _abort(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _error(code: int) -> web.Response:
    reasons = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reasons[code]}
    body["message"] = f"the proxy makes up a {code}"
    headers = {"Retry-After": "1"} if code in (429, 503) else {}
    return web.json_response(body, status=code, headers=headers)


@asynccontextmanager
async def proxy(cluster: LocalCluster, directory: Path) -> AsyncIterator[tuple[FaultProxy, Path]]:
    """Run a proxy until the end of the context; with it comes the kubeconfig that leads there."""
    credentials = await (await connect()).credentials()
    async with _session() as upstream:
        found = FaultProxy(upstream)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", found.serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        pki = cluster.directory / "pki"
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
        port = runner.addresses[0][1]
        kubeconfig = directory / "proxy.kubeconfig"
        text = cluster.kubeconfig.read_text(encoding="utf-8")
        kubeconfig.write_text(text.replace(credentials.server, f"https://127.0.0.1:{port}"), encoding="utf-8")
        try:
            yield found, kubeconfig
        finally:
            found.rule = lambda call: Fault.RESET
            found.resume()
            found.cut()
            await runner.cleanup()
