"""Adjustment of the relative paths in a model when it becomes part of a project in another directory."""

import os.path
from collections.abc import Callable
from typing import Any

from hopper.compose.reading.short_syntax import parse_short_volume
from hopper.compose.reading.tracked_text import derive_text
from hopper.compose.reading.yaml_documents import ComposeMapping

MovePath = Callable[[Any], Any]


def rebase_model(model: ComposeMapping, prefix: str) -> ComposeMapping:
    """Return a model with its relative paths prefixed. `prefix` leads from the new directory to the old one."""
    if prefix in ("", "."):
        return model
    result = dict(model)
    for section, rebase in (("services", rebase_service), ("configs", _rebase_file), ("secrets", _rebase_file)):
        if isinstance(model.get(section), dict):
            result[section] = {name: rebase(entry, prefix) for name, entry in model[section].items()}
    return result


def rebase_service(service: Any, prefix: str) -> Any:
    """Return a service with its relative paths prefixed."""
    if prefix in ("", ".") or not isinstance(service, dict):
        return service

    def move(path: Any) -> Any:
        return _prefix_path(path, prefix)

    result = dict(service)
    for key, move_paths in _KEYS_WITH_PATHS.items():
        if key in service:
            result[key] = move_paths(service[key], move)
    return result


def _prefix_path(path: Any, prefix: str) -> Any:
    if not isinstance(path, str) or not path or path.startswith(("/", "~", "\\")) or "://" in path:
        return path
    return derive_text(os.path.join(prefix, path), path)  # noqa: PTH118 - Path does not keep a leading ..


def _rebase_file(entry: Any, prefix: str) -> Any:
    if not isinstance(entry, dict) or "file" not in entry:
        return entry
    return entry | {"file": _prefix_path(entry["file"], prefix)}


def _move_each(value: Any, move: MovePath, field: str) -> Any:
    """Move a path, or each path in a list. An entry can also be a mapping with the path in `field`."""
    match value:
        case list():
            return [_move_each(item, move, field) for item in value]
        case dict() if field in value:
            return value | {field: move(value[field])}
        case _:
            return move(value)


def _move_volumes(value: Any, move: MovePath) -> Any:
    return [_move_volume(item, move) for item in value] if isinstance(value, list) else value


def _move_volume(item: Any, move: MovePath) -> Any:
    if isinstance(item, dict):
        return item | {"source": move(item["source"])} if item.get("type") == "bind" and "source" in item else item
    volume = parse_short_volume(item) if isinstance(item, str) else None
    if volume is None or volume.source is None or not volume.source.startswith("."):
        return item
    return derive_text(str(move(volume.source)) + item[len(volume.source) :], item)


def _move_keys(value: Any, move: MovePath) -> Any:
    return {move(name): target for name, target in value.items()} if isinstance(value, dict) else value


_KEYS_WITH_PATHS: dict[str, Callable[[Any, MovePath], Any]] = {
    "env_file": lambda value, move: _move_each(value, move, "path"),
    "label_file": lambda value, move: _move_each(value, move, "path"),
    "extends": lambda value, move: _move_each(value, move, "file") if isinstance(value, dict) else value,
    "volumes": _move_volumes,
    "x-devarch-config": _move_keys,
}
