"""The operator as a process of its own, to be killed, stopped and looked at from outside."""

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
    """One run of `hopper operator run`, its log in a file."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @classmethod
    async def start(cls, namespace: str, kubeconfig: Path, log: Path, *args: str) -> OperatorProcess:
        """Start it; the log is appended to."""
        port = free_ports(1)[0]
        command = ["operator", "run", "--namespace", namespace, "--metrics-port", str(port), *args]
        return await cls.launch(command, port, kubeconfig, log)

    @classmethod
    async def launch(cls, command: Sequence[str], port: int, kubeconfig: Path, log: Path) -> OperatorProcess:
        """Start any verb of `hopper` that answers probes on a port."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                HOPPER, *command, stdout=output, stderr=output, env=os.environ | {"KUBECONFIG": str(kubeconfig)}
            )
        return cls(process, port, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self._process.kill()

    async def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def stop(self) -> int:
        """End it politely; return the exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait()

    async def answers(self, path: str) -> bool:
        """Tell whether a probe is answered with 200."""
        return await self._get(path) is not None

    async def metrics(self) -> str:
        """Return all metrics, in Prometheus' text format."""
        text = await self._get("/metrics")
        assert text is not None, f"no metrics\n{self.log}"
        return text

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; 0 without any."""
        return PrometheusSamples(await self.metrics()).total(name, **labels)

    async def until_ready(self) -> None:
        await self.until(lambda: self.answers("/readyz"), "/readyz answers", START_SECONDS)

    async def until(self, holds: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait for a condition (a coroutine function) while it runs."""
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # type: ignore[misc]
                    assert self.runs, f"the operator has ended with {self._process.returncode}:\n{self.log}"
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.log}") from None

    async def _get(self, path: str) -> str | None:
        try:
            async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
                return await response.text() if response.status == 200 else None
        except aiohttp.ClientError:
            return None


@asynccontextmanager
async def process(namespace: str, kubeconfig: Path, log: Path, *args: str) -> AsyncIterator[OperatorProcess]:
    """Run an operator process until the end of the context, where it is killed if it still runs."""
    started = await OperatorProcess.start(namespace, kubeconfig, log, *args)
    try:
        yield started
    finally:
        if started.runs:
            started.kill()
        await started.wait()
