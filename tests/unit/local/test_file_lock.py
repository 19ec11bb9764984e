"""File locks between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from hopper.local.file_lock import file_lock, is_file_locked

HOLD = """
import sys
from pathlib import Path
from hopper.local.file_lock import file_lock
with file_lock(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_waits_and_reports_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "lock"
    reported: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def wait_for_lock() -> None:
        with file_lock(path, lambda holder: (reported.append(holder), waiting.set())):
            entered.set()

    with start_holder(path) as holder:
        second = threading.Thread(target=wait_for_lock)
        second.start()
        assert waiting.wait(10)
        assert not entered.is_set()
        holder.communicate()
    assert entered.wait(10)
    second.join()
    assert reported == [f"process {holder.pid}"]


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with start_holder(path) as holder:
        assert is_file_locked(path)
        holder.kill()
        holder.communicate()
    assert not is_file_locked(path)
    with file_lock(path, lambda _: None):
        assert is_file_locked(path)


def test_the_lock_file_is_removed_on_request(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, lambda _: None, remove=True):
        assert path.exists()
    assert not path.exists()
    assert not is_file_locked(path)


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []
    waiting = threading.Event()

    def wait_for_lock() -> None:
        with file_lock(path, lambda _: waiting.set(), remove=True):
            order.append("second")
            assert is_file_locked(path)

    with file_lock(path, lambda _: None, remove=True):
        second = threading.Thread(target=wait_for_lock)
        second.start()
        assert waiting.wait(10)
        order.append("first")
    second.join()
    assert order == ["first", "second"]
