"""Gateway in the process and event loop of the test, and an HTTP client for it."""

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
class GatewayResponse:
    """Response of the gateway; `body` is the parsed JSON, or None without a body."""

    code: int
    body: Any
    headers: Mapping[str, str]
    text: str

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class GatewayClient:
    """Client for the routes under /api/v1 of one gateway."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway | None, url: str) -> None:
        self.session = session
        self._gateway = gateway
        self.url = url

    @property
    def gateway(self) -> Gateway:
        """Gateway of this process; not available for a gateway in a process of its own."""
        assert self._gateway is not None
        return self._gateway

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> GatewayResponse:
        """Send a request, and check that an error has the documented form.

        Names of headers are written with underscores.
        """
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"{self.url}{path}" if path in ("/healthz", "/readyz", "/metrics") else f"{self.url}/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=sent) as http_response:
            text = await http_response.text()
            has_json = http_response.content_type == "application/json" and text
            content = json.loads(text) if has_json else None
            response = GatewayResponse(http_response.status, content, http_response.headers, text)
        if response.code >= 400 and path.startswith("/") and response.body is not None:
            assert response.body.keys() - {"errors"} == {"error_type", "detail"}, text
            assert ("errors" in response.body) == (response.code == 422), text
        return response

    async def get(self, path: str, **headers: str) -> GatewayResponse:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> GatewayResponse:
        return await self.call("POST", path, body, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> GatewayResponse:
        return await self.call("PUT", path, body, **headers)

    async def delete(self, path: str, **headers: str) -> GatewayResponse:
        return await self.call("DELETE", path, **headers)

    async def until(self, path: str, *, seconds: float = 30, **expected: Any) -> GatewayResponse:
        """Repeat a GET until these fields of the response have the expected values; return the response."""
        response = await self.get(path)
        try:
            async with asyncio.timeout(seconds):
                while response.code != 200 or any(response.body.get(key) != value for key, value in expected.items()):
                    await asyncio.sleep(0.05)
                    response = await self.get(path)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {expected} at {path}\n{response.text}") from None
        return response


@asynccontextmanager
async def running_gateway(
    *namespaces: str, auth: AuthMode = AuthMode.NONE, settings: Settings = SETTINGS, wait_until_ready: bool = True
) -> AsyncIterator[GatewayClient]:
    """Run a gateway until the end of the context. On exit, check that it stopped in time and left no task running."""
    gateway = Gateway(await connect(), GatewayOptions(namespaces, auth=auth, settings=settings))
    gateway.listen()
    tasks = _tasks_of(gateway)
    context = copy_context()
    context.run(_TASK_OWNER.set, gateway)
    run = asyncio.create_task(gateway.run(), name="gateway", context=context)
    url = f"http://127.0.0.1:{gateway.port}"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            rest = GatewayClient(session, gateway, url)
            if wait_until_ready:
                await _until_ready(rest, run)
            yield rest
    finally:
        gateway.stop()
        async with asyncio.timeout(STOP_SECONDS):
            await run
    leaked = {task for task in tasks if not task.done()}
    if leaked:
        # kopf leaves the watch that it was reading to the garbage collector, and with the watch one waiting task.
        gc.collect()
        await asyncio.wait(leaked, timeout=_COLLECT_SECONDS)
        leaked = {task for task in leaked if not task.done()}
    assert not leaked, f"tasks of the gateway still run: {leaked}"


async def _until_ready(rest: GatewayClient, run: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while (await rest.get("/readyz")).code != 200:
            assert not run.done(), f"the gateway has ended: {run}"
            await asyncio.sleep(0.02)


# Gateway that a task belongs to. A task inherits the value from the task that creates it, which separates the tasks
# of several gateways and of an operator in one event loop.
_TASK_OWNER: ContextVar[object] = ContextVar("task owner", default=None)


def _tasks_of(owner: object) -> weakref.WeakSet[asyncio.Task[Any]]:
    """Return a set to which every task of this owner is added when it is created."""
    tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
    loop = asyncio.get_running_loop()
    inner_factory = loop.get_task_factory() or asyncio.Task

    def create_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        if inner_factory is asyncio.Task:
            task = inner_factory(coro, loop=loop, **options)
        else:
            task = inner_factory(loop, coro, **options)
        context = options.get("context")
        if (context or copy_context()).get(_TASK_OWNER) is owner:
            tasks.add(task)
        return task

    loop.set_task_factory(create_task)
    return tasks


async def until_gateways_agree(*gateways: GatewayClient, seconds: float = 30) -> None:
    """Wait until the lists of instances that these gateways return have the same ETag."""
    async with asyncio.timeout(seconds):
        while len({(await rest.get("/instances")).headers["etag"] for rest in gateways}) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def settings_with(**settings: Any) -> Settings:
    """Return the default settings of the tests with these changes."""
    return replace(SETTINGS, **settings)
