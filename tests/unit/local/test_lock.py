"""The lock between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from hopper.local.lock import is_locked, locked

HOLD = """
import sys
from pathlib import Path
from hopper.local.lock import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_waits_and_says_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "lock"
    said: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with locked(path, lambda holder: (said.append(holder), waiting.set())):
            entered.set()

    with hold(path) as holder:
        second = threading.Thread(target=wait_for_it)
        second.start()
        assert waiting.wait(10)
        assert not entered.is_set()
        holder.communicate()
    assert entered.wait(10)
    second.join()
    assert said == [f"process {holder.pid}"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as holder:
        assert is_locked(path)
        holder.kill()
        holder.communicate()
    assert not is_locked(path)
    with locked(path, lambda _: None):
        assert is_locked(path)


def test_the_file_goes_away_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, lambda _: None, remove=True):
        assert path.exists()
    assert not path.exists()
    assert not is_locked(path)


def test_a_removed_lock_file_is_not_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []
    waiting = threading.Event()

    def wait_for_it() -> None:
        with locked(path, lambda _: waiting.set(), remove=True):
            order.append("second")
            assert is_locked(path)

    with locked(path, lambda _: None, remove=True):
        second = threading.Thread(target=wait_for_it)
        second.start()
        assert waiting.wait(10)
        order.append("first")
    second.join()
    assert order == ["first", "second"]
