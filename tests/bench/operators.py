"""The operators that are compared, each run as its own process on a namespace of its own."""

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
from tests.bench.metrics import Tally
from tests.bench.objects import HOPPER, PEER, Kind, instance
from tests.bench.process import ROOT, Process
from tests.bench.watch import watching

LOGS = ROOT / "build" / "bench"
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Subject:
    """An operator to measure, and the kind it serves. `module` is a kopf operator's; Hopper has its own command."""

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
PLAIN_PEER = Subject("plain kopf", PEER, "tests.bench.peer")
BARE_PEER = Subject("bare on.event", PEER, "tests.bench.bare_peer")


@asynccontextmanager
async def running(client: Client, subject: Subject, namespace: str) -> AsyncIterator[Process]:
    """Run an operator on a new namespace; it is watching, and all is quiet, once the context begins."""
    await client.make_namespace(namespace)
    process = Process(subject.command(namespace, free_ports(1)[0]), LOGS / f"{namespace}.log")
    try:
        await _serve_a_canary(client, subject, namespace, process)
        await (await Tally.begin(client, subject.kind)).settle()
        yield process
    finally:
        await process.stop()


async def _serve_a_canary(client: Client, subject: Subject, namespace: str, process: Process) -> None:
    """Wait until one instance has become Running, and remove it: the only sign of life that all operators give."""
    async with watching(client, subject.kind, namespace, "status.phase=Running") as seen:
        await client.send(create(subject.kind, namespace, instance(subject.kind, "canary")))
        await _while_alive(process, seen.until(lambda count: count == 1))
        await client.send(delete(subject.kind, namespace, "canary"))
        await _while_alive(process, seen.until(lambda count: count == 0))


async def _while_alive(process: Process, waiting: Coroutine[Any, Any, None]) -> None:
    """Wait for something that will never come about if the process has ended."""
    task = asyncio.create_task(waiting)
    while not (await asyncio.wait({task}, timeout=1.0))[0]:
        process.check()
    await task


@dataclass(frozen=True, slots=True)
class Started:
    """How long a start of Hopper took, in seconds since the process was started."""

    process: Process
    ready: float
    idle: float


@asynccontextmanager
async def started_on(namespace: str, instances: int) -> AsyncIterator[Started]:
    """Start Hopper on instances that exist; the context begins when it is ready and has looked at each of them."""
    port = free_ports(1)[0]
    process = Process(THE_OPERATOR.command(namespace, port), LOGS / f"{namespace}-restart.log")
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            ready = await _elapsed_until_ready(session, process)
            idle = await _elapsed_until_idle(session, process, instances)
        yield Started(process, ready, idle)
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
    """Wait for an empty queue; that every instance was looked at keeps it from being taken for empty too early."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            found = await operator_metrics(session)
            reconciled = found.get('hopper_reconciles_total{result="ok"}', 0.0)
            if reconciled >= instances and found["hopper_queue_depth"] == 0:
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
