"""Plain YAML scalars as docker compose reads them: YAML 1.2, with the octal numbers of 1.1.

So `yes`, `on` and `22:22` are text here, which YAML 1.1 would take for a boolean and a number of seconds.
"""

import math
import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_OCTAL = re.compile(r"([-+]?)0o?([0-7][0-7_]*)")
_HEXADECIMAL = re.compile(r"([-+]?)0x([0-9a-fA-F][0-9a-fA-F_]*)")
_BINARY = re.compile(r"([-+]?)0b([01][01_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
# Longer numbers are identifiers, and Python refuses to convert very long ones.
_MAX_DIGITS = 64

Scalar = str | int | float | bool | None


def plain_scalar(text: str) -> Scalar:
    """Return what an unquoted scalar means."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= _MAX_DIGITS and (text[0].isdigit() or text[0] in "-+."):
        return _number(text)
    return text


def _number(text: str) -> Scalar:
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    for pattern, base in ((_OCTAL, 8), (_HEXADECIMAL, 16), (_BINARY, 2)):
        if match := pattern.fullmatch(text):
            return int(match[1] + match[2].replace("_", ""), base)
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    if text in (".nan", ".NaN", ".NAN"):
        return math.nan
    # A number with leading zeros that is not octal, such as 08, is left as it is written.
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
