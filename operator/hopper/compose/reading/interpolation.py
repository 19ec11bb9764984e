"""Replacement of variables in strings, by the rules of the Compose Specification.

Variables are written `$NAME` or `${NAME}`, the latter also with a default, an error or a replacement. `$$` is a literal
`$`. A variable without a value becomes empty, and is recorded in the string.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopper.compose.reading.tracked_text import TrackedText, tracked_secrets, unresolved_variables
from hopper.compose.report import Reporter
from hopper.compose.secret_detection import is_secret_name
from hopper.compose.section import EXTENSION_PREFIX

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
# Limits that no real file exceeds, and that keep the time to read hostile files short.
_MAX_VARIABLES = 1000
_MAX_NESTING = 16
_MAX_LENGTH = 8192
_MAX_LISTED_KEYS = 8
# Keys whose lists hold assignments.
_ASSIGNMENT_KEYS = frozenset({"environment", "labels"})
_ASSIGNMENT = re.compile(r"([A-Za-z_][\w.-]*)=")

# Called with the place in the model and the result, for each string that contains variables.
Listener = Callable[[tuple[str, ...], TrackedText], None]


@dataclass(frozen=True, slots=True)
class VariableUse:
    """A string in a model that variables were inserted into, and its place in the model."""

    place: tuple[str, ...]
    value: TrackedText

    @property
    def service(self) -> str | None:
        """Name of the service that contains the string, if any."""
        return self.place[1] if self.place[0] == "services" and len(self.place) > 2 else None

    @property
    def key(self) -> str:
        """Key within the service or the file. An assignment in a list has the name of its variable."""
        is_list_entry = self.service and self.place[2] in _ASSIGNMENT_KEYS and len(self.place) == 4
        if is_list_entry and (match := _ASSIGNMENT.match(self.value)):
            return f"{self.place[2]}.{match[1]}"
        return ".".join(self.place[2:] if self.service else self.place).replace(".[", "[")


def interpolate(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Return the text with its variables replaced. A text without `$` is returned unchanged."""
    if "$" not in text:
        return text
    if depth > _MAX_NESTING or text.count("$") > _MAX_VARIABLES:
        return TrackedText(text, malformed=True)
    interpolation = _Interpolation(text, variables, depth)
    interpolation.run()
    return TrackedText(
        "".join(interpolation.parts), interpolation.secrets, interpolation.unresolved, interpolation.malformed
    )


def interpolate_tree(node: Any, variables: Mapping[str, str], listener: Listener, path: tuple[str, ...] = ()) -> Any:
    """Return a value with the variables replaced in all strings inside it, except in the keys of mappings."""
    match node:
        case dict():
            return {key: interpolate_tree(value, variables, listener, (*path, key)) for key, value in node.items()}
        case list():
            return [
                interpolate_tree(value, variables, listener, (*path, f"[{index}]")) for index, value in enumerate(node)
            ]
        case str():
            value = interpolate(node, variables)
            if isinstance(value, TrackedText):
                listener(path, value)
            return value
        case _:
            return node


def report_variable_uses(uses: Iterable[VariableUse], reporter: Reporter) -> None:
    """Report variables without a value, once per service, and each `$` that does not begin a variable."""

    def reporter_of(service: str | None) -> Reporter:
        return reporter.report.reporter_for(reporter.file, service or reporter.service)

    missing: dict[tuple[str | None, str], list[str]] = {}
    for use in uses:
        if use.place[0].startswith(EXTENSION_PREFIX):
            continue
        for name in use.value.unresolved:
            missing.setdefault((use.service, name), []).append(use.key)
        if use.value.malformed:
            message = "a $ in it does not begin a variable, and was kept"
            reporter_of(use.service).changed(use.key, message, "Docker compose requires $$ for a literal $")
    for (service, name), keys in missing.items():
        listed = ", ".join(keys[:_MAX_LISTED_KEYS])
        listed += f" and {len(keys) - _MAX_LISTED_KEYS} more" if len(keys) > _MAX_LISTED_KEYS else ""
        advice = "Set it in .env beside the compose file, or import with --env to use your environment"
        reporter_of(service).dropped(listed, f"the variable {name} has no value", advice)


@dataclass(slots=True)
class _Interpolation:
    """State of one pass over one string."""

    text: str
    variables: Mapping[str, str]
    depth: int
    parts: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    malformed: bool = False

    def run(self) -> None:
        position = 0
        while (dollar := self.text.find("$", position)) >= 0:
            self.parts.append(self.text[position:dollar])
            position = self._read_variable(dollar + 1)
        self.parts.append(self.text[position:])

    def _read_variable(self, start: int) -> int:
        """Read the text after a `$`, and return the position to continue at."""
        if self.text.startswith("$", start):
            self.parts.append("$")
            return start + 1
        if name := _NAME.match(self.text, start):
            self._substitute(name[0], "", "")
            return name.end()
        if self.text.startswith("{", start) and (end := _find_closing_brace(self.text, start)) is not None:
            inner = self.text[start + 1 : end]
            if (name := _NAME.match(inner)) and (rest := _split_operator(inner[name.end() :])) is not None:
                self._substitute(name[0], *rest)
                return end + 1
        self.malformed = True
        self.parts.append("$")
        return start

    def _substitute(self, name: str, operator: str, word: str) -> None:
        value = self.variables.get(name)
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            result = self._interpolate_word(word) if is_set else ""
        elif is_set and value is not None:
            result = value
        elif operator.endswith("-"):
            result = self._interpolate_word(word)
        else:
            self.unresolved.append(name)
            result = ""
        self.secrets.extend(tracked_secrets(value))
        self.unresolved.extend(unresolved_variables(value))
        if is_secret_name(name):
            self.secrets.append(str(result))
        self.parts.append(result)

    def _interpolate_word(self, word: str) -> str:
        value = interpolate(word, self.variables, self.depth + 1)
        self.secrets.extend(tracked_secrets(value))
        self.unresolved.extend(unresolved_variables(value))
        self.malformed |= isinstance(value, TrackedText) and value.malformed
        return value


def _split_operator(rest: str) -> tuple[str, str] | None:
    """Return operator and word in the text after a name; both may be empty. Return None if the text is invalid."""
    if not rest:
        return "", ""
    operator = _OPERATOR.match(rest)
    return (operator[0], rest[operator.end() :]) if operator else None


def _find_closing_brace(text: str, start: int) -> int | None:
    """Return the position of the brace that closes the one at `start`."""
    depth = 0
    for index in range(start, min(len(text), start + _MAX_LENGTH)):
        if text[index] == "{" and (index == start or text[index - 1] == "$"):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if not depth:
                return index
    return None
