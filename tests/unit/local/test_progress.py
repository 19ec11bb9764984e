"""Progress output: plain lines, a terminal, and silence."""

from __future__ import annotations

import io
import re

import pytest

from hopper.local.live_progress import LiveProgress, progress_for
from hopper.local.progress import SILENT, PlainProgress, format_duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_progress_announces_long_steps_and_reports_the_end_of_each() -> None:
    stream = io.StringIO()
    progress = progress_for(stream)
    assert isinstance(progress, PlainProgress)
    progress.note("Hello")
    with progress.step("Short", 1):
        pass
    with progress.step("Long", 165):
        pass
    assert re.sub(r"\d+\.\d s", "N s", stream.getvalue()).splitlines() == [
        "Hello",
        "Short: done in N s",
        "Long (usually 2 min 45 s) ...",
        "Long: done in N s",
    ]


def test_a_failed_step_is_reported() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="why"), PlainProgress(stream).step("Work"):
        raise ValueError("why")
    assert stream.getvalue().startswith("Work: failed after ")


def test_a_terminal_shows_one_line_per_finished_step() -> None:
    stream = Terminal()
    progress = progress_for(stream)
    assert isinstance(progress, LiveProgress)
    progress.note("With [brackets]")
    with progress.step("Good", 20):
        pass
    with pytest.raises(ValueError, match="why"), progress.step("Bad"):
        raise ValueError("why")
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", stream.getvalue())
    assert "With [brackets]" in shown
    assert "✓ Good" in shown
    assert "✗ Bad" in shown


def test_silent_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with SILENT.step("x"):
        SILENT.note("y")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.9, "9.9 s"), (17.4, "17 s"), (125, "2 min 5 s")])
def test_durations_are_formatted(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
