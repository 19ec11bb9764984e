"""Strings that keep track of the variables inserted into them, and the conversion of scalars to text."""

import math
from collections.abc import Iterable

# Beyond this value, docker compose writes floats in scientific notation.
_MAX_PLAIN_FLOAT = 1e21


class TrackedText(str):
    """A string that variables were inserted into. Use `derive_text` to keep the attributes on a part of the string.

    Attributes:
        secrets: Values of variables whose names look like those of secrets.
        unresolved: Names of variables without a value.
        malformed: Whether the string contains a `$` that does not begin a variable.
    """

    secrets: tuple[str, ...]
    unresolved: tuple[str, ...]
    malformed: bool

    def __new__(
        cls, value: str, secrets: Iterable[str] = (), unresolved: Iterable[str] = (), malformed: bool = False
    ) -> "TrackedText":
        self = super().__new__(cls, value)
        self.secrets = tuple(dict.fromkeys(filter(None, secrets)))
        self.unresolved = tuple(dict.fromkeys(unresolved))
        self.malformed = malformed
        return self


def derive_text(value: str, *origins: object) -> str:
    """Return a string with the secrets and unresolved variables of the strings it was made from."""
    tracked = [origin for origin in origins if isinstance(origin, TrackedText)]
    if not tracked:
        return value
    return TrackedText(
        value,
        [secret for origin in tracked for secret in origin.secrets],
        [name for origin in tracked for name in origin.unresolved],
    )


def tracked_secrets(value: object) -> tuple[str, ...]:
    """Return the secret values of variables that were inserted into a value."""
    return value.secrets if isinstance(value, TrackedText) else ()


def unresolved_variables(value: object) -> tuple[str, ...]:
    """Return the names of the variables in a value that have no value themselves."""
    return value.unresolved if isinstance(value, TrackedText) else ()


def is_blank(value: object) -> bool:
    """Whether a value is empty because its variables have no values."""
    return isinstance(value, TrackedText) and bool(value.unresolved) and not value.strip()


def as_text(value: object) -> str:
    """Return a scalar as docker compose writes it: booleans in lower case, 1.0 as 1."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if math.isfinite(value):
            return _float_text(value)
        case float():
            return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
        case _:
            return str(value)


def _float_text(value: float) -> str:
    if value == int(value) and abs(value) < _MAX_PLAIN_FLOAT:
        return str(int(value))
    return repr(value)
