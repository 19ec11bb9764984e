"""Recorded processes: recognised by pid and command line, and killed only if both match."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopper.local import processes
from hopper.local.processes import ComponentProcess


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pids").mkdir()
    return tmp_path


@pytest.fixture
def component(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the cluster, recorded as etcd."""
    process = start_sleeping(str(directory / "bin" / "etcd"))
    (directory / "pids" / "etcd.pid").write_text(str(process.pid))
    yield process
    process.kill()
    process.wait()


def start_sleeping(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([name, "-c", "import time; time.sleep(300)"], executable=sys.executable)


def test_a_recorded_process_is_found_and_killed(directory: Path, component: subprocess.Popen[bytes]) -> None:
    (process,) = processes.recorded_processes(directory)
    assert process == ComponentProcess("etcd", component.pid, directory / "bin" / "etcd")
    assert process.is_alive
    processes.kill_processes([process])
    assert not process.is_alive
    assert process.has_ended


def test_a_reused_pid_is_not_killed(directory: Path) -> None:
    other = start_sleeping("unrelated")
    try:
        (directory / "pids" / "etcd.pid").write_text(str(other.pid))
        (process,) = processes.recorded_processes(directory)
        assert not process.is_alive
        processes.kill_processes([process])
        assert other.poll() is None
        processes.remove_dead_pid_files(directory)
        assert processes.recorded_processes(directory) == []
    finally:
        other.kill()
        other.wait()


def test_a_zombie_has_ended(directory: Path, component: subprocess.Popen[bytes]) -> None:
    component.kill()
    os.waitid(os.P_PID, component.pid, os.WEXITED | os.WNOWAIT)
    (process,) = processes.recorded_processes(directory)
    assert not process.is_alive
    assert process.has_ended


def test_a_process_has_not_ended_while_one_of_its_threads_runs(tmp_path: Path) -> None:
    """The threads of a killed process end one by one, and the last one closes the ports."""
    code = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    binary = tmp_path / "etcd"
    with subprocess.Popen(
        [str(binary), "-c", code], executable=sys.executable, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            while processes.command_line(started.pid):
                pass  # until the first thread has ended
            process = ComponentProcess("etcd", started.pid, binary)
            assert not process.is_alive
            assert not process.has_ended
        finally:
            started.kill()
    assert process.has_ended


def test_only_pid_files_of_dead_processes_are_removed(directory: Path, component: subprocess.Popen[bytes]) -> None:
    (directory / "pids" / "kwok-controller.pid").write_text("4194305")
    (directory / "pids" / "kube-apiserver.pid").write_text("not a pid")
    processes.remove_dead_pid_files(directory)
    assert [process.pid for process in processes.recorded_processes(directory)] == [component.pid]


def test_ps_replaces_a_missing_proc_file_system(
    directory: Path, component: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("ps is not installed")
    monkeypatch.setattr(processes, "_PROC", directory / "no-proc")
    (process,) = processes.recorded_processes(directory)
    assert process.is_alive
    assert processes.command_line(4194305) is None
