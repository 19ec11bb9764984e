"""How much of the machine others used: with busy neighbours, ratios of times say little."""

from __future__ import annotations

import os
import resource
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Fields of the first line of /proc/stat.
_IDLE, _IOWAIT, _LAST_BUSY = 3, 4, 7


@dataclass(slots=True)
class Neighbours:
    """Share of the CPU time that went to processes other than the bench, its children and `cluster` (their pids)."""

    cluster: Collection[int]
    _busy: float = 0.0
    _total: float = 0.0
    _own: float = 0.0
    shares: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self._busy, self._total = _machine_seconds()
        self._own = self._own_seconds()

    def end(self) -> None:
        """Note the share since `begin`."""
        busy, total = _machine_seconds()
        others = busy - self._busy - (self._own_seconds() - self._own)
        self.shares.append(max(0.0, others / (total - self._total)))

    def _own_seconds(self) -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        mine = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return mine + sum(cpu_seconds(pid) for pid in self.cluster)


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far. Raises `OSError` when it has ended."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _machine_seconds() -> tuple[float, float]:
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    fields = [int(value) / TICKS for value in first.split()[1 : _LAST_BUSY + 2]]
    total = sum(fields)
    return total - fields[_IDLE] - fields[_IOWAIT], total
