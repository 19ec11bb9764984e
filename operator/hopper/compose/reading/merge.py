"""Merge of compose models and services, by the rules of the Compose Specification.

Override files, further documents and `extends` are merged. Mappings are merged by key, and lists are appended, with the
exceptions below. `!override` replaces a value, and `!reset` removes one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hopper.compose.reading.short_syntax import parse_short_port, parse_short_volume
from hopper.compose.reading.tracked_text import as_text, derive_text
from hopper.compose.reading.yaml_documents import ComposeMapping, OverrideTag

KeyPath = tuple[str, ...]

_SECTIONS = frozenset({"services", "volumes", "networks", "configs", "secrets", "models", "jobs"})
# Values that are replaced as a whole.
_REPLACED: frozenset[KeyPath] = frozenset({("command",), ("entrypoint",), ("healthcheck", "test")})
# Lists of `NAME=value` that are merged as mappings.
_ASSIGNMENTS: frozenset[KeyPath] = frozenset(
    {
        *(("environment",), ("labels",), ("annotations",), ("sysctls",), ("extra_hosts",)),
        *(("build", "args"), ("build", "labels"), ("deploy", "labels")),
    }
)
_STRING_OR_LIST: frozenset[KeyPath] = frozenset({("env_file",), ("label_file",), ("dns",), ("dns_search",), ("tmpfs",)})


def merge_models(base: ComposeMapping, override: ComposeMapping) -> ComposeMapping:
    """Return a compose model with another one merged into it."""
    return _merge_mappings(base, override, _merge_top_level)


def merge_service(base: Any, override: Any) -> Any:
    """Return a service, or another named entry, with another one merged into it."""
    return _merge_values(base, override, ())


def apply_tags(value: Any) -> Any:
    """Return a value with `!override` and `!reset` applied, after everything is merged."""
    match value:
        case OverrideTag():
            return apply_tags(value.value)
        case dict():
            return {key: apply_tags(child) for key, child in value.items() if not _is_reset(child)}
        case list():
            return [apply_tags(child) for child in value if not _is_reset(child)]
        case _:
            return value


def parse_assignments(value: Any) -> ComposeMapping | None:
    """Return a mapping or a list `[NAME=value, …]` as a mapping. A name without a value has None.

    Return None for any other value.
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        return None
    items = [item for item in value if item is not None]
    pairs = (as_text(item).partition("=") for item in items)
    return {
        name.strip(): derive_text(text, item) if sign else None
        for (name, sign, text), item in zip(pairs, items, strict=True)
    }


def parse_names(value: Any, default: Any = None) -> ComposeMapping | None:
    """Return a mapping or a list `[name, …]` as a mapping from names to details, or None for any other value."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        return None
    return {as_text(item): default for item in value if item is not None}


def _merge_top_level(key: str, base: Any, override: Any) -> Any:
    if key == "include":
        return [entry for value in (base, override) for entry in (value if isinstance(value, list) else [value])]
    return _merge_sections(base, override) if key in _SECTIONS else override


def _merge_sections(base: Any, override: Any) -> Any:
    """Return a section of named entries, such as `services`, with another one merged into it."""
    if not isinstance(base, dict) or not isinstance(override, dict):
        return override
    return _merge_mappings(base, override, lambda _, old, new: merge_service(old, new))


def _is_reset(value: Any) -> bool:
    return isinstance(value, OverrideTag) and value.value is None


def _merge_mappings(
    base: Mapping[str, Any], override: Mapping[str, Any], merge: Callable[[str, Any, Any], Any]
) -> ComposeMapping:
    """Return a mapping with another one merged into it. `merge` combines the values of keys that both have."""
    result = dict(base)
    for key, value in override.items():
        if _is_reset(value):
            result.pop(key, None)
        elif isinstance(value, OverrideTag):
            result[key] = value.value
        else:
            result[key] = merge(key, result[key], value) if key in result else value
    return result


def _merge_values(base: Any, override: Any, path: KeyPath) -> Any:
    if override is None:
        return base
    if base is None or path in _REPLACED or isinstance(base, OverrideTag):
        return override
    if path in _ASSIGNMENTS:
        base, override = parse_assignments(base) or base, parse_assignments(override) or override
    elif path == ("depends_on",):
        started = {"condition": "service_started"}
        base, override = parse_names(base, started) or base, parse_names(override, started) or override
    elif path in (("networks",), ("models",)):
        base, override = parse_names(base) or base, parse_names(override) or override
    elif path in _STRING_OR_LIST:
        base, override = ([value] if isinstance(value, str) else value for value in (base, override))
    if isinstance(base, dict) and isinstance(override, dict):
        # The options of one logging driver have no meaning for another one.
        if path == ("logging",) and base.get("driver") != override.get("driver", base.get("driver")):
            return override
        return _merge_mappings(base, override, lambda key, old, new: _merge_values(old, new, (*path, key)))
    if isinstance(base, list) and isinstance(override, list):
        return _merge_lists(base, override, _IDENTITIES.get(path, lambda item: item))
    return override


def _merge_lists(base: list[Any], override: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """Return a list with another one appended. An entry with the identity of an earlier one replaces it."""
    result: list[tuple[Any, Any]] = [(identity(item), item) for item in base]
    for item in override:
        own = identity(item)
        index = next((index for index, (known, _) in enumerate(result) if known == own), None)
        if index is None:
            result.append((own, item))
        else:
            result[index] = (own, item)
    return [item for _, item in result]


def _volume_identity(item: Any) -> Any:
    if isinstance(item, dict):
        return item.get("target", item)
    volume = parse_short_volume(as_text(item))
    return volume.target if volume else item


def _port_identity(item: Any) -> Any:
    if isinstance(item, dict):
        return tuple(as_text(item.get(field)) for field in ("target", "published", "host_ip", "protocol"))
    port = parse_short_port(as_text(item))
    return (port.target, port.published or "", port.host_ip or "", port.protocol or "") if port else item


def _file_identity(item: Any) -> Any:
    return item.get("target") or item.get("source") if isinstance(item, dict) else item


_IDENTITIES: dict[KeyPath, Callable[[Any], Any]] = {
    ("volumes",): _volume_identity,
    ("ports",): _port_identity,
    ("configs",): _file_identity,
    ("secrets",): _file_identity,
}
