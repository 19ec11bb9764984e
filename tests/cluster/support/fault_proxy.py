"""Proxy between one operator and the API server that injects faults of networks and of overloaded API servers.

It serves HTTPS with the certificates of the embedded cluster, and counts the requests.
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
from tests.cluster.support.live_instances import api_session

_SKIPPED = {"Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding", "Content-Encoding"}
_LATE_SECONDS = 0.5
_UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Fault(Enum):
    """Fault of one request, other than an HTTP error."""

    RESET = "the connection breaks before the request arrives"
    LOSE = "the request takes effect, and the connection breaks before the response"
    LATE = "the response is delayed"


@dataclass(frozen=True, slots=True)
class Call:
    """Request of the operator."""

    method: str
    path: str
    is_watch: bool

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def writes_instances(self) -> bool:
        return self.is_write and "/hopperinstances" in self.path


# Fault of a call: None forwards the call, a number is the status of an HTTP error.
Rule = Callable[[Call], Fault | int | None]


class FaultProxy:
    """Request handler that forwards to the API server.

    `rule` decides about the fault of each call; `on_response` is called with each call that was forwarded.
    """

    def __init__(self, upstream: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._open: set[asyncio.Transport] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.calls: list[Call] = []
        self.faults: list[Fault | int] = []
        self.expired_watches = 0  # watches that the API server ended because their resourceVersion is too old
        self.rule: Rule = lambda call: None
        self.on_response: Callable[[Call], None] = lambda call: None

    def cut(self) -> None:
        """Break every open connection."""
        for transport in tuple(self._open):
            transport.abort()

    def disconnect(self) -> None:
        """Break every open connection, and every new one until `reconnect`."""
        self.rule = lambda call: Fault.RESET
        self.cut()

    def reconnect(self) -> None:
        """Forward all calls again."""
        self.rule = lambda call: None

    def stall(self) -> None:
        """Hold back all watch events, while the connections stay open."""
        self._flowing.clear()

    def resume(self) -> None:
        """Deliver the watch events that were held back, and all later ones."""
        self._flowing.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Forward one request to the API server, or inject the fault that the rule chooses."""
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
            ) as response:
                if call.is_watch and response.status == 200:
                    return await self._stream(request, response)
                payload = await response.read()
        except (aiohttp.ClientError, OSError):
            return _abort(request)  # as the API server would without the proxy
        self.on_response(call)
        if fault is Fault.LATE:
            await asyncio.sleep(_LATE_SECONDS)
        if fault is Fault.LOSE:
            return _abort(request)
        return web.Response(body=payload, status=response.status, headers={"Content-Type": response.content_type})

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": upstream.content_type})
        await response.prepare(request)
        try:
            async for line in upstream.content:
                await self._flowing.wait()
                self.expired_watches += b'"code":410' in line
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
    body["message"] = f"fault injected by the proxy: {code}"
    headers = {"Retry-After": "1"} if code in (429, 503) else {}
    return web.json_response(body, status=code, headers=headers)


@asynccontextmanager
async def running_fault_proxy(cluster: LocalCluster, directory: Path) -> AsyncIterator[tuple[FaultProxy, Path]]:
    """Run a proxy until the end of the context; yield the proxy and the path of a kubeconfig that leads to it."""
    credentials = await (await connect()).credentials()
    async with api_session() as upstream:
        proxy = FaultProxy(upstream)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", proxy.serve)
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
            yield proxy, kubeconfig
        finally:
            proxy.resume()
            proxy.disconnect()
            await runner.cleanup()
