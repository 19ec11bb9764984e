"""Which files make up which project."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hopper.compose.errors import UnreadableFileError
from hopper.compose.reading.dotenv import parse_env
from hopper.compose.reading.files import MAX_COMPOSE_BYTES, Disk, Files
from hopper.compose.report import Report

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    *(f"docker-{name}" for name in ("compose.override.yaml", "compose.override.yml")),
)
_SUFFIXES = (".yaml", ".yml")
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Source:
    """The compose file of a project, and those that are merged into it. `beside` are YAML files in its directory.

    `dot_env` is the file of variables that named the others.
    """

    files: tuple[Path, ...]
    beside: tuple[Path, ...] = ()
    dot_env: Path | None = None

    @property
    def label(self) -> str:
        """What to call it in reports: as the user wrote it."""
        return str(self.files[0])

    @property
    def env_files(self) -> tuple[Path, ...]:
        """The files of variables, the last of which wins."""
        own = self.directory / ".env"
        return (own, self.dot_env) if self.dot_env not in (None, own) else (own,)

    @property
    def named(self) -> tuple[Path, ...]:
        """What may be read wherever it is."""
        return (*self.files, *([self.dot_env] if self.dot_env else []))

    @property
    def directory(self) -> Path:
        """What relative paths are relative to."""
        return self.files[0].parent


def open_beside(source: Source) -> Files:
    """Return the files that a project may read: its own, and those below its directory."""
    return Disk(source.directory, source.named)


def find_sources(paths: Iterable[Path], report: Report) -> list[Source]:
    """Return the projects that files and directories stand for; what is not there becomes a problem.

    A directory stands for its compose file and the override file beside it, or for the files that COMPOSE_FILE in its
    `.env` names, as for docker compose. Without one, it stands for every YAML file in it, and, if it has none, for its
    subdirectories.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        sources = list(_in_directory(path, report)) if path.is_dir() else [Source((path,))]
        if not sources:
            report.about(str(path)).problem("", "no YAML file is in this directory", "name a compose file")
        for source in sources:
            found.setdefault(source.files[0].absolute(), source)
    return list(found.values())


def _in_directory(directory: Path, report: Report, depth: int = 0) -> Iterator[Source]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        report.about(str(directory)).problem("", "this directory cannot be read", "check its permissions")
        return
    files = {entry.name: entry for entry in entries if entry.suffix in _SUFFIXES and entry.is_file()}
    if named := _named_in_dot_env(directory):
        yield Source(named, tuple(file for file in files.values() if file not in named), directory / ".env")
    elif main := next((files[name] for name in _NAMES if name in files), None):
        overrides = [files[name] for name in _OVERRIDES if name in files and name.startswith(main.stem)]
        read = (main, *overrides[:1])
        yield Source(read, tuple(file for file in files.values() if file not in read))
    elif files:
        yield from (Source((file,)) for file in files.values())
    elif depth < _MAX_DEPTH:
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield from _in_directory(entry, report, depth + 1)


def _named_in_dot_env(directory: Path) -> tuple[Path, ...]:
    try:
        text = Disk(directory).read(directory / ".env", MAX_COMPOSE_BYTES).content
    except UnreadableFileError:
        return ()
    variables = parse_env(text, {}).variables
    separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
    names = (variables.get("COMPOSE_FILE") or "").split(separator)
    return tuple(directory / name.strip() for name in names if name.strip())
