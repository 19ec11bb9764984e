"""Progress on a terminal: a live line with a clock, replaced by one finished line for each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from hopper.local.progress import duration


class Live:
    """Shows the running step with its elapsed and its usual time."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    def note(self, text: str) -> None:
        """Write one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, title: str, expected: float | None = None) -> Iterator[None]:
        """Show a spinner, and leave a tick or a cross behind."""
        started = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), _Clock(expected))
        try:
            with Progress(*columns, console=self._console, transient=True) as live:
                live.add_task(title, total=None)
                yield
        except BaseException:
            self._finished("[red]✗[/red]", title, started)
            raise
        self._finished("[green]✓[/green]", title, started)

    def _finished(self, mark: str, title: str, started: float) -> None:
        line = Text.from_markup(mark)
        line.append(f" {title}  ")
        line.append(duration(time.monotonic() - started), style="dim")
        self._console.print(line)


class _Clock(ProgressColumn):
    def __init__(self, expected: float | None) -> None:
        super().__init__()
        self._usual = f" of about {duration(expected)}" if expected else ""

    def render(self, task: Task) -> Text:
        return Text(f"{duration(task.elapsed or 0.0)}{self._usual}", style="dim")
