"""A lock between processes, held as long as the holder lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[str], None], *, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; wait for another holder, and say so once through `on_wait`.

    The kernel frees the lock of a process that dies, so a lock file left behind holds nobody up. With `remove`
    the file goes away afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path, on_wait)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock right now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that those who only ask are not in each other's way.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, on_wait: Callable[[str], None]) -> int:
    said = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not said:
                    said = True
                    on_wait(_holder(path))
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The holder before us may have removed the file, and then our lock is on a file that nobody else sees.
            if _same_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
