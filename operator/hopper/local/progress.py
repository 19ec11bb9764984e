"""How long steps show themselves to the user: on standard error, so that standard output stays data."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """Receives what happens. `expected` is the usual duration in seconds."""

    def note(self, text: str) -> None:
        """One finished statement."""
        ...

    def step(self, title: str, expected: float | None = None) -> AbstractContextManager[None]:
        """A piece of work that lasts as long as the context."""
        ...


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Drop it."""

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Drop it."""
        yield


class Plain:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def note(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Announce long steps when they begin, and every step when it ends."""
        started = time.monotonic()
        if expected is not None and expected >= ANNOUNCE_FROM:
            self.note(f"{title} (usually {duration(expected)}) ...")
        try:
            yield
        except BaseException:
            self.note(f"{title}: failed after {duration(time.monotonic() - started)}")
            raise
        self.note(f"{title}: done in {duration(time.monotonic() - started)}")


ANNOUNCE_FROM = 5.0
SILENT = Silent()


def duration(seconds: float) -> str:
    """`0.4 s`, `17 s`, `2 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
