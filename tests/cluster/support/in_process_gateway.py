"""A gateway for a test, in this process and event loop, and a client of it."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from hopper.adapters.connection import connect
from hopper.gateway.context import Settings
from hopper.gateway.server import AuthMode, Gateway, GatewayOptions

START_SECONDS = 20
STOP_SECONDS = 8
_COLLECT_SECONDS = 2
SETTINGS = Settings(requests_per_second=1e6, burst=10**6)


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is JSON, None without any."""

    code: int
    body: Any
    headers: Mapping[str, str]
    text: str

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class InProcessGateway:
    """Calls the routes under /api/v1 of one gateway."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway | None, url: str) -> None:
        self.session = session
        self._gateway = gateway
        self.url = url

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None
        return self._gateway

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request; header names are written with underscores. Errors have to be of the contract's form."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"{self.url}{path}" if path in ("/healthz", "/readyz", "/metrics") else f"{self.url}/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=sent) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            found = Answer(response.status, json.loads(text) if is_json else None, response.headers, text)
        if found.code >= 400 and path.startswith("/") and found.body is not None:
            assert found.body.keys() - {"errors"} == {"error_type", "detail"}, text
            assert ("errors" in found.body) == (found.code == 422), text
        return found

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.call("POST", path, body, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.call("PUT", path, body, **headers)

    async def delete(self, path: str, **headers: str) -> Answer:
        return await self.call("DELETE", path, **headers)

    async def until(self, path: str, *, seconds: float = 30, **expected: Any) -> Answer:
        """Read until fields of the answer have these values."""
        found = await self.get(path)
        async with asyncio.timeout(seconds):
            while found.code != 200 or any(found.body.get(key) != value for key, value in expected.items()):
                await asyncio.sleep(0.05)
                found = await self.get(path)
        return found


@asynccontextmanager
async def serving(
    *namespaces: str, auth: AuthMode = AuthMode.NONE, settings: Settings = SETTINGS, waits: bool = True
) -> AsyncIterator[InProcessGateway]:
    """Run a gateway from readiness on; on exit it has stopped and left no task behind."""
    gateway = Gateway(await connect(), GatewayOptions(namespaces, auth=auth, settings=settings))
    gateway.listen()
    tasks = _descendants(gateway)
    context = copy_context()
    context.run(_OWNER.set, gateway)
    run = asyncio.create_task(gateway.run(), name="gateway", context=context)
    url = f"http://127.0.0.1:{gateway.port}"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            rest = InProcessGateway(session, gateway, url)
            if waits:
                await _until_ready(rest, run)
            yield rest
    finally:
        gateway.stop()
        async with asyncio.timeout(STOP_SECONDS):
            await run
    left = {task for task in tasks if not task.done()}
    if left:
        # kopf leaves a watch that it was reading from to garbage collection, and with it one waiting task.
        gc.collect()
        await asyncio.wait(left, timeout=_COLLECT_SECONDS)
        left = {task for task in left if not task.done()}
    assert not left, f"tasks of the gateway still run: {left}"


async def _until_ready(rest: InProcessGateway, run: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while (await rest.get("/readyz")).code != 200:
            assert not run.done(), f"the gateway has ended: {run}"
            await asyncio.sleep(0.02)


# Whose task it is: each inherits that from the one that has made it. Others are at work beside the gateway.
_OWNER: ContextVar[object] = ContextVar("owner", default=None)


def _descendants(owner: object) -> weakref.WeakSet[asyncio.Task[Any]]:
    """Return what is going to hold the tasks of this owner."""
    found: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
    loop = asyncio.get_running_loop()
    inner = loop.get_task_factory() or asyncio.Task

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        task = inner(coro, loop=loop, **options) if inner is asyncio.Task else inner(loop, coro, **options)
        context = options.get("context")
        if (context or copy_context()).get(_OWNER) is owner:
            found.add(task)
        return task

    loop.set_task_factory(make)
    return found


async def until_agreed(*gateways: InProcessGateway, seconds: float = 30) -> None:
    """Wait until gateways tell the same of all instances."""
    async with asyncio.timeout(seconds):
        while len({(await rest.get("/instances")).headers["etag"] for rest in gateways}) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def limited(**settings: Any) -> Settings:
    """Settings as in the other tests, but for these."""
    return replace(SETTINGS, **settings)
