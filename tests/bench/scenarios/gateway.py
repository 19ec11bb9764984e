"""The gateway on thousands of instances: how long an answer takes, and that none costs the API server a request."""

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
from hopper.local.loopback_ports import free_ports
from tests.bench.client import Client, create, encode, patch
from tests.bench.objects import HOPPER, Manifest, instance, running_status, tree
from tests.bench.operators import LOGS
from tests.bench.process import Process
from tests.bench.scenarios.registry import Figure
from tests.bench.wire import Wire

CONCURRENCY = 16
TREE = 1000
LIST, GET, TREE_READ, UNCHANGED = "list of 100", "one by id", "tree of 1,000", "304"
EVENT = "event after the watch told of it"
AGREED = "told by a second gateway after the answer of the first"
RATE, REQUESTS = "gets a second", "requests to the API server while reading"
RAW_LIST, RAW_GET = "the API server's own LIST of 100", "the API server's own GET"
_REPEATS = 300
_EVENTS = 50
_START_SECONDS = 120.0
_RATE_SECONDS = 3.0
_READERS = 8
_SENT = re.compile(r"^hopper_gateway_api_requests_total\{.*\} (\S+)$", re.MULTILINE)


async def measure(client: Client, namespace: str, size: int) -> list[Figure]:
    """Fill a namespace with `size` instances, a thousand of them in one tree, and ask a gateway about them."""
    await client.make_namespace(namespace)
    await _fill(client, namespace, size)
    async with _gateway(namespace, "first") as (process, port):
        async with Wire("127.0.0.1", port) as wire:
            figures = await _times(wire, namespace, size)
            figures += [await _rate(process, port, size), *await _events(client, namespace, port, size)]
            figures.append(Figure("gateway, memory", size, process.rss_mib, "MiB"))
        async with _gateway(namespace, "second") as (_, another):
            figures += await _agreement(port, another, size)
    return figures


@asynccontextmanager
async def _gateway(namespace: str, name: str) -> AsyncIterator[tuple[Process, int]]:
    """Run a gateway that is ready; yield it and its port."""
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
    nodes = [instance(HOPPER, it.name, it.scope, it.parent) for level in tree(min(TREE, size)) for it in level]
    others = [instance(HOPPER, f"p-{number:05}") for number in range(size - len(nodes))]
    manifests: Sequence[Manifest] = [*nodes, *others]
    await client.send_all((create(HOPPER, namespace, it) for it in manifests), CONCURRENCY)
    status = encode({"status": running_status()})
    names = (it["metadata"]["name"] for it in manifests)
    await client.send_all((patch(HOPPER, namespace, name, status, "status") for name in names), CONCURRENCY)


async def _until_ready(process: Process, port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            process.check()
            try:
                async with Wire("127.0.0.1", port) as wire:
                    if (await wire.get("/readyz"))[0] == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def _times(wire: Wire, namespace: str, size: int) -> list[Figure]:
    sent = await _sent(wire)
    api = "/api/v1/instances"
    _, headers, body = await wire.get(f"{api}?limit=100")
    found = len(json.loads(body)["items"])
    nodes = min(TREE, size)
    figures = [
        *await _timed(wire, LIST, f"{api}?limit=100", size, found),
        *await _timed(wire, f"{LIST}, sorted and filtered", f"{api}?limit=100&sort=-created_at&status=running", size),
        *await _timed(wire, GET, f"{api}/p-00000" if size > nodes else f"{api}/global", size, 1),
        *await _timed(wire, TREE_READ, f"{api}/global/hierarchy", size, nodes, repeats=_REPEATS // 10),
        *await _timed(wire, UNCHANGED, f"{api}?limit=100", size, If_None_Match=headers["etag"]),
    ]
    figures.append(Figure(f"gateway, {REQUESTS}", size, await _sent(wire) - sent, ""))
    async with _api_server() as raw:
        path = HOPPER.path(namespace)
        figures += await _timed(raw, RAW_LIST, f"{path}?limit=100", size, found)
        figures += await _timed(raw, RAW_GET, f"{path}/global", size, 1)
    return figures


@asynccontextmanager
async def _api_server() -> AsyncIterator[Wire]:
    found = await (await connect()).credentials()
    tls = ssl.create_default_context(cafile=found.ca_path)
    if found.certificate_path:
        tls.load_cert_chain(found.certificate_path, found.private_key_path)
    address = urlsplit(found.server)
    assert address.hostname
    async with Wire(address.hostname, address.port or 443, tls) as wire:
        yield wire


async def _timed(
    wire: Wire, name: str, path: str, size: int, found: int | None = None, repeats: int = _REPEATS, **headers: str
) -> list[Figure]:
    """Read one after the other; return the median and the 99th percentile, in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        code, _, _ = await wire.get(path, **headers)
        times.append((time.perf_counter() - started) * 1000)
        assert code in (200, 304), f"{path}: {code}"
    return _quantiles(name, size, times, found)


async def _sent(wire: Wire) -> float:
    """Return how many requests the gateway has sent to the API server, but for the watches that it keeps open."""
    _, _, body = await wire.get("/metrics")
    return sum(float(it) for it in _SENT.findall(body.decode()))


async def _rate(process: Process, port: int, size: int) -> Figure:
    """Read as fast as some readers can."""
    deadline = time.perf_counter() + _RATE_SECONDS
    count = 0

    async def read() -> None:
        nonlocal count
        async with Wire("127.0.0.1", port) as wire:
            while time.perf_counter() < deadline:
                assert (await wire.get("/api/v1/instances/global"))[0] == 200
                count += 1

    started, cpu = time.perf_counter(), process.cpu_seconds
    await asyncio.gather(*(read() for _ in range(_READERS)))
    used = process.cpu_seconds - cpu
    seconds = time.perf_counter() - started
    # By the gateway's own CPU time: readers, API server and others share the machine with it.
    return Figure(f"gateway, {RATE} of CPU ({count / seconds:,.0f} by the clock)", size, count / used, "/s")


async def _events(client: Client, namespace: str, port: int, size: int) -> list[Figure]:
    """Compare when the API server's watch tells of a change, and when the gateway's stream does."""
    told: asyncio.Queue[float] = asyncio.Queue()
    version = json.loads(await client.list(HOPPER, namespace, "limit=1"))["metadata"]["resourceVersion"]

    async def watch() -> None:
        async for _ in client.watch(HOPPER, namespace, f"resourceVersion={version}"):
            told.put_nowait(time.perf_counter())

    watching = asyncio.create_task(watch())
    delays = []
    async with Wire("127.0.0.1", port) as stream:
        await stream.begin("/api/v1/registry/events")
        await stream.until(b"event: snapshot")
        for number in range(_EVENTS):
            change = encode({"spec": {"description": f"change {number}"}})
            seen = asyncio.create_task(stream.until(b"event: changed"))
            await client.send(patch(HOPPER, namespace, "global", change))
            delays.append(max((await seen) - await told.get(), 0.0) * 1000)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return _quantiles(EVENT, size, delays)


async def _agreement(first: int, second: int, size: int) -> list[Figure]:
    """Change an instance by one gateway, and ask the other one until it tells the same."""
    delays = []
    path = "/api/v1/instances/global"
    async with aiohttp.ClientSession() as session, Wire("127.0.0.1", second) as other:
        for number in range(_EVENTS):
            wanted = f"agreed {number}"
            async with session.put(f"http://127.0.0.1:{first}{path}", json={"description": wanted}) as answer:
                answer.raise_for_status()
            answered = time.perf_counter()
            while json.loads((await other.get(path))[2])["description"] != wanted:
                pass
            delays.append((time.perf_counter() - answered) * 1000)
    return _quantiles(AGREED, size, delays)


def _quantiles(name: str, size: int, times: Sequence[float], found: int | None = None) -> list[Figure]:
    """Return the median and the 99th percentile of times in milliseconds."""
    return [
        Figure(f"gateway, {name}: median", size, statistics.median(times), "ms", found),
        Figure(f"gateway, {name}: P99", size, statistics.quantiles(times, n=100)[98], "ms", found),
    ]
