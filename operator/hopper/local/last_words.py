"""What a component said before it ended."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

_LINES = 5
_WIDTH = 300
# What the system says → what to do.
_CURES = {
    "no space left on device": "The disk is full: free about 200 MB, or set HOPPER_CACHE to a directory elsewhere"
}
_CURE = "Try again, or look at the arguments you gave"


def last_words(directory: Path, components: Iterable[str]) -> str:
    """The end of each component's log in the cluster's directory, without the stack of a crash."""
    return "\n".join(_end_of(directory, component) for component in components)


def cure(words: str) -> str:
    """What to do about them."""
    return next((cure for cause, cure in _CURES.items() if cause in words), _CURE)


def _end_of(directory: Path, component: str) -> str:
    try:
        lines = (directory / "logs" / f"{component}.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line for line in takewhile(lambda line: not line.startswith("goroutine "), lines) if line.strip()]
    return "\n".join([f"{component} has ended:", *(f"  {_shortened(line)}" for line in said[-_LINES:])])


def _shortened(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]} …"
