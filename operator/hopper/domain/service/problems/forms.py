"""The forms that names, paths and texts must have, said once for all kinds of entry. Each returns what is wrong."""

import re
from collections.abc import Iterator
from posixpath import normpath

from hopper.api.service import EnvSource

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_SUBDOMAIN = 253


def wrong_object_name(name: str) -> str | None:
    """Judge the name of an object in the namespace."""
    if _SUBDOMAIN.fullmatch(name) and len(name) <= _MAX_SUBDOMAIN:
        return None
    return "is not the name of an object: use lower-case letters, digits, - and ."


def wrong_key(key: str) -> str | None:
    """Judge a key within a Secret or ConfigMap."""
    if _KEY.fullmatch(key) and not key.startswith("..") and key != ".":
        return None
    return "is not the key of a Secret or ConfigMap: use letters, digits, -, _ and ."


def wrong_source(source: EnvSource, field: str) -> Iterator[tuple[str, str]]:
    """Judge a reference to a key of a Secret or ConfigMap; yield the field with what is wrong with it."""
    refs = {"secretKeyRef": source.secret_key_ref, "configMapKeyRef": source.config_map_key_ref}
    given = {name: ref for name, ref in refs.items() if ref is not None}
    if len(given) != 1:
        yield field, "takes exactly one of secretKeyRef and configMapKeyRef: set one, remove the other"
    for name, ref in given.items():
        if wrong := wrong_object_name(ref.name):
            yield f"{field}.{name}.name", wrong
        if wrong := wrong_key(ref.key):
            yield f"{field}.{name}.key", wrong


def wrong_text(text: str) -> str | None:
    """Judge a text that a process is to get."""
    return "holds a zero byte, at which a process would see it end: remove it" if "\0" in text else None


def wrong_path(path: str) -> str | None:
    """Judge an absolute path inside the container. One `/` at its end is allowed."""
    if not path.startswith("/"):
        return "is not absolute: begin it with /"
    if ".." in path.split("/"):
        return "goes up with '..': write the path that is meant"
    if ":" in path or _CONTROL.search(path):
        return "holds a colon or a control character, which no mount can have: rename it"
    if normpath(path) != (path.rstrip("/") or "/"):
        return f"is written in a roundabout way: write {normpath(path)}"
    return None


def lies_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory itself, or somewhere below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
