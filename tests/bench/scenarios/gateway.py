"""Gateway with thousands of instances: response times, and requests to the API server while reading."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from hopper.adapters.connection import connect
from hopper.api.resources import Manifest
from hopper.local.loopback_ports import free_ports
from tests.bench.client import Client, create, encode, patch
from tests.bench.http_connection import HttpConnection
from tests.bench.manifests import HOPPER, instance, running_status, tree
from tests.bench.operators import LOGS
from tests.bench.process import Process
from tests.bench.scenarios.registry import Figure

CONCURRENCY = 16
TREE_SIZE = 1000
LIST, GET, TREE_READ, UNCHANGED = "list of 100", "one by name", "tree of 1,000", "304"
EVENT_DELAY = "event, after the watch event of the API server"
SECOND_GATEWAY_DELAY = "visible in a second gateway, after the response of the first"
RATE, REQUESTS = "GETs per second", "requests to the API server while reading"
RAW_LIST, RAW_GET = "raw LIST of 100", "raw GET"
_REPEATS = 300
_EVENTS = 50
_START_SECONDS = 120.0
_RATE_SECONDS = 3.0
_READERS = 8
_SENT_REQUESTS = re.compile(r"^hopper_gateway_api_requests_total\{.*\} (\S+)$", re.MULTILINE)


async def measure(client: Client, namespace: str, size: int) -> list[Figure]:
    """Create `size` instances, a thousand of them in one tree, and measure a gateway that serves them."""
    await client.make_namespace(namespace)
    await _fill(client, namespace, size)
    async with _gateway(namespace, "first") as (process, port):
        async with HttpConnection("127.0.0.1", port) as connection:
            figures = await _response_times(connection, namespace, size)
            figures += [await _rate(process, port, size), *await _event_delays(client, namespace, port, size)]
            figures.append(Figure("gateway, memory", size, process.rss_mib, "MiB"))
        async with _gateway(namespace, "second") as (_, second_port):
            figures += await _second_gateway_delays(port, second_port, size)
    return figures


@asynccontextmanager
async def _gateway(namespace: str, name: str) -> AsyncIterator[tuple[Process, int]]:
    """Run a gateway; yield its process and port when it is ready."""
    port = free_ports(1)[0]
    hopper = str(Path(sys.executable).with_name("hopper"))
    command = [hopper, "gateway", "run", "--namespace", namespace, "--auth", "none", "--port", str(port)]
    process = Process(command, LOGS / f"{namespace}-gateway-{name}.log")
    try:
        await _until_ready(process, port)
        yield process, port
    finally:
        await process.stop()


async def _fill(client: Client, namespace: str, size: int) -> None:
    nodes = [node for level in tree(min(TREE_SIZE, size)) for node in level]
    in_tree = [instance(HOPPER, node.name, node.scope, node.parent) for node in nodes]
    others = [instance(HOPPER, f"p-{number:05}") for number in range(size - len(in_tree))]
    manifests: Sequence[Manifest] = [*in_tree, *others]
    await client.send_all((create(HOPPER, namespace, manifest) for manifest in manifests), CONCURRENCY)
    status = encode({"status": running_status()})
    names = (manifest["metadata"]["name"] for manifest in manifests)
    await client.send_all((patch(HOPPER, namespace, name, status, "status") for name in names), CONCURRENCY)


async def _until_ready(process: Process, port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            process.check()
            try:
                async with HttpConnection("127.0.0.1", port) as connection:
                    if (await connection.get("/readyz"))[0] == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def _response_times(connection: HttpConnection, namespace: str, size: int) -> list[Figure]:
    sent_before = await _sent_requests(connection)
    api = "/api/v1/instances"
    _, headers, body = await connection.get(f"{api}?limit=100")
    found = len(json.loads(body)["items"])
    nodes = min(TREE_SIZE, size)
    figures = [
        *await _timed(connection, LIST, f"{api}?limit=100", size, found),
        *await _timed(
            connection, f"{LIST}, sorted and filtered", f"{api}?limit=100&sort=-created_at&status=running", size
        ),
        *await _timed(connection, GET, f"{api}/p-00000" if size > nodes else f"{api}/global", size, 1),
        *await _timed(connection, TREE_READ, f"{api}/global/hierarchy", size, nodes, repeats=_REPEATS // 10),
        *await _timed(connection, UNCHANGED, f"{api}?limit=100", size, If_None_Match=headers["etag"]),
    ]
    figures.append(Figure(f"gateway, {REQUESTS}", size, await _sent_requests(connection) - sent_before, ""))
    async with _api_server() as raw:
        path = HOPPER.path(namespace)
        figures += await _timed(raw, RAW_LIST, f"{path}?limit=100", size, found)
        figures += await _timed(raw, RAW_GET, f"{path}/global", size, 1)
    return figures


@asynccontextmanager
async def _api_server() -> AsyncIterator[HttpConnection]:
    credentials = await (await connect()).credentials()
    tls = ssl.create_default_context(cafile=credentials.ca_path)
    if credentials.certificate_path:
        tls.load_cert_chain(credentials.certificate_path, credentials.private_key_path)
    address = urlsplit(credentials.server)
    assert address.hostname
    async with HttpConnection(address.hostname, address.port or 443, tls) as connection:
        yield connection


async def _timed(
    connection: HttpConnection,
    name: str,
    path: str,
    size: int,
    found: int | None = None,
    repeats: int = _REPEATS,
    **headers: str,
) -> list[Figure]:
    """Send GETs one after the other; return the median and the 99th percentile of the response times."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        code, _, _ = await connection.get(path, **headers)
        times.append((time.perf_counter() - started) * 1000)
        assert code in (200, 304), f"{path}: {code}"
    return _quantiles(name, size, times, found)


async def _sent_requests(connection: HttpConnection) -> float:
    """Return the number of requests the gateway has sent to the API server, without open watches."""
    _, _, body = await connection.get("/metrics")
    return sum(float(count) for count in _SENT_REQUESTS.findall(body.decode()))


async def _rate(process: Process, port: int, size: int) -> Figure:
    """Send GETs from several readers as fast as possible; return the rate per second of the gateway's CPU time."""
    deadline = time.perf_counter() + _RATE_SECONDS
    count = 0

    async def read() -> None:
        nonlocal count
        async with HttpConnection("127.0.0.1", port) as connection:
            while time.perf_counter() < deadline:
                assert (await connection.get("/api/v1/instances/global"))[0] == 200
                count += 1

    started, cpu = time.perf_counter(), process.cpu_seconds
    await asyncio.gather(*(read() for _ in range(_READERS)))
    used = process.cpu_seconds - cpu
    seconds = time.perf_counter() - started
    # CPU time, because readers, API server and other processes share the machine with the gateway.
    return Figure(f"gateway, {RATE} of CPU ({count / seconds:,.0f} by the clock)", size, count / used, "/s")


async def _event_delays(client: Client, namespace: str, port: int, size: int) -> list[Figure]:
    """Return the delay between a watch event of the API server and the same change in the gateway's event stream."""
    watch_events: asyncio.Queue[float] = asyncio.Queue()
    version = json.loads(await client.list(HOPPER, namespace, "limit=1"))["metadata"]["resourceVersion"]

    async def record_watch_events() -> None:
        async for _ in client.watch(HOPPER, namespace, f"resourceVersion={version}"):
            watch_events.put_nowait(time.perf_counter())

    watching = asyncio.create_task(record_watch_events())
    delays = []
    async with HttpConnection("127.0.0.1", port) as stream:
        await stream.begin("/api/v1/registry/events")
        await stream.until(b"event: snapshot")
        for number in range(_EVENTS):
            change = encode({"spec": {"description": f"change {number}"}})
            streamed = asyncio.create_task(stream.until(b"event: changed"))
            await client.send(patch(HOPPER, namespace, "global", change))
            delays.append(max((await streamed) - await watch_events.get(), 0.0) * 1000)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return _quantiles(EVENT_DELAY, size, delays)


async def _second_gateway_delays(first: int, second: int, size: int) -> list[Figure]:
    """Change an instance through one gateway, and read it through another one until the change is visible."""
    delays = []
    path = "/api/v1/instances/global"
    async with aiohttp.ClientSession() as session, HttpConnection("127.0.0.1", second) as other:
        for number in range(_EVENTS):
            description = f"change {number}"
            async with session.put(f"http://127.0.0.1:{first}{path}", json={"description": description}) as answer:
                answer.raise_for_status()
            answered = time.perf_counter()
            while json.loads((await other.get(path))[2])["description"] != description:
                pass
            delays.append((time.perf_counter() - answered) * 1000)
    return _quantiles(SECOND_GATEWAY_DELAY, size, delays)


def _quantiles(name: str, size: int, times: Sequence[float], found: int | None = None) -> list[Figure]:
    """Return the median and the 99th percentile of times in milliseconds."""
    return [
        Figure(f"gateway, {name}: median", size, statistics.median(times), "ms", found),
        Figure(f"gateway, {name}: P99", size, statistics.quantiles(times, n=100)[98], "ms", found),
    ]
