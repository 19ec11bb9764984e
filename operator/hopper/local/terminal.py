"""The progress that suits a stream."""

from __future__ import annotations

import sys
from typing import TextIO

from hopper.local.progress import Plain, Progress


def for_terminal(stream: TextIO | None = None) -> Progress:
    """A live line with a clock on a terminal, plain lines elsewhere."""
    stream = stream or sys.stderr
    if not stream.isatty():
        return Plain(stream)
    from hopper.local.progress_rich import Live

    return Live(stream)
