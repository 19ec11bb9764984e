"""Takes out of a model what says nothing: empty keys, and values whose variables have none."""

from collections.abc import Iterator
from typing import Any

from hopper.compose.reading.text import is_blank
from hopper.compose.report import Report

# Below these, a name without a value means something.
_KEPT = frozenset({"environment", "labels", "args", "annotations"})


def clean_services(services: dict[str, Any], file: str, report: Report) -> dict[str, Any]:
    """Return the services without empty keys; each is noted, so that nothing goes silently."""
    result: dict[str, Any] = {}
    for name, service in services.items():
        about = report.about(file, name)
        if not isinstance(service, dict):
            about.problem("", "the service is not a mapping", "write its keys below its name, as in `image: nginx`")
            continue
        for key, value in service.items():
            for place in _empty(key, value):
                about.note(place, "it is empty")
        result[name] = {key: _cleaned(key, value) for key, value in service.items() if value is not None}
        result[name] = {key: value for key, value in result[name].items() if key == "image" or not is_blank(value)}
    return result


def _empty(key: str, value: Any) -> Iterator[str]:
    """Yield where nothing is given for a key, or for an entry of its list."""
    if value is None:
        yield key
    elif isinstance(value, list):
        yield from (f"{key}[{number}]" for number, child in enumerate(value) if child is None)


def _cleaned(key: str, value: Any) -> Any:
    match value:
        case dict() if key in _KEPT:
            return value
        case dict():
            children = {name: _cleaned(name, child) for name, child in value.items()}
            return {name: child for name, child in children.items() if not is_blank(child)}
        case list():
            return [_cleaned(key, child) for child in value if child is not None and not is_blank(child)]
        case _:
            return value
