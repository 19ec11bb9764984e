"""Operator in a process of its own, so that a test can send it signals and observe it from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from hopper.local.loopback_ports import free_ports
from tests.cluster.support.prometheus import PrometheusSamples

HOPPER = Path(sys.executable).with_name("hopper")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


class OperatorProcess:
    """Run of `hopper operator run`, with its log in a file."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @classmethod
    async def start(cls, namespace: str, kubeconfig: Path, log: Path, *args: str) -> OperatorProcess:
        """Start an operator process that appends to this log."""
        port = free_ports(1)[0]
        command = ["operator", "run", "--namespace", namespace, "--metrics-port", str(port), *args]
        return await cls.launch(command, port, kubeconfig, log)

    @classmethod
    async def launch(cls, command: Sequence[str], port: int, kubeconfig: Path, log: Path) -> OperatorProcess:
        """Start any `hopper` command that serves probes on a port."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                HOPPER, *command, stdout=output, stderr=output, env=os.environ | {"KUBECONFIG": str(kubeconfig)}
            )
        return cls(process, port, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL, so that nothing is cleaned up."""
        self._process.kill()

    async def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the process to end; return its exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def stop(self) -> int:
        """Send SIGTERM and wait for the process to end; return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait()

    async def probe_succeeds(self, path: str) -> bool:
        """Whether the response to a probe is 200."""
        return await self._get(path) is not None

    async def metrics(self) -> str:
        """Return all metrics in the Prometheus text format."""
        text = await self._get("/metrics")
        assert text is not None, f"/metrics does not respond with 200\n{self.log}"
        return text

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; 0 without such a sample."""
        return PrometheusSamples(await self.metrics()).total(name, **labels)

    async def until_ready(self) -> None:
        await self.until(lambda: self.probe_succeeds("/readyz"), "/readyz responds with 200", START_SECONDS)

    async def until(self, holds: Callable[[], object], description: str, seconds: float = 30) -> None:
        """Wait until a condition (a coroutine function) holds; fail as soon as the process has ended."""
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # type: ignore[misc]
                    assert self.is_running, f"the operator has ended with {self._process.returncode}:\n{self.log}"
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {description}\n{self.log}") from None

    async def _get(self, path: str) -> str | None:
        try:
            async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
                return await response.text() if response.status == 200 else None
        except aiohttp.ClientError:
            return None


@asynccontextmanager
async def running_operator_process(
    namespace: str, kubeconfig: Path, log: Path, *args: str
) -> AsyncIterator[OperatorProcess]:
    """Run an operator process until the end of the context, where it is killed if it still runs."""
    operator = await OperatorProcess.start(namespace, kubeconfig, log, *args)
    try:
        yield operator
    finally:
        if operator.is_running:
            operator.kill()
        await operator.wait()
