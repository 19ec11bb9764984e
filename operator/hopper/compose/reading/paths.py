"""Relative paths of a compose file, seen from the directory of another one."""

import os.path
from collections.abc import Callable
from typing import Any

from hopper.compose.reading.syntax import split_volume
from hopper.compose.reading.text import derive

Raw = dict[str, Any]
Move = Callable[[Any], Any]


def rebase_model(model: Raw, prefix: str) -> Raw:
    """Return a model with its relative paths seen from a directory where its own is called `prefix`."""
    if prefix in ("", "."):
        return model
    result = dict(model)
    for section, rebase in (("services", rebase_service), ("configs", _rebase_file), ("secrets", _rebase_file)):
        if isinstance(model.get(section), dict):
            result[section] = {name: rebase(entry, prefix) for name, entry in model[section].items()}
    return result


def rebase_service(service: Any, prefix: str) -> Any:
    """The same for one service."""
    if prefix in ("", ".") or not isinstance(service, dict):
        return service

    def move(path: Any) -> Any:
        return _moved(path, prefix)

    result = dict(service)
    for key, change in _PLACES.items():
        if key in service:
            result[key] = change(service[key], move)
    return result


def _moved(path: Any, prefix: str) -> Any:
    if not isinstance(path, str) or not path or path.startswith(("/", "~", "\\")) or "://" in path:
        return path
    return derive(os.path.join(prefix, path), path)  # noqa: PTH118 - may begin with .., which Path would not keep


def _rebase_file(entry: Any, prefix: str) -> Any:
    if not isinstance(entry, dict) or "file" not in entry:
        return entry
    return entry | {"file": _moved(entry["file"], prefix)}


def _each(value: Any, move: Move, field: str) -> Any:
    """Move a path, a list of paths, or of mappings with a path."""
    match value:
        case list():
            return [_each(item, move, field) for item in value]
        case dict() if field in value:
            return value | {field: move(value[field])}
        case _:
            return move(value)


def _volumes(value: Any, move: Move) -> Any:
    return [_volume(item, move) for item in value] if isinstance(value, list) else value


def _volume(item: Any, move: Move) -> Any:
    if isinstance(item, dict):
        return item | {"source": move(item["source"])} if item.get("type") == "bind" and "source" in item else item
    volume = split_volume(item) if isinstance(item, str) else None
    if volume is None or volume.source is None or not volume.source.startswith("."):
        return item
    return derive(str(move(volume.source)) + item[len(volume.source) :], item)


def _config_names(value: Any, move: Move) -> Any:
    return {move(name): target for name, target in value.items()} if isinstance(value, dict) else value


_PLACES: dict[str, Callable[[Any, Move], Any]] = {
    "env_file": lambda value, move: _each(value, move, "path"),
    "label_file": lambda value, move: _each(value, move, "path"),
    "extends": lambda value, move: _each(value, move, "file") if isinstance(value, dict) else value,
    "volumes": _volumes,
    "x-devarch-config": _config_names,
}
