"""Formats of names, paths and texts that several kinds of entries share.

Each `*_error` function returns what is wrong with a value and how to fix it, None if the value is valid.
"""

import re
from collections.abc import Iterator
from posixpath import normpath

from hopper.api.service import EnvSource

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_MAX_SUBDOMAIN = 253


def object_name_error(name: str) -> str | None:
    """Check the name of a Kubernetes object."""
    if _SUBDOMAIN.fullmatch(name) and len(name) <= _MAX_SUBDOMAIN:
        return None
    return "is not a valid object name: use lower-case letters, digits, - and ."


def key_error(key: str) -> str | None:
    """Check a key of a Secret or ConfigMap."""
    if _KEY.fullmatch(key) and not key.startswith("..") and key != ".":
        return None
    return "is not a valid key of a Secret or ConfigMap: use letters, digits, -, _ and ."


def source_errors(source: EnvSource, field: str) -> Iterator[tuple[str, str]]:
    """Check a reference to a key of a Secret or ConfigMap. Yield the path below `field` with each error."""
    refs = {"secretKeyRef": source.secret_key_ref, "configMapKeyRef": source.config_map_key_ref}
    sources = {name: ref for name, ref in refs.items() if ref is not None}
    if len(sources) != 1:
        yield field, "needs exactly one of secretKeyRef and configMapKeyRef: set one and remove the other"
    for name, ref in sources.items():
        if error := object_name_error(ref.name):
            yield f"{field}.{name}.name", error
        if error := key_error(ref.key):
            yield f"{field}.{name}.key", error


def process_text_error(text: str) -> str | None:
    """Check a text that is passed to a process, as an argument or an environment variable."""
    return "contains a zero byte, which would end the text for the process: remove it" if "\0" in text else None


def container_path_error(path: str) -> str | None:
    """Check an absolute path inside the container. One `/` at its end is valid."""
    if not path.startswith("/"):
        return "is not an absolute path: begin it with /"
    if ".." in path.split("/"):
        return "contains '..': use the path without '..'"
    if ":" in path or _CONTROL_CHARACTER.search(path):
        return "contains a colon or a control character, which a mount path cannot have: rename it"
    # POSIX and normpath keep two slashes at the start, but Linux reads them as one.
    if path.startswith("//") or normpath(path) != (path.rstrip("/") or "/"):
        return f"is not a normalized path: use {normpath('/' + path.lstrip('/'))}"
    return None


def lies_within(path: str, directory: str) -> bool:
    """Whether a path is the directory itself or below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
