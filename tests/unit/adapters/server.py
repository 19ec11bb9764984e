"""HTTP server with programmable responses, and a `KubeClient` client for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from hopper.adapters.kube import KubeClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """Request as the server received it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    text: str


class Server:
    """HTTP server. `handler` makes the responses, `received` the requests, and `observed` the observer calls."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.observed: list[tuple[str, str, int]] = []
        self.may_write = True
        self.handler: Handler = respond_json({})
        self.kube: KubeClient

    async def serve(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.received.append(
            Received(
                request.method,
                request.path,
                dict(request.query),
                {name.lower(): value for name, value in request.headers.items()},
                json.loads(text) if text else None,
                text,
            )
        )
        return await self.handler(request)


def respond_json(body: object, code: int = 200) -> Handler:
    """Return a handler that responds with JSON."""

    async def handle(request: web.Request) -> web.Response:
        return web.json_response(body, status=code)

    return handle


def respond_html(text: str, code: int = 200) -> Handler:
    """Return a handler that responds with HTML, as a load balancer does for an error."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=text, status=code, content_type="text/html")

    return handle


@asynccontextmanager
async def serving(**configuration: Any) -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.serve)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = ApiClient(Configuration(host=host, client_session_kwargs={"trust_env": False}, **configuration))
    server.kube = KubeClient(client, lambda *observed: server.observed.append(observed), lambda: server.may_write)
    try:
        yield server
    finally:
        await server.kube.close()
        await runner.cleanup()
