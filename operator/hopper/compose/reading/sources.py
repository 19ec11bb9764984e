"""Search for the compose files that make up each project."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hopper.compose.reading.dotenv import parse_env_file
from hopper.compose.reading.file_readers import MAX_COMPOSE_BYTES, DirectoryReader, FileReader, UnreadableFileError
from hopper.compose.report import Report

_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDE_FILES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)
_SUFFIXES = (".yaml", ".yml")
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class ProjectSource:
    """Files of a project: its compose file, followed by those that are merged into it.

    `beside` are other YAML files in the directory. `dot_env` is the `.env` file that names the compose files.
    """

    files: tuple[Path, ...]
    beside: tuple[Path, ...] = ()
    dot_env: Path | None = None

    @property
    def label(self) -> str:
        """Path of the compose file as the user wrote it, for reports."""
        return str(self.files[0])

    @property
    def env_files(self) -> tuple[Path, ...]:
        """Files with variables, in ascending order of precedence."""
        own = self.directory / ".env"
        return (own, self.dot_env) if self.dot_env not in (None, own) else (own,)

    @property
    def named(self) -> tuple[Path, ...]:
        """Files that may be read outside the root directory as well."""
        return (*self.files, *([self.dot_env] if self.dot_env else []))

    @property
    def directory(self) -> Path:
        """Directory that relative paths refer to."""
        return self.files[0].parent


def open_project_directory(source: ProjectSource) -> FileReader:
    """Return a reader for the files of a project and all files below its directory."""
    return DirectoryReader(source.directory, source.named)


def find_project_sources(paths: Iterable[Path], report: Report) -> list[ProjectSource]:
    """Return the projects for compose files and directories; a path without compose files is a problem.

    As with docker compose, the project of a directory consists of its compose file and the override file beside it, or
    of the files that COMPOSE_FILE in its `.env` names. A directory without a compose file has one project for each YAML
    file in it or, if there are none, the projects of its subdirectories.
    """
    found: dict[Path, ProjectSource] = {}
    for path in paths:
        sources = list(_find_in_directory(path, report)) if path.is_dir() else [ProjectSource((path,))]
        if not sources:
            report.reporter_for(str(path)).problem("", "the directory contains no YAML file", "name a compose file")
        for source in sources:
            found.setdefault(source.files[0].absolute(), source)
    return list(found.values())


def _find_in_directory(directory: Path, report: Report, depth: int = 0) -> Iterator[ProjectSource]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        report.reporter_for(str(directory)).problem("", "the directory cannot be read", "check its permissions")
        return
    files = {entry.name: entry for entry in entries if entry.suffix in _SUFFIXES and entry.is_file()}
    if named := _named_in_dot_env(directory):
        yield ProjectSource(named, tuple(file for file in files.values() if file not in named), directory / ".env")
    elif main := next((files[name] for name in _COMPOSE_FILES if name in files), None):
        overrides = [files[name] for name in _OVERRIDE_FILES if name in files and name.startswith(main.stem)]
        read = (main, *overrides[:1])
        yield ProjectSource(read, tuple(file for file in files.values() if file not in read))
    elif files:
        yield from (ProjectSource((file,)) for file in files.values())
    elif depth < _MAX_DEPTH:
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield from _find_in_directory(entry, report, depth + 1)


def _named_in_dot_env(directory: Path) -> tuple[Path, ...]:
    try:
        text = DirectoryReader(directory).read(directory / ".env", MAX_COMPOSE_BYTES).content
    except UnreadableFileError:
        return ()
    variables = parse_env_file(text, {}).variables
    separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
    names = (variables.get("COMPOSE_FILE") or "").split(separator)
    return tuple(directory / name.strip() for name in names if name.strip())
