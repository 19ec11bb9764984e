"""A loaded compose project, and the Kubernetes names of its services and volumes."""

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hopper.compose.reading.file_readers import FileText, RecordingReader, UnreadableFileError
from hopper.compose.report import Reporter

MAX_NAME = 63
_HASH_LENGTH = 6


@dataclass(frozen=True, slots=True)
class NamedVolume:
    """A volume at the top level of a project.

    `source` is its Kubernetes name, `tmpfs` is whether it is kept in memory, and `size` is a Kubernetes quantity.
    """

    source: str
    external: bool = False
    tmpfs: bool = False
    size: str | None = None


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A compose project.

    `label` is the path of its compose file as the user wrote it, and `names` maps its services to object names.
    """

    label: str
    directory: Path
    name: str
    files: RecordingReader
    variables: Mapping[str, str]
    reporter: Reporter
    services: Mapping[str, Any] = field(default_factory=dict)
    volumes: Mapping[str, NamedVolume] = field(default_factory=dict)
    configs: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    # Services that a provider runs instead of a container.
    left_out: frozenset[str] = frozenset()
    # Object names of the services of the other projects in the same import.
    other_names: Mapping[str, str] = field(default_factory=dict)
    own_files: tuple[Path, ...] = ()
    # Other YAML files in the directory.
    beside: tuple[Path, ...] = ()

    def read(self, path: str, limit: int) -> FileText:
        """Return a file by its path relative to the project.

        Raises `UnreadableFileError`, also for the compose files of the project and for paths in a home directory.
        """
        if path.startswith("~"):
            raise UnreadableFileError("is in a home directory, which Hopper does not read")
        file = self.directory / path
        if any(file.absolute() == own.absolute() for own in self.own_files):
            raise UnreadableFileError("is the compose file itself")
        return self.files.read(file, limit)

    def contains(self, path: str) -> bool:
        """Whether an absolute path is below the directory, as in the output of `docker compose config`."""
        directory = os.path.abspath(self.directory)  # noqa: PTH100 - Path.absolute keeps the ..
        return directory != "/" and os.path.normpath(path).startswith(f"{directory}/")

    def object_name(self, service: str) -> str | None:
        """Return the object name of a service in this project, or else in another project of the import."""
        return self.names.get(service) or self.other_names.get(service)


def kubernetes_name(text: str, limit: int = MAX_NAME) -> str:
    """Return a text as a DNS label of at most `limit` characters; a shortened label ends in a hash of the text."""
    label = re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-") or "x"
    if len(label) <= limit:
        return label
    digest = blake2b(text.encode(errors="replace"), digest_size=_HASH_LENGTH // 2).hexdigest()
    return f"{label[: limit - _HASH_LENGTH - 1].rstrip('-')}-{digest}"


def compose_project_name(text: str) -> str:
    """Return the project name that docker compose derives from the name of a directory."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).strip("_-") or "project"


class NameAllocator:
    """Allocator of unique Kubernetes names. The second request for `name` gets `name-2`."""

    def __init__(self, limit: int = MAX_NAME) -> None:
        self._limit = limit
        self._taken: set[str] = set()

    def allocate(self, text: str) -> str:
        """Return a name that is not taken yet, and mark it as taken."""
        name, number = kubernetes_name(text, self._limit), 1
        while name in self._taken:
            number += 1
            suffix = f"-{number}"
            name = kubernetes_name(text, self._limit - len(suffix)) + suffix
        self._taken.add(name)
        return name
