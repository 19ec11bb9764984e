"""Variables in strings: `$NAME`, `${NAME}`, and with a default, an error or a replacement; `$$` stands for `$`.

The rules are those of the Compose Specification. What has no value becomes empty, and is remembered.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopper.compose.reading.text import Text, secrets_in, unresolved_in
from hopper.compose.secret_names import is_secret_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
# Beyond these nobody writes, and reading would take too long.
_MAX_VARIABLES = 1000
_MAX_NESTING = 16
_MAX_LENGTH = 8192

# Called with the place in the tree and the string that came out, for each string that variables went into.
Listener = Callable[[tuple[str, ...], Text], None]


def interpolate(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Return the text with its variables replaced; the very same text where there is no `$`."""
    if "$" not in text:
        return text
    if depth > _MAX_NESTING or text.count("$") > _MAX_VARIABLES:
        return Text(text, malformed=True)
    reader = _Reader(text, variables, depth)
    reader.read()
    return Text("".join(reader.parts), reader.secrets, reader.unresolved, reader.malformed)


def interpolate_tree(node: Any, variables: Mapping[str, str], listener: Listener, path: tuple[str, ...] = ()) -> Any:
    """Return mappings and lists with all their strings interpolated; keys stay as they are."""
    match node:
        case dict():
            return {key: interpolate_tree(value, variables, listener, (*path, key)) for key, value in node.items()}
        case list():
            return [
                interpolate_tree(value, variables, listener, (*path, f"[{index}]")) for index, value in enumerate(node)
            ]
        case str():
            value = interpolate(node, variables)
            if isinstance(value, Text):
                listener(path, value)
            return value
        case _:
            return node


@dataclass(slots=True)
class _Reader:
    """One pass over one string."""

    text: str
    variables: Mapping[str, str]
    depth: int
    parts: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    malformed: bool = False

    def read(self) -> None:
        position = 0
        while (dollar := self.text.find("$", position)) >= 0:
            self.parts.append(self.text[position:dollar])
            position = self._variable(dollar + 1)
        self.parts.append(self.text[position:])

    def _variable(self, start: int) -> int:
        """Read what follows a `$`; return where to go on."""
        if self.text.startswith("$", start):
            self.parts.append("$")
            return start + 1
        if name := _NAME.match(self.text, start):
            self._substitute(name[0], "", "")
            return name.end()
        if self.text.startswith("{", start) and (end := _closing(self.text, start)) is not None:
            inner = self.text[start + 1 : end]
            if (name := _NAME.match(inner)) and (rest := _split_operator(inner[name.end() :])) is not None:
                self._substitute(name[0], *rest)
                return end + 1
        self.malformed = True
        self.parts.append("$")
        return start

    def _substitute(self, name: str, operator: str, word: str) -> None:
        value = self.variables.get(name)
        present = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            result = self._nested(word) if present else ""
        elif present and value is not None:
            result = value
        elif operator.endswith("-"):
            result = self._nested(word)
        else:
            self.unresolved.append(name)
            result = ""
        self.secrets.extend(secrets_in(value))
        self.unresolved.extend(unresolved_in(value))
        if is_secret_name(name):
            self.secrets.append(str(result))
        self.parts.append(result)

    def _nested(self, word: str) -> str:
        value = interpolate(word, self.variables, self.depth + 1)
        self.secrets.extend(secrets_in(value))
        self.unresolved.extend(unresolved_in(value))
        self.malformed |= isinstance(value, Text) and value.malformed
        return value


def _split_operator(rest: str) -> tuple[str, str] | None:
    """Split what follows the name: nothing, or an operator and a word. None where it is neither."""
    if not rest:
        return "", ""
    operator = _OPERATOR.match(rest)
    return (operator[0], rest[operator.end() :]) if operator else None


def _closing(text: str, start: int) -> int | None:
    """Return the place of the brace that closes the one at `start`."""
    depth = 0
    for index in range(start, min(len(text), start + _MAX_LENGTH)):
        if text[index] == "{" and (index == start or text[index - 1] == "$"):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if not depth:
                return index
    return None
