"""Progress on a terminal: a spinner with a clock while a step runs, and one line after it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from hopper.local.progress import PlainProgress, format_duration
from hopper.local.progress import Progress as ProgressReceiver


class LiveProgress:
    """Progress that shows the elapsed and the usual time of the running step."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    def note(self, text: str) -> None:
        """Write one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Show a spinner, then a line with a tick or a cross."""
        started = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), _ClockColumn(expected))
        try:
            with Progress(*columns, console=self._console, transient=True) as spinner:
                spinner.add_task(title, total=None)
                yield
        except BaseException:
            self._print_result("[red]✗[/red]", title, started)
            raise
        self._print_result("[green]✓[/green]", title, started)

    def _print_result(self, mark: str, title: str, started: float) -> None:
        line = Text.from_markup(mark)
        line.append(f" {title}  ")
        line.append(format_duration(time.monotonic() - started), style="dim")
        self._console.print(line)


def progress_for(stream: TextIO | None = None) -> ProgressReceiver:
    """Return live progress for a terminal, and plain lines for any other stream. Default: standard error."""
    stream = stream or sys.stderr
    return LiveProgress(stream) if stream.isatty() else PlainProgress(stream)


class _ClockColumn(ProgressColumn):
    def __init__(self, expected: float | None) -> None:
        super().__init__()
        self._usual = f" of about {format_duration(expected)}" if expected else ""

    def render(self, task: Task) -> Text:
        return Text(f"{format_duration(task.elapsed or 0.0)}{self._usual}", style="dim")
