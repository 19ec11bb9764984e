"""What can be wrong with the input.

The tree: `ComposeError` (the input is refused, with every problem found) · `UnreadableFileError` (one file that the
input names cannot be used).
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason to refuse the input, with what to do about it. Never holds a value from the input."""

    file: str
    message: str
    fix: str
    service: str | None = None
    field: str = ""

    def __str__(self) -> str:
        """Name file, service and field, then what is wrong, then the way out."""
        place = [self.file, f"service {self.service}" if self.service else "", self.field]
        return f"{': '.join(filter(None, place))}: {self.message}: {self.fix}"


class ComposeError(Exception):
    """The input is refused."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class UnreadableFileError(Exception):
    """A file that the input names cannot be used. The message completes "the file …", such as "is missing"."""
