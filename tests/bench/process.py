"""A process under measurement: CPU time and memory as the kernel accounts them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import cpu_seconds

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 20.0


class Process:
    """Runs a command from the root of the repository, its output in a log file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self.started = time.monotonic()
            self._child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        self.check()
        return cpu_seconds(self._child.pid)

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        self.check()
        status = (Path("/proc") / str(self._child.pid) / "status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def check(self) -> None:
        """Raise `RuntimeError` with the last lines of the log if the process has ended."""
        if (code := self._child.poll()) is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self._child.args!r} ended with {code}:\n{tail}")

    async def stop(self) -> None:
        """End the process: politely first."""
        self._child.terminate()
        try:
            await asyncio.to_thread(self._child.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)
