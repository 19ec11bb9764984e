"""What the user sees of long steps."""

from __future__ import annotations

import io
import re

import pytest

from hopper.local.progress import Plain, Silent, duration
from hopper.local.progress_rich import Live
from hopper.local.terminal import for_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_announce_long_steps_and_finish_each() -> None:
    stream = io.StringIO()
    progress = for_terminal(stream)
    assert isinstance(progress, Plain)
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


def test_a_failed_step_says_so() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="why"), Plain(stream).step("Work"):
        raise ValueError("why")
    assert stream.getvalue().startswith("Work: failed after ")


def test_a_terminal_gets_one_finished_line_for_each_step() -> None:
    stream = Terminal()
    progress = for_terminal(stream)
    assert isinstance(progress, Live)
    progress.note("With [brackets]")
    with progress.step("Good", 20):
        pass
    with pytest.raises(ValueError, match="why"), progress.step("Bad"):
        raise ValueError("why")
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", stream.getvalue())
    assert "With [brackets]" in shown
    assert "✓ Good" in shown
    assert "✗ Bad" in shown


def test_silence() -> None:
    with Silent().step("x"):
        Silent().note("y")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.9, "9.9 s"), (17.4, "17 s"), (125, "2 min 5 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
