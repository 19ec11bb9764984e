"""Gateway in a process of its own, so that a test can kill it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from hopper.local.loopback_ports import free_ports
from tests.cluster.support.in_process_gateway import GatewayClient
from tests.cluster.support.operator_process import HOPPER, START_SECONDS

_POLL_SECONDS = 0.05


class GatewayProcess:
    """Run of `hopper gateway run` without authentication."""

    def __init__(self, process: asyncio.subprocess.Process, rest: GatewayClient, log: Path) -> None:
        self._process = process
        self._log = log
        self.rest = rest

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def kill(self) -> None:
        """Send SIGKILL, so that nothing is cleaned up."""
        if self.is_running:
            self._process.kill()

    async def wait(self) -> None:
        await self._process.wait()

    async def until_ready(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            while not await self._is_ready():
                assert self.is_running, f"the gateway has ended:\n{self._log.read_text(errors='replace')}"
                await asyncio.sleep(_POLL_SECONDS)

    async def _is_ready(self) -> bool:
        try:
            return (await self.rest.get("/readyz")).code == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def running_gateway_process(
    namespace: str, kubeconfig: Path, log: Path, *args: str
) -> AsyncIterator[GatewayProcess]:
    """Run a gateway process; it is ready when the context begins, and killed at the end."""
    port = free_ports(1)[0]
    command = ["gateway", "run", "--namespace", namespace, "--port", str(port), "--auth", "none", *args]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(HOPPER, *command, stdout=output, stderr=output, env=environment)
    async with aiohttp.ClientSession() as session:
        gateway = GatewayProcess(process, GatewayClient(session, None, f"http://127.0.0.1:{port}"), log)
        try:
            await gateway.until_ready()
            yield gateway
        finally:
            gateway.kill()
            await gateway.wait()
