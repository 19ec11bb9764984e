"""The container engine of the tests: the user's Docker engine, else a private dockerd with all its files in one place.

A private engine needs root on Linux. Debian packages that it needs are installed if they are missing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hopper.local.docker import Docker
from hopper.local.errors import LocalError, ProviderError
from hopper.local.file_lock import file_lock
from hopper.local.processes import command_line
from hopper.local.progress import Progress
from tests.kind.host_programs import can_install_packages, ensure_program, find_program, is_installed, search_path
from tests.kind.machine_snapshot import read_snapshot, restore_machine, take_snapshot

_PID_FILE = "dockerd.pid"
_START_TIMEOUT_SECONDS = 60.0
_STOP_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.1
# The kernel's limit for the path of a socket. containerd's socket has the longest path.
_SOCKET_PATH_LIMIT = 107
_LOG_TAIL = 15
_CAP_SYS_RESOURCE = 24
_PROCESS_STATUS = Path("/proc/self/status")
_RUNC_WRAPPER = Path(__file__).with_name("runc_wrapper.py")


class EngineError(LocalError):
    """A failure to start or stop the private container engine."""


@dataclass(frozen=True)
class PrivateEngine:
    """A dockerd of the tests. Its images stay in `directory` when it stops; all other state is removed."""

    directory: Path

    @property
    def docker(self) -> Docker:
        """Docker command for this engine."""
        return Docker(f"unix://{self._socket}")

    @property
    def is_running(self) -> bool:
        """Whether the engine answers."""
        return self.docker.why_unavailable() is None

    @property
    def needs_cleanup(self) -> bool:
        """Whether the engine runs, or was killed before it could clean up."""
        return self._snapshot_file.exists()

    def start(self, progress: Progress) -> None:
        """Start the engine unless it is running, also after it was killed.

        Raises EngineError, ProviderError.
        """
        if self.is_running:
            return
        self._check_socket_path()
        with progress.step("Starting a Docker engine"):
            self._remove_stale_pid_files()
            shutil.rmtree(self.directory / "exec" / "netns", ignore_errors=True)
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if read_snapshot(self._snapshot_file) is None:
                take_snapshot().write(self._snapshot_file)
            self._wait_until_running(self._spawn())

    def stop(self, progress: Progress) -> None:
        """Stop the engine and all its containers, and restore the machine.

        Raises EngineError.
        """
        if not self.needs_cleanup:
            return
        if not self.is_running:
            # The engine was killed. Containers may still run, and only an engine can find all of them.
            self.start(progress)
        with progress.step("Stopping the Docker engine"):
            self._remove_containers_and_networks()
            self._terminate()
            if snapshot := read_snapshot(self._snapshot_file):
                restore_machine(snapshot, self.directory)
            shutil.rmtree(self.directory / "exec", ignore_errors=True)
            for file in (self._snapshot_file, self._socket):
                file.unlink(missing_ok=True)

    def stop_if_idle(self, progress: Progress) -> bool:
        """Stop the engine unless it runs containers. Return whether there was an engine to stop."""
        if not self.needs_cleanup or (self.is_running and self.docker("ps", "--quiet").split()):
            return False
        self.stop(progress)
        return True

    @property
    def _socket(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def _snapshot_file(self) -> Path:
        return self.directory / "before.json"

    @property
    def _log(self) -> Path:
        return self.directory / "dockerd.log"

    def _check_socket_path(self) -> None:
        socket = str(self.directory / "exec" / "containerd" / "containerd-debug.sock")
        if len(socket) > _SOCKET_PATH_LIMIT:
            raise EngineError(f"{socket} is too long for a socket: set HOPPER_CACHE to a shorter path")

    def _spawn(self) -> int:
        """Start dockerd in its own session, so that it outlives this process, and return its pid."""
        empty_config = self.directory / "daemon.json"
        empty_config.write_text("{}")
        command = [
            find_program("dockerd"),
            f"--config-file={empty_config}",
            f"--data-root={self.directory / 'data'}",
            f"--exec-root={self.directory / 'exec'}",
            f"--pidfile={self.directory / _PID_FILE}",
            f"--host=unix://{self._socket}",
            *runtime_options(self.directory),
        ]
        return os.posix_spawn(
            command[0],
            command,
            os.environ | {"PATH": search_path()},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def _wait_until_running(self, pid: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self.is_running:
            ended = _reap_child(pid)
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                raise EngineError(f"the Docker engine did not start. The end of {self._log}:\n{self._end_of_log()}")
            time.sleep(_POLL_SECONDS)

    def _remove_containers_and_networks(self) -> None:
        """Remove containers, networks and volumes while an engine is running that knows their resources."""
        docker = self.docker
        if containers := docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", "--volumes", *containers, check=False)
        if networks := docker("network", "ls", "--quiet", "--filter=type=custom").split():
            docker("network", "rm", *networks, check=False)
        docker("volume", "prune", "--force", check=False)

    def _terminate(self) -> None:
        if not (pid := self._pid()):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
        while self._pid() == pid or command_line(pid) == "":  # A dying process has an empty command line.
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the Docker engine (pid {pid}) did not stop within {_STOP_TIMEOUT_SECONDS:.0f} s: see {self._log}"
                )
            time.sleep(_POLL_SECONDS)
        _reap_child(pid)

    def _remove_stale_pid_files(self) -> None:
        """Remove the pid files of a killed engine, because other processes may have these pids now.

        A containerd that survived keeps running: the next dockerd adopts it with all its containers.
        """
        self._terminate()
        (self.directory / _PID_FILE).unlink(missing_ok=True)
        containerd = self.directory / "exec" / "containerd" / "containerd.pid"
        if _pid_in_file(containerd, str(self.directory / "exec")) is None:
            containerd.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        """Return the pid of the engine if that process is still dockerd."""
        return _pid_in_file(self.directory / _PID_FILE, f"--data-root={self.directory / 'data'}")

    def _end_of_log(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL:])


def private_engine(cache: Path) -> PrivateEngine:
    """Return the private engine of a cache directory, running or not."""
    return PrivateEngine(cache / "engine")


def find_engine(cache: Path) -> tuple[Docker, PrivateEngine | None]:
    """Return the engine to use, and the private engine if it is that one, which may have to be started.

    Raises ProviderError.
    """
    engine = private_engine(cache)
    if engine.is_running:
        return engine.docker, engine
    if Docker().why_unavailable() is None:
        return Docker(), None
    if obstacle := why_no_private_engine():
        raise ProviderError(
            f"no container engine answers ({Docker().why_unavailable()}), and {obstacle}: start Docker and check "
            "that you may use it"
        )
    for name, package in (("dockerd", "docker.io"), ("docker", "docker.io"), ("iptables", "iptables")):
        ensure_program(name, package)
    if Docker().why_unavailable() is None:
        # The package may have started a system-wide engine.
        return Docker(), None
    return engine.docker, engine


def why_no_private_engine() -> str | None:
    """Return the reason why a private engine cannot be started here, or None if it can."""
    if sys.platform != "linux":
        return "a private engine runs on Linux only"
    if os.geteuid() != 0:
        return "starting a private engine needs root"
    if not is_installed("dockerd") and not can_install_packages():
        return "a private engine needs dockerd, which is not installed (and there is no apt-get to install it)"
    return None


@contextmanager
def engine_lock(cache: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock for starting, stopping and relying on the engine."""

    def report_holder(holder: str) -> None:
        progress.note(f"Waiting for {holder}, which is using the Docker engine ...")

    with file_lock(cache / "locks" / "engine.lock", report_holder):
        yield


def lacks_sys_resource(status: str) -> bool:
    """Whether a process with this /proc/<pid>/status can never gain CAP_SYS_RESOURCE."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return not int(fields["CapBnd"], 16) >> _CAP_SYS_RESOURCE & 1


def runtime_options(directory: Path) -> list[str]:
    """Return the options of dockerd for its runtime. Write a wrapper around runc to `directory` if needed."""
    if not lacks_sys_resource(_PROCESS_STATUS.read_text(encoding="utf-8")):
        return []
    wrapper = write_runc_wrapper(directory, find_program("runc"))
    return [f"--add-runtime=restricted={wrapper}", "--default-runtime=restricted"]


def write_runc_wrapper(directory: Path, runc: str) -> Path:
    """Write an executable that docker can use as runc, and return its path."""
    code = directory / "runc_wrapper.py"
    code.write_bytes(_RUNC_WRAPPER.read_bytes())
    wrapper = directory / "runc"
    # The resolved path, because a virtual environment may be removed before the engine stops.
    python = str(Path(sys.executable).resolve())
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([python, "-IS", str(code), runc])} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return wrapper


def _pid_in_file(file: Path, argument: str) -> int | None:
    """Return the pid in a file if the command line of that process contains `argument`."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return None
    return pid if argument in (command_line(pid) or "") else None


def _reap_child(pid: int) -> bool:
    """Reap a child process that has ended. Return whether it was a child that has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
