"""Progress of long steps. Output goes to standard error, so that standard output holds data only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

# Plain output announces a step before it starts if it usually takes at least this many seconds.
ANNOUNCE_FROM_SECONDS = 5.0


class Progress(Protocol):
    """A receiver of progress messages."""

    def note(self, text: str) -> None:
        """Report a finished fact."""
        ...

    def step(self, title: str, expected: float | None = None) -> AbstractContextManager[None]:
        """Report a step that lasts as long as the context. `expected` is its usual duration in seconds."""
        ...


class SilentProgress:
    """Progress without output."""

    def note(self, text: str) -> None:
        """Ignore the message."""

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Ignore the step."""
        yield


class PlainProgress:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def note(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Write a line when the step ends, and for a long step also when it starts."""
        started = time.monotonic()
        if expected is not None and expected >= ANNOUNCE_FROM_SECONDS:
            self.note(f"{title} (usually {format_duration(expected)}) ...")
        try:
            yield
        except BaseException:
            self.note(f"{title}: failed after {format_duration(time.monotonic() - started)}")
            raise
        self.note(f"{title}: done in {format_duration(time.monotonic() - started)}")


SILENT = SilentProgress()


def format_duration(seconds: float) -> str:
    """Return a duration such as `0.4 s`, `17 s` or `2 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
