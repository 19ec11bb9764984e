"""A mapping of the input that is read key by key, so that what nobody reads can be reported."""

from collections.abc import Mapping
from typing import Any

from hopper.compose.report import Reporter

EXTENSION = "x-"


class Section:
    """One mapping. `take` what is understood, then `close`: the rest goes into the report."""

    def __init__(self, raw: Mapping[str, Any], about: Reporter, path: str = "") -> None:
        self._rest = dict(raw)
        self._path = path
        self.about = about

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def take(self, key: str) -> Any:
        """Return a value and count it as read; None where there is none."""
        return self._rest.pop(key, None)

    def below(self, key: str) -> "Section | None":
        """Return a nested mapping as a section of its own; None where there is none."""
        value = self._rest.pop(key, None)
        return Section(value, self.about, self.key(key)) if isinstance(value, dict) else None

    def key(self, name: str) -> str:
        """Return the path of a key within the service."""
        return f"{self._path}.{name}" if self._path else name

    def unread(self) -> list[str]:
        """Return the keys that nobody has read so far."""
        return list(self._rest)

    def drop(self, key: str, message: str, advice: str) -> Any:
        """Count a key as read, and report that it is not carried over; nothing happens where there is none."""
        value = self._rest.pop(key, None)
        if value is not None:
            self.about.dropped(self.key(key), message, advice)
        return value

    def close(self) -> None:
        """Report every key that nobody has read."""
        for key in self._rest:
            if key.startswith(EXTENSION):
                self.about.note(self.key(key), "an extension, which means nothing by itself")
            else:
                advice = "Check how it is spelled; if it is right, find the field of HopperTemplate that does the same"
                self.about.dropped(self.key(key), "Hopper does not know this key", advice)
        self._rest.clear()
