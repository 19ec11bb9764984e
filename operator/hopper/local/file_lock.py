"""File locks between processes. The kernel releases the lock of a process that dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, on_wait: Callable[[str], None], *, remove: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, and wait for the current holder if there is one.

    Call `on_wait` once with a description of the holder before waiting. Remove the file afterwards if `remove` is set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path, on_wait)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_file_locked(path: Path) -> bool:
    """Whether a process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # A shared lock, because two concurrent checks must not block each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, on_wait: Callable[[str], None]) -> int:
    has_reported = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not has_reported:
                    has_reported = True
                    on_wait(_holder(path))
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The previous holder may have removed the file. A lock on a removed file excludes no other process.
            if _is_same_file(descriptor, path):
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


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
