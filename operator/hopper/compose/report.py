"""The report of an import: findings about what is lost or changed, and problems that refuse the input."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ComposeProblem:
    """A reason to refuse the input, and how to fix it. Never holds a value from the input."""

    file: str
    message: str
    fix: str
    service: str | None = None
    field: str = ""

    def __str__(self) -> str:
        """Return file, service, field, message and fix in one line."""
        place = [self.file, f"service {self.service}" if self.service else "", self.field]
        return f"{': '.join(filter(None, place))}: {self.message}: {self.fix}"


class ComposeError(Exception):
    """Error for refused input. `problems` holds all reasons."""

    def __init__(self, problems: Iterable[ComposeProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Outcome(StrEnum):
    """Effect of the conversion on a key."""

    DROPPED = "not carried over"
    CHANGED = "changed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A key that is lost or changed, or worth a note, and what to do about it.

    `service` is None for keys of the file as a whole. A finding never holds the value of a variable or another value
    that may be secret.
    """

    file: str
    service: str | None
    key: str
    outcome: Outcome
    message: str
    advice: str = ""

    def __str__(self) -> str:
        """Return the finding as one line without colours."""
        place = ": ".join(filter(None, (self.file, self.service, self.key)))
        return f"{place}: {self.outcome}: {self.message}" + (f". {self.advice}" if self.advice else "")


def shorten_key(name: str) -> str:
    """Return a key for a finding. Of a mistake such as `NAME:value`, only the name is kept: the value may be secret."""
    match = re.match(r"[\w./-]*", name)
    part = match[0] if match else ""
    return part if part == name else f"{part}…"


def _overlaps(key: str, other: str) -> bool:
    """Whether two keys are equal, or one contains the other, as `ports` contains `ports[0]`."""
    short, long = sorted((key, other), key=len)
    return bool(short) and (long == short or long.startswith((f"{short}.", f"{short}[")))


@dataclass(slots=True)
class Report:
    """Findings and problems in the order in which they were found, without duplicates."""

    entries: dict[Finding | ComposeProblem, None] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        return [entry for entry in self.entries if isinstance(entry, Finding)]

    @property
    def problems(self) -> list[ComposeProblem]:
        return [entry for entry in self.entries if isinstance(entry, ComposeProblem)]

    def reporter_for(self, file: str, service: str | None = None) -> "Reporter":
        """Return a reporter for one service, or for a file as a whole."""
        return Reporter(self, file, service)

    def raise_problems(self) -> None:
        """Raise `ComposeError` if there are any problems."""
        if problems := self.problems:
            raise ComposeError(problems)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writer of findings and problems about one service, or about a file as a whole."""

    report: Report
    file: str
    service: str | None

    def dropped(self, key: str, message: str, advice: str) -> None:
        """Report that a key is not carried over."""
        self._add(key, Outcome.DROPPED, message, advice)

    def changed(self, key: str, message: str, advice: str = "") -> None:
        """Report that a key is carried over with another value."""
        self._add(key, Outcome.CHANGED, message, advice)

    def note(self, key: str, message: str, advice: str = "") -> None:
        """Report something worth knowing that loses nothing."""
        self._add(key, Outcome.NOTE, message, advice)

    def problem(self, key: str, message: str, fix: str) -> None:
        """Report a reason to refuse the input. Only the first problem with a key and the keys inside it is kept."""
        earlier = (
            problem.field
            for problem in self.report.problems
            if (problem.file, problem.service) == (self.file, self.service)
        )
        if not any(_overlaps(key, other) for other in earlier):
            self.report.entries[ComposeProblem(self.file, message, fix, self.service, key)] = None

    def _add(self, key: str, outcome: Outcome, message: str, advice: str) -> None:
        self.report.entries[Finding(self.file, self.service, key, outcome, message, advice)] = None
