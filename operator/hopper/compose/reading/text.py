"""Strings that remember which variables went into them, and how values are written as text."""

import math
from collections.abc import Iterable


class Text(str):
    """A string that variables went into.

    `secrets` are values of variables with a secret-looking name, `unresolved` names of variables without a value,
    `malformed` tells of a `$` that begins no variable. Use `derive` to keep them on a part of the string.
    """

    secrets: tuple[str, ...]
    unresolved: tuple[str, ...]
    malformed: bool

    def __new__(
        cls, value: str, secrets: Iterable[str] = (), unresolved: Iterable[str] = (), malformed: bool = False
    ) -> "Text":
        self = super().__new__(cls, value)
        self.secrets = tuple(dict.fromkeys(filter(None, secrets)))
        self.unresolved = tuple(dict.fromkeys(unresolved))
        self.malformed = malformed
        return self


def derive(value: str, *origins: object) -> str:
    """Return a string with all that is remembered of those that it was made from."""
    known = [origin for origin in origins if isinstance(origin, Text)]
    if not known:
        return value
    return Text(
        value,
        [secret for origin in known for secret in origin.secrets],
        [name for origin in known for name in origin.unresolved],
    )


def secrets_in(value: object) -> tuple[str, ...]:
    """Return the values of secret-looking variables that went into a value."""
    return value.secrets if isinstance(value, Text) else ()


def unresolved_in(value: object) -> tuple[str, ...]:
    """Return the names of variables without a value that a value refers to."""
    return value.unresolved if isinstance(value, Text) else ()


def is_blank(value: object) -> bool:
    """Tell whether nothing is left of a value because its variables have none."""
    return isinstance(value, Text) and bool(value.unresolved) and not value.strip()


def as_text(value: object) -> str:
    """Return a scalar as docker compose would pass it on: booleans in lower case, 1.0 as 1."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if math.isfinite(value):
            return _shortest(value)
        case float():
            return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
        case _:
            return str(value)


def _shortest(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
