"""`.env` and `env_file`: one variable a line, as docker compose reads them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hopper.compose.reading.interpolation import interpolate

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?P<sign>[=:]?)[ \t]*")
_COMMENT = re.compile(r"(^|\s)#.*")
# Within double quotes. Any other backslash stands for itself.
_ESCAPE = re.compile(r"\\(?:0(?P<octal>[0-7]{3})|(?P<char>[abfnrtv$\\]))")
_ESCAPES = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), "$": "$$", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The variables of a file; None where a name stands alone and takes its value from outside.

    `unreadable` are the numbers of lines that say nothing.
    """

    variables: dict[str, str | None] = field(default_factory=dict)
    unreadable: tuple[int, ...] = ()


def parse_env(
    text: str, outside: Mapping[str, str], *, before: Mapping[str, str] | None = None, raw: bool = False
) -> EnvFile:
    """Read the text of a file. Values may refer to `outside`, and else to variables further up, or in files `before`.

    Single quotes prevent it. With `raw`, everything after the `=` is the value.
    """
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    variables: dict[str, str | None] = {}
    unreadable: list[int] = []
    number = 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ASSIGNMENT.match(line)
        if not found or (not found["sign"] and _COMMENT.sub("", line[found.end() :]).strip()):
            unreadable.append(start + 1)
        elif not found["sign"]:
            variables[found["name"]] = outside.get(found["name"])
        elif raw:
            variables[found["name"]] = line.partition(found["sign"])[2]
        else:
            known = {name: value for name, value in variables.items() if value is not None}
            value, number = _value(lines, number, line[found.end() :], {**(before or {}), **known, **outside})
            variables[found["name"]] = value
    return EnvFile(variables, tuple(unreadable))


def _value(lines: list[str], following: int, rest: str, known: Mapping[str, str]) -> tuple[str, int]:
    """Return the value that begins with `rest`, and the number of the line after it."""
    quote = rest[:1]
    if quote in ("'", '"'):
        text = rest
        for end in range(following, len(lines) + 1):
            if (close := _closing_quote(text, quote)) is not None:
                inner = text[1:close].replace(f"\\{quote}", quote)
                return (inner if quote == "'" else interpolate(_unescape(inner), known)), end
            if end < len(lines):
                text += "\n" + lines[end]
    return interpolate(rest.partition(" #")[0].strip(), known), following


def _closing_quote(text: str, quote: str) -> int | None:
    position = 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == quote:
            return position
        position += 1
    return None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match["octal"], 8)) if match["octal"] else _ESCAPES[match["char"]], text)
