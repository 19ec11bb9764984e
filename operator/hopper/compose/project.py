"""A compose project as it was loaded, and what its services need to know of it."""

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopper.compose.errors import UnreadableFileError
from hopper.compose.reading.files import FileText, Remembering
from hopper.compose.report import Reporter


@dataclass(frozen=True, slots=True)
class NamedVolume:
    """A volume of the project. `source` is a Kubernetes name; `tmpfs` that it lives in memory; `size` a quantity."""

    source: str
    external: bool = False
    tmpfs: bool = False
    size: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """One compose project. `label` is its file as the user wrote it; `names` maps services to object names."""

    label: str
    directory: Path
    name: str
    files: Remembering
    variables: Mapping[str, str]
    about: Reporter
    services: Mapping[str, Any] = field(default_factory=dict)
    volumes: Mapping[str, NamedVolume] = field(default_factory=dict)
    configs: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    # Services that are run by something else than a container.
    left_out: frozenset[str] = frozenset()
    # The same as `names` for the services of other projects that are imported along with this one.
    other_names: Mapping[str, str] = field(default_factory=dict)
    own_files: tuple[Path, ...] = ()
    # Other YAML files in the directory.
    beside: tuple[Path, ...] = ()

    def read(self, path: str, limit: int) -> FileText:
        """Read a file, relative to the project; not one of its compose files. Raises `UnreadableFileError`."""
        if path.startswith("~"):
            raise UnreadableFileError("lies in a home directory, which is not read")
        wanted = self.directory / path
        if any(wanted.absolute() == own.absolute() for own in self.own_files):
            raise UnreadableFileError("is the compose file itself")
        return self.files.read(wanted, limit)

    def holds(self, path: str) -> bool:
        """Tell whether an absolute path leads to something in the directory, as `docker compose config` writes them."""
        directory = os.path.abspath(self.directory)  # noqa: PTH100 - Path.absolute keeps the ..
        return directory != "/" and os.path.normpath(path).startswith(f"{directory}/")

    def object_name(self, service: str) -> str | None:
        """Return the object name of a service, of this project or else of another one; None if there is none."""
        return self.names.get(service) or self.other_names.get(service)
