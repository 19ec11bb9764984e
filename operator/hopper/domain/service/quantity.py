"""Kubernetes quantities: their value, and the one way in which the API server writes it."""

import re
from functools import lru_cache

_FORM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?")
_NANO = 10**9
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@lru_cache(maxsize=4096)
def nanos(quantity: str) -> int:
    """Return the value in billionths, rounded up as Kubernetes does. Raises `ValueError` for what is no quantity."""
    found = _FORM.fullmatch(quantity)
    if found is None:
        raise ValueError(f"not a quantity: {quantity}")
    whole, _, fraction = found[1].partition(".")
    digits, suffix = int(whole + fraction), found[2] or ""
    if suffix in _BINARY:
        numerator, power = digits << _BINARY[suffix], 9
    else:
        numerator, power = digits, 9 + (_DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:]))
    power -= len(fraction)
    scale: int = 10 ** abs(power)
    return numerator * scale if power >= 0 else -(-numerator // scale)


@lru_cache(maxsize=4096)
def canonical(quantity: str) -> str:
    """Return the same quantity as the API server writes it: `1000m` → `1`, `0.5Gi` → `512Mi`."""
    value = nanos(quantity)
    if quantity.endswith("i") and value >= 1024 * _NANO:
        return _binary(-(-value // _NANO))
    exponent = -9
    while value and value % 1000 == 0 and exponent < 18:
        value, exponent = value // 1000, exponent + 3
    return f"{value}{next(suffix for suffix, power in _DECIMAL.items() if power == exponent)}" if value else "0"


def _binary(value: int) -> str:
    suffix = ""
    for step in _BINARY:
        if value % 1024:
            break
        value, suffix = value // 1024, step
    return f"{value}{suffix}"
