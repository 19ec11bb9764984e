"""The processes of a cluster: recorded pids, safe termination, and the end of their logs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from hopper.local.errors import LocalError

_PROC = Path("/proc")
_KWOKCTL_FILE = "kwokctl.pid"
_GONE_WITHIN_SECONDS = 10.0
_LOG_LINES = 5
_LOG_WIDTH = 300
# Advice by cause, as components print the cause.
_ADVICE = {
    "no space left on device": "The disk is full: free about 200 MB, or set HOPPER_CACHE to a directory elsewhere"
}
_DEFAULT_ADVICE = "Try again, or check the arguments of the component"


@dataclass(frozen=True)
class ComponentProcess:
    """A process that kwokctl started from `<cluster>/bin/<name>`. Its pid is stored in `<cluster>/pids`."""

    name: str
    pid: int
    binary: Path

    @property
    def is_alive(self) -> bool:
        """Whether the pid still belongs to this binary. The system reuses pids, and zombies do not count."""
        command = command_line(self.pid)
        return command is not None and command.startswith(f"{self.binary}\0")

    @property
    def has_ended(self) -> bool:
        """Whether the process has released all its resources. A dying process closes its ports last."""
        command = command_line(self.pid)
        return command is None or (command != "" and not self.is_alive)


@dataclass(frozen=True)
class KwokctlProcess(ComponentProcess):
    """A running kwokctl. It must end before its cluster is removed, or it would start more processes."""

    @property
    def is_alive(self) -> bool:
        """Whether the pid still belongs to kwokctl, which may be a script run by an interpreter."""
        return str(self.binary) in (command_line(self.pid) or "").split("\0")[:2]

    def write(self, cluster: Path) -> None:
        """Record the process in the cluster's directory."""
        (cluster / _KWOKCTL_FILE).write_text(f"{self.pid} {self.binary}", encoding="utf-8")


def recorded_kwokctl(cluster: Path) -> list[KwokctlProcess]:
    """Return the latest kwokctl process of the cluster as a list, which is empty without a record."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        pid, binary = (cluster / _KWOKCTL_FILE).read_text(encoding="utf-8").split(" ", 1)
        return [KwokctlProcess("kwokctl", int(pid), Path(binary))]
    return []


def recorded_processes(cluster: Path) -> list[ComponentProcess]:
    """Return every recorded process of the cluster, including dead ones."""
    processes = []
    for file in sorted((cluster / "pids").glob("*.pid")):
        with contextlib.suppress(ValueError, FileNotFoundError):
            processes.append(ComponentProcess(file.stem, int(file.read_text()), cluster / "bin" / file.stem))
    return processes


def remove_dead_pid_files(cluster: Path) -> None:
    """Remove the pid files of dead processes, because kwokctl does not check which process has the pid now."""
    for process in recorded_processes(cluster):
        if not process.is_alive:
            (cluster / "pids" / f"{process.name}.pid").unlink(missing_ok=True)


def kill_processes(processes: Iterable[ComponentProcess]) -> None:
    """Kill the processes that are still alive, and wait until they are gone.

    Raises LocalError if a process does not end.
    """
    killed = [process for process in processes if process.is_alive]
    for process in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    while remaining := [process for process in killed if not process.has_ended]:
        if time.monotonic() > deadline:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in remaining)
            raise LocalError(f"{names} did not end within {_GONE_WITHIN_SECONDS:.0f} s: kill it by hand and try again")
        time.sleep(0.02)


def command_line(pid: int) -> str | None:
    """Return the command line of a process, with a NUL after each argument.

    The text is empty while the process dies. None means that the process has ended.
    """
    if not (_PROC / "self").exists():
        return _command_line_from_ps(pid)
    try:
        state = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        if state in "ZX":
            # Other threads of the killed process may still hold ports open.
            return "" if len(list((_PROC / str(pid) / "task").iterdir())) > 1 else None
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None


def _command_line_from_ps(pid: int) -> str | None:
    result = subprocess.run(
        ["/bin/ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, command = result.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return "".join(f"{word}\0" for word in command.split())


def final_output(cluster: Path, components: Iterable[str]) -> str:
    """Return the end of the log of each component, without the stack of a crash."""
    return "\n".join(_end_of_log(cluster, component) for component in components)


def advice_for(output: str) -> str:
    """Return the advice for the final output of a component."""
    return next((advice for cause, advice in _ADVICE.items() if cause in output), _DEFAULT_ADVICE)


def _end_of_log(cluster: Path, component: str) -> str:
    try:
        lines = (cluster / "logs" / f"{component}.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    messages = [line for line in takewhile(lambda line: not line.startswith("goroutine "), lines) if line.strip()]
    return "\n".join([f"{component} has ended:", *(f"  {_truncate(line)}" for line in messages[-_LOG_LINES:])])


def _truncate(line: str) -> str:
    return line if len(line) <= _LOG_WIDTH else f"{line[:_LOG_WIDTH]} …"
