"""Parser of `.env` and `env_file`, which hold one variable per line, as docker compose reads them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hopper.compose.reading.interpolation import interpolate

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?P<sign>[=:]?)[ \t]*")
_COMMENT = re.compile(r"(^|\s)#.*")
# Escapes inside double quotes. Any other backslash is kept.
_ESCAPE = re.compile(r"\\(?:0(?P<octal>[0-7]{3})|(?P<char>[abfnrtv$\\]))")
_ESCAPES = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), "$": "$$", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class EnvFile:
    """Variables of a file. A name without `=` has the value from outside, or None.

    `invalid_lines` holds the numbers of the lines that are not assignments.
    """

    variables: dict[str, str | None] = field(default_factory=dict)
    invalid_lines: tuple[int, ...] = ()


def parse_env_file(
    text: str, outside: Mapping[str, str], *, before: Mapping[str, str] | None = None, raw: bool = False
) -> EnvFile:
    """Parse the text of a file.

    Args:
        text: Content of the file.
        outside: Variables that values refer to first.
        before: Variables of earlier files, which values refer to last, after earlier lines of this file.
        raw: Take everything after the `=` literally.

    References in single quotes are not replaced.
    """
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    variables: dict[str, str | None] = {}
    invalid_lines: list[int] = []
    number = 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.match(line)
        if not match or (not match["sign"] and _COMMENT.sub("", line[match.end() :]).strip()):
            invalid_lines.append(start + 1)
        elif not match["sign"]:
            variables[match["name"]] = outside.get(match["name"])
        elif raw:
            variables[match["name"]] = line.partition(match["sign"])[2]
        else:
            known = {name: value for name, value in variables.items() if value is not None}
            value, number = _parse_value(lines, number, line[match.end() :], {**(before or {}), **known, **outside})
            variables[match["name"]] = value
    return EnvFile(variables, tuple(invalid_lines))


def _parse_value(lines: list[str], next_line: int, rest: str, known: Mapping[str, str]) -> tuple[str, int]:
    """Return the value that begins with `rest` and may continue on the next lines, and the index of the line after."""
    quote = rest[:1]
    if quote in ("'", '"'):
        text = rest
        for end in range(next_line, len(lines) + 1):
            if (close := _find_closing_quote(text, quote)) is not None:
                inner = text[1:close].replace(f"\\{quote}", quote)
                return (inner if quote == "'" else interpolate(_unescape(inner), known)), end
            if end < len(lines):
                text += "\n" + lines[end]
    return interpolate(rest.partition(" #")[0].strip(), known), next_line


def _find_closing_quote(text: str, quote: str) -> int | None:
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
