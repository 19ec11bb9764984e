"""What became of the input: everything that is not simply carried over is written down here."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from hopper.compose.errors import ComposeError, Problem


class Outcome(StrEnum):
    """What became of a key."""

    DROPPED = "not carried over"
    CHANGED = "changed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one key of one service, or of the file (`service` is None), and what to do about it.

    Never holds the value of a variable, or of anything else that may be secret.
    """

    file: str
    service: str | None
    key: str
    outcome: Outcome
    message: str
    advice: str = ""

    def __str__(self) -> str:
        """One line, for those who read without colours and tables."""
        place = ": ".join(filter(None, (self.file, self.service, self.key)))
        return f"{place}: {self.outcome}: {self.message}" + (f". {self.advice}" if self.advice else "")


def shown(name: str) -> str:
    """Return a name for a finding. What is written as `NAME:value` by mistake shows its name only."""
    head = re.match(r"[\w./-]*", name)
    part = head[0] if head else ""
    return part if part == name else f"{part}…"


def _is_about_the_same(key: str, other: str) -> bool:
    """Tell whether two keys are the same, or one is a part of the other, as `ports[0]` is of `ports`."""
    short, long = sorted((key, other), key=len)
    return bool(short) and (long == short or long.startswith((f"{short}.", f"{short}[")))


@dataclass(slots=True)
class Report:
    """Collects findings and problems, each once and in the order in which they were found."""

    found: dict[Finding | Problem, None] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        return [one for one in self.found if isinstance(one, Finding)]

    @property
    def problems(self) -> list[Problem]:
        return [one for one in self.found if isinstance(one, Problem)]

    def about(self, file: str, service: str | None = None) -> "Reporter":
        """Return a reporter for one service, or for a file as a whole."""
        return Reporter(self, file, service)

    def raise_problems(self) -> None:
        """Raise `ComposeError` if there are any problems."""
        if problems := self.problems:
            raise ComposeError(problems)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes into a report what happens to one service or file."""

    report: Report
    file: str
    service: str | None

    def dropped(self, key: str, message: str, advice: str) -> None:
        """Say that something is not in the result."""
        self._add(key, Outcome.DROPPED, message, advice)

    def changed(self, key: str, message: str, advice: str = "") -> None:
        """Say that something is in the result, but not as it was."""
        self._add(key, Outcome.CHANGED, message, advice)

    def note(self, key: str, message: str, advice: str = "") -> None:
        """Say something that is good to know; nothing is lost."""
        self._add(key, Outcome.NOTE, message, advice)

    def problem(self, key: str, message: str, fix: str) -> None:
        """Refuse the input. Of problems with the same thing, or with a part of it, the first one is told."""
        told = (it.field for it in self.report.problems if (it.file, it.service) == (self.file, self.service))
        if not any(_is_about_the_same(key, other) for other in told):
            self.report.found[Problem(self.file, message, fix, self.service, key)] = None

    def _add(self, key: str, outcome: Outcome, message: str, advice: str) -> None:
        self.report.found[Finding(self.file, self.service, key, outcome, message, advice)] = None
