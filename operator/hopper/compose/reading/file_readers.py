"""Access to the files of a project.

The content of a file can end up in a cluster. Files outside the root directory are therefore not read, unless the user
named them.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_COMPOSE_BYTES = 1024 * 1024


class UnreadableFileError(Exception):
    """Error for a file in the input that cannot be read. The message completes "the file …", as in "is missing"."""


@dataclass(frozen=True, slots=True)
class FileText:
    """Content of a text file."""

    content: str
    executable: bool = False


class FileReader(Protocol):
    """Reader of text files."""

    def read(self, path: Path, limit: int) -> FileText:
        """Return a text file of at most `limit` bytes. Raises `UnreadableFileError`."""


class DirectoryReader:
    """`FileReader` for the files below a directory, and for files that the user named.

    A symbolic link that leads out of the directory is not followed.
    """

    def __init__(self, root: Path, named: Iterable[Path] = ()) -> None:
        self._root = root.resolve()
        self._named = frozenset(named)

    def read(self, path: Path, limit: int) -> FileText:
        try:
            resolved = path.resolve()
            if path not in self._named and not resolved.is_relative_to(self._root):
                raise UnreadableFileError("is outside the directory of the compose file (see --root)")
            # O_NONBLOCK, because opening a named pipe would wait for a writer.
            with os.fdopen(os.open(resolved, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise UnreadableFileError("is not a regular file")
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise UnreadableFileError("is missing") from None
        except IsADirectoryError:
            raise UnreadableFileError("is a directory") from None
        except (OSError, ValueError, RuntimeError):
            raise UnreadableFileError("cannot be read") from None
        return FileText(_decode(data, limit), bool(mode & stat.S_IXUSR))


class RecordingReader:
    """`FileReader` that records which files were read."""

    def __init__(self, files: FileReader) -> None:
        self._files = files
        self._read: set[str] = set()

    def read(self, path: Path, limit: int) -> FileText:
        file = self._files.read(path, limit)
        self._read.add(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the ..
        return file

    def unread(self, paths: Iterable[Path]) -> list[Path]:
        """Return the files that were not read."""
        return [path for path in paths if os.path.abspath(path) not in self._read]  # noqa: PTH100


class ReaderWithInput:
    """`FileReader` that returns given data, such as standard input, for one path."""

    def __init__(self, files: FileReader, path: Path, data: bytes) -> None:
        self._files, self._path, self._data = files, path, data

    def read(self, path: Path, limit: int) -> FileText:
        if path != self._path:
            return self._files.read(path, limit)
        return FileText(_decode(self._data, limit))


def _decode(data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise UnreadableFileError(f"is larger than {limit // 1024} KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnreadableFileError("is not text in UTF-8")
    return text
