"""The Docker engine: the user's own if there is one, else one of Hopper's, with everything it has in one directory."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hopper.local import processes
from hopper.local.errors import EngineError, ProviderError
from hopper.local.kind import packages, runtime, traces
from hopper.local.kind.docker import Docker, program
from hopper.local.lock import locked
from hopper.local.progress import Progress

_PID = "dockerd.pid"
_STARTS_WITHIN = 60.0
_ENDS_WITHIN = 60.0
_POLL = 0.1
# What the kernel takes as the path of a socket; containerd's own lies a little deeper than ours.
_LONGEST_SOCKET = 107
_LOG_TAIL = 15


@dataclass(frozen=True)
class OwnEngine:
    """dockerd as a process of ours. Its images stay in the directory when it ends, everything else goes."""

    directory: Path

    @property
    def docker(self) -> Docker:
        """The way to it."""
        return Docker(self.directory / "docker.sock")

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self.docker.answers() is None

    def start(self, progress: Progress) -> None:
        """Have it running, also when the last one was killed. Raises EngineError, ProviderError."""
        if self.running:
            return
        self._check_path()
        with progress.step("Starting a Docker engine"):
            self._forget_dead()
            shutil.rmtree(self.directory / "exec" / "netns", ignore_errors=True)
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if traces.read(self._before) is None:
                traces.look().write(self._before)
            self._await_answer(self._start_process())

    def stop(self, progress: Progress) -> None:
        """End it and all its containers, and leave the machine as it was before it started. Raises EngineError."""
        if not self.left_anything:
            return
        if not self.running:
            # Killed: its containers may still run, and only an engine finds them all.
            self.start(progress)
        with progress.step("Stopping the Docker engine"):
            self._empty()
            self._stop_process()
            if before := traces.read(self._before):
                traces.remove(before, self.directory)
            shutil.rmtree(self.directory / "exec", ignore_errors=True)
            for file in (self._before, self.directory / "docker.sock"):
                file.unlink(missing_ok=True)

    @property
    def left_anything(self) -> bool:
        """Whether it runs, or was killed and not cleaned up after."""
        return self._before.exists()

    @property
    def _before(self) -> Path:
        return self.directory / "before.json"

    def _check_path(self) -> None:
        socket = str(self.directory / "exec" / "containerd" / "containerd-debug.sock")
        if len(socket) > _LONGEST_SOCKET:
            raise EngineError(f"{socket} is too long for a socket: set HOPPER_CACHE to a shorter path")

    def _start_process(self) -> int:
        """Start dockerd in a session of its own, so that it outlives us, and return its process id."""
        empty = self.directory / "daemon.json"
        empty.write_text("{}")
        command = [
            program("dockerd"),
            f"--config-file={empty}",
            f"--data-root={self.directory / 'data'}",
            f"--exec-root={self.directory / 'exec'}",
            f"--pidfile={self.directory / _PID}",
            f"--host=unix://{self.directory / 'docker.sock'}",
            *runtime.dockerd_arguments(self.directory),
        ]
        return os.posix_spawn(
            command[0],
            command,
            os.environ | {"PATH": packages.search_path()},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def _await_answer(self, pid: int) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while not self.running:
            ended = _has_ended(pid)
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                raise EngineError(f"the Docker engine did not start, and says in {self._log}:\n{self._last_words()}")
            time.sleep(_POLL)

    def _empty(self) -> None:
        """Remove containers and networks while there is an engine that knows all that belongs to them."""
        docker = self.docker
        if containers := docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", "--volumes", *containers, check=False)
        if networks := docker("network", "ls", "--quiet", "--filter=type=custom").split():
            docker("network", "rm", *networks, check=False)
        docker("volume", "prune", "--force", check=False)

    def _stop_process(self) -> None:
        if not (pid := self._pid()):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _ENDS_WITHIN
        while self._pid() == pid or processes.command_line(pid) == "":  # a dying one loses its command line first
            if time.monotonic() > deadline:
                raise EngineError(f"the Docker engine (pid {pid}) did not end within {_ENDS_WITHIN:.0f} s: {self._log}")
            time.sleep(_POLL)
        _has_ended(pid)

    def _forget_dead(self) -> None:
        """Remove what one that was killed has written down of itself: by now, others may have these process ids.

        A containerd that outlived it is left running, because the next engine takes it over with all its containers.
        """
        self._stop_process()
        (self.directory / _PID).unlink(missing_ok=True)
        containerd = self.directory / "exec" / "containerd" / "containerd.pid"
        if _pid_in(containerd, str(self.directory / "exec")) is None:
            containerd.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        """The process id of the engine, if that process is still it."""
        return _pid_in(self.directory / _PID, f"--data-root={self.directory / 'data'}")

    @property
    def _log(self) -> Path:
        return self.directory / "dockerd.log"

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL:])


def why_not_own() -> str | None:
    """None if an engine of ours can be started here, else what stands against it."""
    if sys.platform != "linux":
        return "one of Hopper's own runs on Linux only"
    if os.geteuid() != 0:
        return "starting one takes root"
    if packages.lacking("dockerd") and not packages.installable():
        return "starting one takes dockerd, which is not installed (and there is no apt-get to install it with)"
    return None


def find(cache: Path) -> tuple[Docker, OwnEngine | None]:
    """The engine to use, which may have to be started. Raises ProviderError."""
    own = OwnEngine(cache / "engine")
    if own.running:
        return own.docker, own
    if Docker().answers() is None:
        return Docker(), None
    if against := why_not_own():
        raise ProviderError(
            f"no Docker engine answers ({Docker().answers()}), and {against}: start Docker and see that you may use "
            "it, or leave out --provider kind, since --provider local needs neither Docker nor root"
        )
    for name, package in (("dockerd", "docker.io"), ("docker", "docker.io"), ("iptables", "iptables")):
        packages.ensure(name, package)
    if Docker().answers() is None:
        # Where services start by themselves, the package has brought an engine that runs already.
        return Docker(), None
    return own.docker, own


@contextmanager
def engine_lock(cache: Path, progress: Progress) -> Iterator[None]:
    """For everything that starts or stops the engine, or relies on it staying as it is."""

    def waiting(holder: str) -> None:
        progress.note(f"Waiting for {holder}, which is busy with the Docker engine ...")

    with locked(cache / "locks" / "engine.lock", waiting):
        yield


def _pid_in(file: Path, mark: str) -> int | None:
    """The process id in a file, if the command line of that process has the mark of ours."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return None
    return pid if mark in (processes.command_line(pid) or "") else None


def _has_ended(child: int) -> bool:
    """Whether the process has ended, if it is a child of ours; then it is taken note of, and gone for good."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return False
