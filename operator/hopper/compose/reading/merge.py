"""One compose file on top of another: override files, further documents, `extends`.

The rules are those of the Compose Specification: mappings are merged by key, lists are appended, with the exceptions
below; `!override` replaces and `!reset` removes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hopper.compose.reading.documents import Override
from hopper.compose.reading.syntax import split_port, split_volume
from hopper.compose.reading.text import as_text, derive

Raw = dict[str, Any]
Path = tuple[str, ...]

_REPLACED: frozenset[Path] = frozenset({("command",), ("entrypoint",), ("healthcheck", "test")})
_ASSIGNMENTS: frozenset[Path] = frozenset(
    {
        *(("environment",), ("labels",), ("annotations",), ("sysctls",), ("extra_hosts",)),
        *(("build", "args"), ("build", "labels"), ("deploy", "labels")),
    }
)
_STRING_OR_LIST: frozenset[Path] = frozenset({("env_file",), ("label_file",), ("dns",), ("dns_search",), ("tmpfs",)})


def merge_models(base: Raw, above: Raw) -> Raw:
    """Return a whole compose model with another one merged into it."""
    return _mappings(base, above, _merge_top_level)


def _merge_top_level(key: str, base: Any, above: Any) -> Any:
    if key == "include":
        return [entry for value in (base, above) for entry in (value if isinstance(value, list) else [value])]
    return merge_sections(base, above) if key in _SECTIONS else above


def merge_sections(base: Any, above: Any) -> Any:
    """Return a section of named entries, such as `services`, with another one merged into it."""
    if not isinstance(base, dict) or not isinstance(above, dict):
        return above
    return _mappings(base, above, lambda _, old, new: merge_service(old, new))


def merge_service(base: Any, above: Any) -> Any:
    """Return a service (or another named entry) with another one merged into it."""
    return _merged(base, above, ())


def without_tags(value: Any) -> Any:
    """Return a value with `!override` and `!reset` carried out, now that there is nothing left to merge."""
    match value:
        case Override():
            return without_tags(value.value)
        case dict():
            return {key: without_tags(child) for key, child in value.items() if not _is_reset(child)}
        case list():
            return [without_tags(child) for child in value if not _is_reset(child)]
        case _:
            return value


def as_assignments(value: Any) -> Raw | None:
    """Return `[NAME=value, …]` or a mapping as a mapping; a name alone has None. None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        return None
    pairs = (as_text(item).partition("=") for item in value if item is not None)
    origins = [item for item in value if item is not None]
    return {
        name.strip(): derive(text, origin) if sign else None
        for (name, sign, text), origin in zip(pairs, origins, strict=True)
    }


def as_names(value: Any, default: Any = None) -> Raw | None:
    """Return `[name, …]` or a mapping as a mapping from name to details. None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        return None
    return {as_text(item): default for item in value if item is not None}


_SECTIONS = frozenset({"services", "volumes", "networks", "configs", "secrets", "models", "jobs"})


def _is_reset(value: Any) -> bool:
    return isinstance(value, Override) and value.value is None


def _mappings(base: Mapping[str, Any], above: Mapping[str, Any], merge: Callable[[str, Any, Any], Any]) -> Raw:
    result = dict(base)
    for key, value in above.items():
        if _is_reset(value):
            result.pop(key, None)
        elif isinstance(value, Override):
            result[key] = value.value
        else:
            result[key] = merge(key, result[key], value) if key in result else value
    return result


def _merged(base: Any, above: Any, path: Path) -> Any:
    if above is None:
        return base
    if base is None or path in _REPLACED or isinstance(base, Override):
        return above
    if path in _ASSIGNMENTS:
        base, above = as_assignments(base) or base, as_assignments(above) or above
    elif path == ("depends_on",):
        started = {"condition": "service_started"}
        base, above = as_names(base, started) or base, as_names(above, started) or above
    elif path in (("networks",), ("models",)):
        base, above = as_names(base) or base, as_names(above) or above
    elif path in _STRING_OR_LIST:
        base, above = ([value] if isinstance(value, str) else value for value in (base, above))
    if isinstance(base, dict) and isinstance(above, dict):
        if path == ("logging",) and base.get("driver") != above.get("driver", base.get("driver")):
            return above
        return _mappings(base, above, lambda key, old, new: _merged(old, new, (*path, key)))
    if isinstance(base, list) and isinstance(above, list):
        return _lists(base, above, _KEYS.get(path, lambda item: item))
    return above


def _lists(base: list[Any], above: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    """Append; an entry with the key of an earlier one takes its place."""
    result: list[tuple[Any, Any]] = [(key(item), item) for item in base]
    for item in above:
        own = key(item)
        place = next((index for index, (known, _) in enumerate(result) if known == own), None)
        if place is None:
            result.append((own, item))
        else:
            result[place] = (own, item)
    return [item for _, item in result]


def _volume_key(item: Any) -> Any:
    if isinstance(item, dict):
        return item.get("target", item)
    volume = split_volume(as_text(item))
    return volume.target if volume else item


def _port_key(item: Any) -> Any:
    if isinstance(item, dict):
        return tuple(as_text(item.get(field)) for field in ("target", "published", "host_ip", "protocol"))
    port = split_port(as_text(item))
    return (port.target, port.published or "", port.host_ip or "", port.protocol or "") if port else item


def _mounted_key(item: Any) -> Any:
    return item.get("target") or item.get("source") if isinstance(item, dict) else item


_KEYS: dict[Path, Callable[[Any], Any]] = {
    ("volumes",): _volume_key,
    ("ports",): _port_key,
    ("configs",): _mounted_key,
    ("secrets",): _mounted_key,
}
