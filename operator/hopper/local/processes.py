"""The processes of a cluster: known by their recorded pid, and touched only while that pid is still theirs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import LocalError

_PROC = Path("/proc")
_STARTER = "kwokctl.pid"
_GONE_WITHIN = 10.0


@dataclass(frozen=True)
class RecordedProcess:
    """A process that kwokctl started from `<cluster>/bin/<name>` and whose pid it wrote to `<cluster>/pids`."""

    name: str
    pid: int
    binary: Path

    @property
    def alive(self) -> bool:
        """Whether the pid still belongs to this binary: pids are used again, and zombies do not count."""
        command = command_line(self.pid)
        return command is not None and command.startswith(f"{self.binary}\0")

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left: a dying process loses its command line first, its open ports last."""
        command = command_line(self.pid)
        return command is None or (command != "" and not self.alive)


@dataclass(frozen=True)
class Starter(RecordedProcess):
    """kwokctl at work on a cluster: it must not go on starting processes when the cluster is cleared away."""

    @property
    def alive(self) -> bool:
        """Whether the pid still belongs to this program, which may be a script behind its interpreter."""
        return str(self.binary) in (command_line(self.pid) or "").split("\0")[:2]

    def write(self, cluster: Path) -> None:
        """Put it on record."""
        (cluster / _STARTER).write_text(f"{self.pid} {self.binary}", encoding="utf-8")


def starters(cluster: Path) -> list[Starter]:
    """The last kwokctl that was called for the cluster, or nothing."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        pid, binary = (cluster / _STARTER).read_text(encoding="utf-8").split(" ", 1)
        return [Starter("kwokctl", int(pid), Path(binary))]
    return []


def recorded(cluster: Path) -> list[RecordedProcess]:
    """Every process on record in the cluster's directory, dead ones too."""
    found = []
    for file in sorted((cluster / "pids").glob("*.pid")):
        with contextlib.suppress(ValueError, FileNotFoundError):
            found.append(RecordedProcess(file.stem, int(file.read_text()), cluster / "bin" / file.stem))
    return found


def forget_dead(cluster: Path) -> None:
    """Remove the records of dead processes, because kwokctl takes any process with that pid for its own."""
    for process in recorded(cluster):
        if not process.alive:
            (cluster / "pids" / f"{process.name}.pid").unlink(missing_ok=True)


def kill(processes: Iterable[RecordedProcess]) -> None:
    """End the processes that are still ours, at once, and wait until they are gone.

    Raises LocalError when one does not go.
    """
    ours = [process for process in processes if process.alive]
    for process in ours:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + _GONE_WITHIN
    while left := [process for process in ours if not process.ended]:
        if time.monotonic() > deadline:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
            raise LocalError(f"{names} did not end within {_GONE_WITHIN:.0f} s: end it by hand and try again")
        time.sleep(0.02)


def command_line(pid: int) -> str | None:
    """The command line of a process, each argument followed by a NUL; "" while it dies; None if it has ended."""
    if not (_PROC / "self").exists():
        return _command_line_from_ps(pid)
    try:
        state = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        if state in "ZX":
            # The first thread may be gone while others, killed too, still hold the ports open.
            return "" if len(list((_PROC / str(pid) / "task").iterdir())) > 1 else None
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None


def _command_line_from_ps(pid: int) -> str | None:
    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, command = shown.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return "".join(f"{word}\0" for word in command.split())
