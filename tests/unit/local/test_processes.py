"""Processes are known by their recorded pid, and touched only while it is theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopper.local import processes
from hopper.local.processes import RecordedProcess


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pids").mkdir()
    return tmp_path


@pytest.fixture
def component(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the cluster, on record as etcd."""
    started = sleeper(str(directory / "bin" / "etcd"))
    (directory / "pids" / "etcd.pid").write_text(str(started.pid))
    yield started
    started.kill()
    started.wait()


def sleeper(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([name, "-c", "import time; time.sleep(300)"], executable=sys.executable)


def test_a_recorded_process_is_found_and_killed(directory: Path, component: subprocess.Popen[bytes]) -> None:
    (found,) = processes.recorded(directory)
    assert found == RecordedProcess("etcd", component.pid, directory / "bin" / "etcd")
    assert found.alive
    processes.kill([found])
    assert not found.alive
    assert found.ended


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(directory: Path) -> None:
    stranger = sleeper("innocent")
    try:
        (directory / "pids" / "etcd.pid").write_text(str(stranger.pid))
        (found,) = processes.recorded(directory)
        assert not found.alive
        processes.kill([found])
        assert stranger.poll() is None
        processes.forget_dead(directory)
        assert processes.recorded(directory) == []
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_is_dead(directory: Path, component: subprocess.Popen[bytes]) -> None:
    component.kill()
    os.waitid(os.P_PID, component.pid, os.WEXITED | os.WNOWAIT)
    (found,) = processes.recorded(directory)
    assert not found.alive
    assert found.ended


def test_a_process_has_not_ended_while_one_of_its_threads_runs(tmp_path: Path) -> None:
    """Killed, its threads end one by one, perhaps the first one first, and the last one closes the ports."""
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
                pass  # until the first thread is gone
            found = RecordedProcess("etcd", started.pid, binary)
            assert not found.alive
            assert not found.ended
        finally:
            started.kill()
    assert found.ended


def test_forgetting_keeps_the_living(directory: Path, component: subprocess.Popen[bytes]) -> None:
    (directory / "pids" / "kwok-controller.pid").write_text("4194305")
    (directory / "pids" / "kube-apiserver.pid").write_text("not a pid")
    processes.forget_dead(directory)
    assert [process.pid for process in processes.recorded(directory)] == [component.pid]


def test_ps_tells_the_same_where_there_is_no_proc(
    directory: Path, component: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("there is no ps")
    monkeypatch.setattr(processes, "_PROC", directory / "no-proc")
    (found,) = processes.recorded(directory)
    assert found.alive
    assert processes.command_line(4194305) is None
