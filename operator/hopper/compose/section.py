"""Access to the mappings of a model that makes sure that no key is ignored silently."""

from collections.abc import Iterator, Mapping
from typing import Any

from hopper.compose.reading.tracked_text import is_blank
from hopper.compose.report import Report, Reporter

# Keys with this prefix are extensions, which compose ignores.
EXTENSION_PREFIX = "x-"
# In these mappings, a name without a value is meaningful.
_NAMES_WITHOUT_VALUES = frozenset({"environment", "labels", "args", "annotations"})


class Section:
    """A mapping that is read key by key.

    `take` returns a value and marks its key as read. `close` reports all keys that were not read.
    """

    def __init__(self, raw: Mapping[str, Any], reporter: Reporter, path: str = "") -> None:
        self._rest = dict(raw)
        self._path = path
        self.reporter = reporter

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def take(self, key: str) -> Any:
        """Return a value, or None if there is none, and mark the key as read."""
        return self._rest.pop(key, None)

    def below(self, key: str) -> "Section | None":
        """Return a nested mapping as a section, or None if there is none, and mark the key as read."""
        value = self._rest.pop(key, None)
        return Section(value, self.reporter, self.key(key)) if isinstance(value, dict) else None

    def key(self, name: str) -> str:
        """Return the path of a key within the service."""
        return f"{self._path}.{name}" if self._path else name

    def unread(self) -> list[str]:
        """Return the keys that were not read yet."""
        return list(self._rest)

    def drop(self, key: str, message: str, advice: str) -> Any:
        """Return a value as `take` does, and report that it is not carried over."""
        value = self._rest.pop(key, None)
        if value is not None:
            self.reporter.dropped(self.key(key), message, advice)
        return value

    def close(self) -> None:
        """Report every key that was not read."""
        for key in self._rest:
            if key.startswith(EXTENSION_PREFIX):
                self.reporter.note(self.key(key), "the extension has no effect")
            else:
                advice = "Check the spelling; if it is correct, use the HopperTemplate field with the same purpose"
                self.reporter.dropped(self.key(key), "Hopper does not know this key", advice)
        self._rest.clear()


def remove_empty_keys(services: Mapping[str, Any], file: str, report: Report) -> dict[str, Any]:
    """Return the services without empty keys and without values that became empty because a variable has no value.

    Empty keys are noted in the report. A service that is not a mapping is a problem.
    """
    result: dict[str, Any] = {}
    for name, service in services.items():
        reporter = report.reporter_for(file, name)
        if not isinstance(service, dict):
            fix = "write the keys of the service below its name, as in `image: nginx`"
            reporter.problem("", "the service is not a mapping", fix)
            continue
        for key, value in service.items():
            for place in _empty_places(key, value):
                reporter.note(place, "it is empty")
        cleaned = {key: _without_empty(key, value) for key, value in service.items() if value is not None}
        result[name] = {key: value for key, value in cleaned.items() if key == "image" or not is_blank(value)}
    return result


def _empty_places(key: str, value: Any) -> Iterator[str]:
    """Yield the key if it has no value, and the entries of its list that have none."""
    if value is None:
        yield key
    elif isinstance(value, list):
        yield from (f"{key}[{number}]" for number, child in enumerate(value) if child is None)


def _without_empty(key: str, value: Any) -> Any:
    match value:
        case dict() if key in _NAMES_WITHOUT_VALUES:
            return value
        case dict():
            children = {name: _without_empty(name, child) for name, child in value.items()}
            return {name: child for name, child in children.items() if not is_blank(child)}
        case list():
            return [_without_empty(key, child) for child in value if child is not None and not is_blank(child)]
        case _:
            return value
