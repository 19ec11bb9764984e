"""The operators under comparison. Each runs as its own process in its own namespace."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hopper.local.loopback_ports import free_ports
from tests.bench.client import Client, create, delete
from tests.bench.manifests import HOPPER, PEER, Kind, instance
from tests.bench.matching_names import watching
from tests.bench.process import ROOT, Process
from tests.bench.request_tally import RequestTally

LOGS = ROOT / "build" / "bench"
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Subject:
    """An operator to measure and the kind it serves. `module` holds a peer's handlers; Hopper has its own command."""

    name: str
    kind: Kind
    module: str = ""

    def command(self, namespace: str, port: int) -> list[str]:
        scope = ["--namespace", namespace]
        if self.module:
            return [sys.executable, "-m", "kopf", "run", "--standalone", *scope, "--module", self.module]
        hopper = Path(sys.executable).with_name("hopper")
        return [str(hopper), "operator", "run", *scope, "--metrics-port", str(port)]


THE_OPERATOR = Subject("Hopper", HOPPER)
PLAIN_PEER = Subject("plain kopf", PEER, "tests.bench.peers.plain")
BARE_PEER = Subject("bare on.event", PEER, "tests.bench.peers.bare")


@asynccontextmanager
async def running(client: Client, subject: Subject, namespace: str) -> AsyncIterator[Process]:
    """Run an operator in a new namespace. The context begins when the operator works and sends no more requests."""
    await client.make_namespace(namespace)
    process = Process(subject.command(namespace, free_ports(1)[0]), LOGS / f"{namespace}.log")
    try:
        await _serve_a_canary(client, subject, namespace, process)
        await (await RequestTally.begin(client, subject.kind)).settle()
        yield process
    finally:
        await process.stop()


async def _serve_a_canary(client: Client, subject: Subject, namespace: str, process: Process) -> None:
    """Create an instance, wait until it is Running, and delete it: the peers have no readiness endpoint."""
    async with watching(client, subject.kind, namespace, "status.phase=Running") as running_names:
        await client.send(create(subject.kind, namespace, instance(subject.kind, "canary")))
        await _while_alive(process, running_names.until_count(1))
        await client.send(delete(subject.kind, namespace, "canary"))
        await _while_alive(process, running_names.until_count(0))


async def _while_alive(process: Process, waiting: Coroutine[Any, Any, None]) -> None:
    """Wait for a coroutine, and raise `RuntimeError` if the process ends before."""
    task = asyncio.create_task(waiting)
    while not (await asyncio.wait({task}, timeout=1.0))[0]:
        process.check()
    await task


@dataclass(frozen=True, slots=True)
class StartedOperator:
    """Hopper after its start; times are in seconds since the process was started."""

    process: Process
    ready: float
    idle: float


@asynccontextmanager
async def started_on(namespace: str, instances: int) -> AsyncIterator[StartedOperator]:
    """Start Hopper on existing instances. The context begins when it is ready and has reconciled each of them."""
    port = free_ports(1)[0]
    process = Process(THE_OPERATOR.command(namespace, port), LOGS / f"{namespace}-restart.log")
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            ready = await _elapsed_until_ready(session, process)
            idle = await _elapsed_until_idle(session, process, instances)
        yield StartedOperator(process, ready, idle)
    finally:
        await process.stop()


async def _elapsed_until_ready(session: aiohttp.ClientSession, process: Process) -> float:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                async with session.get("/readyz") as response:
                    if response.status == 200:
                        return _elapsed(process)
            except aiohttp.ClientConnectionError:
                process.check()
            await asyncio.sleep(_POLL_SECONDS)


async def _elapsed_until_idle(session: aiohttp.ClientSession, process: Process, instances: int) -> float:
    """Wait until each instance was reconciled and the queue is empty; the queue is also empty before the first list."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            metrics = await operator_metrics(session)
            reconciled = metrics.get('hopper_reconciles_total{result="ok"}', 0.0)
            if reconciled >= instances and metrics["hopper_queue_depth"] == 0:
                return _elapsed(process)
            await asyncio.sleep(_POLL_SECONDS)


async def operator_metrics(session: aiohttp.ClientSession) -> dict[str, float]:
    """Return each sample of Hopper's own metrics by name and labels."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def _elapsed(process: Process) -> float:
    return asyncio.get_running_loop().time() - process.started
