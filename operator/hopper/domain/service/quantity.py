"""Kubernetes quantities: parsing, and the canonical form that the API server writes."""

import re
from functools import lru_cache

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?")
# Results of `nanos` for 1 (a CPU or a byte), and for 1m (the smallest amount of CPU).
NANOS_PER_UNIT = 10**9
NANOS_PER_MILLI = 10**6
_DECIMAL_EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_EXPONENTS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@lru_cache(maxsize=4096)
def nanos(quantity: str) -> int:
    """Return the value in billionths, rounded up as Kubernetes does.

    Raises:
        ValueError: The text is not a quantity.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"not a quantity: {quantity}")
    whole, _, fraction = match[1].partition(".")
    digits, suffix = int(whole + fraction), match[2] or ""
    if suffix in _BINARY_EXPONENTS:
        numerator, power = digits << _BINARY_EXPONENTS[suffix], 9
    else:
        numerator, power = digits, 9 + (_DECIMAL_EXPONENTS[suffix] if suffix in _DECIMAL_EXPONENTS else int(suffix[1:]))
    power -= len(fraction)
    scale: int = 10 ** abs(power)
    return numerator * scale if power >= 0 else -(-numerator // scale)


@lru_cache(maxsize=4096)
def canonical_quantity(quantity: str) -> str:
    """Return the quantity as the API server writes it: `1000m` as `1`, `0.5Gi` as `512Mi`."""
    value = nanos(quantity)
    if quantity.endswith("i") and value >= 1024 * NANOS_PER_UNIT:
        return _binary_quantity(-(-value // NANOS_PER_UNIT))
    if not value:
        return "0"
    exponent = -9
    while value % 1000 == 0 and exponent < 18:
        value, exponent = value // 1000, exponent + 3
    return f"{value}{next(suffix for suffix, power in _DECIMAL_EXPONENTS.items() if power == exponent)}"


def _binary_quantity(value: int) -> str:
    suffix = ""
    for larger_suffix in _BINARY_EXPONENTS:
        if value % 1024:
            break
        value, suffix = value // 1024, larger_suffix
    return f"{value}{suffix}"
