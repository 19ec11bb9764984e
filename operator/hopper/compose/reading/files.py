"""The files beside a compose file. What is read can end up in a cluster, so nothing outside of a root is read."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hopper.compose.errors import UnreadableFileError

MAX_COMPOSE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileText:
    """A text file."""

    content: str
    executable: bool = False


class Files(Protocol):
    """Reads files."""

    def read(self, path: Path, limit: int) -> FileText:
        """Return a text file of at most `limit` bytes. Raises `UnreadableFileError`."""


class Disk:
    """`Files` below a directory, and those that the user has named; links that lead out of it are not followed."""

    def __init__(self, root: Path, named: Iterable[Path] = ()) -> None:
        self._root = root.resolve()
        self._named = frozenset(named)

    def read(self, path: Path, limit: int) -> FileText:
        try:
            real = path.resolve()
            if path not in self._named and not real.is_relative_to(self._root):
                raise UnreadableFileError("lies outside of the directory of the compose file (see --root)")
            # Without waiting for a writer, should this be a named pipe.
            with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise UnreadableFileError("is no ordinary file")
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise UnreadableFileError("is missing") from None
        except IsADirectoryError:
            raise UnreadableFileError("is a directory") from None
        except (OSError, ValueError, RuntimeError):
            raise UnreadableFileError("cannot be read") from None
        return FileText(_decoded(data, limit), bool(mode & stat.S_IXUSR))


class Remembering:
    """`Files` that remember what was read."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._read: set[str] = set()

    def read(self, path: Path, limit: int) -> FileText:
        found = self._files.read(path, limit)
        self._read.add(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the ..
        return found

    def unread(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of some files that were not read."""
        return [path for path in paths if os.path.abspath(path) not in self._read]  # noqa: PTH100


class WithInput:
    """`Files` where one path stands for data that are there already, such as standard input."""

    def __init__(self, files: Files, path: Path, data: bytes) -> None:
        self._files, self._path, self._data = files, path, data

    def read(self, path: Path, limit: int) -> FileText:
        if path != self._path:
            return self._files.read(path, limit)
        return FileText(_decoded(self._data, limit))


def _decoded(data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise UnreadableFileError(f"is larger than {limit // 1024} KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnreadableFileError("is not text in UTF-8")
    return text
