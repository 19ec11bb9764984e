"""Processes under measurement: CPU time and memory as the kernel accounts them, and CPU used by other processes."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 20.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of the first line of /proc/stat. The fields after steal are parts of user and nice.
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class Process:
    """A command that runs in the root of the repository and writes its output to a log file."""

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
        """Send SIGTERM, and SIGKILL if the process does not end in time."""
        self._child.terminate()
        try:
            await asyncio.to_thread(self._child.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)


@dataclass(slots=True)
class OtherProcesses:
    """Share of CPU time used by processes other than the bench, its children and the cluster.

    On a busy machine, ratios of times mean little. `cluster_pids` are the processes of the cluster.
    """

    cluster_pids: Collection[int]
    _busy: float = 0.0
    _total: float = 0.0
    _own: float = 0.0
    shares: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Start an interval."""
        self._busy, self._total = _machine_seconds()
        self._own = self._own_seconds()

    def end(self) -> None:
        """Add the share of the interval since `begin` to `shares`."""
        busy, total = _machine_seconds()
        others = busy - self._busy - (self._own_seconds() - self._own)
        self.shares.append(max(0.0, others / (total - self._total)))

    def _own_seconds(self) -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        bench = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return bench + sum(cpu_seconds(pid) for pid in self.cluster_pids)


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far. Raises `OSError` when it has ended."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _machine_seconds() -> tuple[float, float]:
    """Return busy and total CPU time of the machine since boot."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    fields = [int(value) / _TICKS_PER_SECOND for value in first.split()[1 : _STEAL + 2]]
    total = sum(fields)
    return total - fields[_IDLE] - fields[_IOWAIT], total
