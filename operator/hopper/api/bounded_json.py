"""Decoding of JSON from outside, so that no value can exceed what later steps can handle.

Go nests JSON up to 10,000 levels deep. In Python, decoding, comparing, copying and encoding recurse, and fail at a
depth that depends on the version and the call stack. Here, every value deeper than `MAX_DECODED_DEPTH` becomes null, a
number that is too large becomes infinity, and half of a surrogate pair becomes U+FFFD. `free_form_problem` finds such
values in the fields that may hold any value, because the limits of these fields are lower.
"""

import json
import math
import re
from json import JSONDecodeError
from typing import Any

# Number of levels of nested objects and lists in a free-form field.
MAX_FREE_FORM_DEPTH = 64
# Larger than the free-form depth and the levels around such a field, so that a cut field still exceeds its limit.
MAX_DECODED_DEPTH = 100
# Python does not parse an integer with more digits.
_MAX_DIGITS = 4300
_LARGEST_INTEGER = 10**308
# No object of the API server has as many, because its size is limited.
_MAX_VALUES = 2_000_000

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NUMBER = rf"[-+.0-9eE]{{{_MAX_DIGITS + 1},}}"
_SCALAR = re.compile(f"{_STRING}|{_NUMBER}", re.DOTALL)
_LONG_NUMBER = re.compile(_NUMBER)
# An innermost object or list is one token, because most tokens of a large text are inside innermost objects and lists.
_FLAT = rf'[\[{{](?:[^\[\]{{}}"]++|{_STRING})*+[\]}}]'
_TOKEN = re.compile(rf'{_FLAT}|[\[\]{{}}]|{_STRING}|{_NUMBER}|"', re.DOTALL)
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"\\(?:u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u[dD][89a-fA-F]{_HEX}{{2}}|.)", re.DOTALL
)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_decoder = json.JSONDecoder()


def decode_json(text: str | bytes) -> Any:
    """Return the value of a JSON text within the limits. Raises `ValueError` if the text is not JSON."""
    text = text if isinstance(text, str) else text.decode()
    start = len(text) - len(text.lstrip())
    value, end = decode_json_at(text, start)
    if rest := text[end:].strip():
        raise JSONDecodeError("Extra data", rest[:20], 0)
    return value


def decode_json_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value within the limits that begins at `start`, and its end.

    Raises `JSONDecodeError` if the value is incomplete or invalid.
    """
    try:
        value, end = _decoder.raw_decode(text, start)
    except JSONDecodeError:
        raise
    except (RecursionError, ValueError):  # too deep, or an integer with too many digits
        reduced, end = _reduce(text, start)
        return _decoder.raw_decode(reduced)[0], end
    if _has_surrogates(text, start, end) or (_may_be_deep(text, start, end) and _is_deep(value)):
        value, _ = _decoder.raw_decode(_reduce(text, start)[0])
    return value, end


def reduce_json(text: bytes) -> bytes:
    """Return a JSON object within the limits as text, unchanged if it cannot exceed them.

    Raises `JSONDecodeError` if the object is incomplete.
    """
    decoded = text.decode()
    if not (
        _may_be_deep(decoded, 0, len(decoded))
        or _has_surrogates(decoded, 0, len(decoded))
        or _LONG_NUMBER.search(decoded)
    ):
        return text
    return _reduce(decoded, 0)[0].encode()


def free_form_problem(value: Any) -> str | None:
    """Return why a free-form value cannot be used, and what to do; None if it can."""
    level, depth, count = [value], 0, 0
    while level:
        depth += 1
        children: list[Any] = []
        for entry in level:
            if isinstance(entry, dict | list | tuple):
                if depth > MAX_FREE_FORM_DEPTH:
                    return f"nested more than {MAX_FREE_FORM_DEPTH} levels deep: flatten it, or store it as text"
                children += [*entry, *entry.values()] if isinstance(entry, dict) else entry
                # YAML aliases can repeat a value any number of times.
                if count + len(children) > _MAX_VALUES:
                    return f"it has more than {_MAX_VALUES} values: shorten it"
            elif problem := _scalar_problem(entry):
                return problem
        level, count = children, count + len(children)
    return None


def check_free_form(value: Any) -> Any:
    """Return a free-form value. Raises `ValueError` if it cannot be used."""
    if problem := free_form_problem(value):
        raise ValueError(problem)
    return value


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number in it is too large or not a number: store it as text"
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return "a number in it is too large: store it as text"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "a text in it is not valid Unicode: correct or remove it"
    return None


def _may_be_deep(text: str, start: int, end: int) -> bool:
    """Whether a JSON text has enough brackets to exceed the depth. Strings with brackets count as well."""
    count = text.count("{", start, end) + text.count("[", start, end)
    if count > MAX_DECODED_DEPTH:  # most brackets of managedFields are empty, and only the innermost can be
        count -= text.count("{}", start, end) + text.count("[]", start, end) - 1
    return count > MAX_DECODED_DEPTH


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DECODED_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if child.__class__ is dict or child.__class__ is list  # twice as fast as isinstance
        ]
        if not level:
            return False
    return True


def _has_surrogates(text: str, start: int, end: int) -> bool:
    return _SURROGATE.search(text, start, end) is not None


def _reduce(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at `start` within the limits as text, and its end in the original text.

    One pass over the text without recursion. Raises `JSONDecodeError` if the value is incomplete.
    """
    pieces: list[str] = []
    depth, copied = 0, start
    for match in _TOKEN.finditer(text, start):
        part = match[0]
        if part in ("{", "["):
            depth += 1
            if depth == MAX_DECODED_DEPTH + 1:
                pieces += text[copied : match.start()], "null"
        elif part in ("}", "]"):
            if depth == MAX_DECODED_DEPTH + 1:
                copied = match.end()
            depth -= 1
        elif part == '"':
            break  # a string without an end
        elif depth <= MAX_DECODED_DEPTH and (reduced := _reduce_flat(part, depth)) != part:
            pieces += text[copied : match.start()], reduced
            copied = match.end()
        if depth <= 0:
            pieces.append(text[copied : match.end()])
            return "".join(pieces), match.end()
    raise JSONDecodeError("Incomplete value", text[start : start + 20], 0)


def _reduce_flat(part: str, depth: int) -> str:
    """Return a string, a long number, or an innermost object or list within the limits."""
    if depth == MAX_DECODED_DEPTH and part[0] in "{[":
        return "null"
    if "\\u" in part or len(part) >= _MAX_DIGITS:
        return _SCALAR.sub(_reduce_scalar, part)
    return part


def _reduce_scalar(match: re.Match[str]) -> str:
    scalar = match[0]
    if scalar[0] == '"':
        return _ESCAPE.sub(_replace_half_pair, scalar)
    digits = scalar.removeprefix("-")
    if digits.isdigit() and len(digits) > _MAX_DIGITS:
        return "-1e999" if scalar[0] == "-" else "1e999"  # decoded as infinity
    return scalar


def _replace_half_pair(match: re.Match[str]) -> str:
    escape = match[0]
    return "\\ufffd" if len(escape) == 6 else escape
