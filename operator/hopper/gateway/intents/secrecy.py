"""Secret values come in, and never go out: who sends back what was answered, without them, loses none."""

from collections.abc import Iterable
from dataclasses import replace

from hopper.api.service import EnvEntry


def with_known_secrets(entries: Iterable[EnvEntry], before: Iterable[EnvEntry]) -> tuple[EnvEntry, ...]:
    """Return the entries; a secret one without a value keeps the value that the one of its name had before."""
    known = {it.name: it.value for it in before if it.secret}
    return tuple(replace(it, value=known.get(it.name)) if _lacks_value(it) else it for it in entries)


def _lacks_value(entry: EnvEntry) -> bool:
    return bool(entry.secret) and entry.value is None and entry.value_from is None and not entry.remove


def secrets_in(entries: Iterable[EnvEntry]) -> list[str]:
    """Return the values that must not be repeated anywhere."""
    return [it.value for it in entries if it.secret and it.value]
