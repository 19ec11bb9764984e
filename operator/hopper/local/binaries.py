"""The Kubernetes binaries: from the user's own directory, else downloaded, else built from source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hopper.local.binary_catalogue import (
    CLUSTER_BINARIES,
    TOOL_BINARIES,
    Binary,
    BinaryStore,
    binaries_in_directory,
    this_platform,
)
from hopper.local.errors import MissingBinaryError
from hopper.local.file_lock import file_lock
from hopper.local.progress import SILENT, Progress

BINARIES_VARIABLE = "HOPPER_KUBE_BIN"


def ensure_binaries(
    cache: Path, progress: Progress = SILENT, wanted: Sequence[Binary] = CLUSTER_BINARIES
) -> Mapping[str, Path]:
    """Return the path of each wanted binary by its name. Download or build missing binaries.

    If another process is getting binaries, wait for it. After an interruption, get only those still missing.
    Raises BinariesError, UnsupportedPlatformError.
    """
    custom = os.environ.get(BINARIES_VARIABLE)
    paths = _user_binaries(Path(custom).expanduser(), wanted) if custom else {}
    others = [binary for binary in wanted if binary.name not in paths]
    store = BinaryStore(cache, this_platform())
    if store.missing(others):
        with file_lock(cache / "locks" / "binaries.lock", lambda holder: progress.note(_waiting_message(holder))):
            _fill_store(store, others, progress)
    return {**paths, **store.paths(others)}


def find_kubectl(cache: Path) -> Path:
    """Return the path of a kubectl for clusters of the providers `kind` and `current`.

    Raises MissingBinaryError.
    """
    return find_program("kubectl", cache)


def find_program(name: str, cache: Path) -> Path:
    """Return the path of an existing program.

    The order is HOPPER_KUBE_BIN, the PATH, Hopper's cache. Raises MissingBinaryError.
    """
    candidates = []
    if custom := os.environ.get(BINARIES_VARIABLE):
        candidates.append(Path(custom).expanduser() / name)
    if on_path := shutil.which(name):
        candidates.append(Path(on_path))
    candidates.append(BinaryStore(cache, this_platform()).paths((*CLUSTER_BINARIES, *TOOL_BINARIES))[name])
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MissingBinaryError(f"{name} is not installed: install it, or run `hopper local build`")


def _fill_store(store: BinaryStore, wanted: Sequence[Binary], progress: Progress) -> None:
    from hopper.local.download import download_binaries
    from hopper.local.go_build import build_binaries

    if missing := store.missing(wanted):
        download_binaries(missing, store, progress)
    if missing := store.missing(wanted):
        build_binaries(missing, store, progress)


def _user_binaries(directory: Path, wanted: Sequence[Binary]) -> dict[str, Path]:
    """Return the wanted binaries in the user's directory. The directory may lack tools only."""
    paths = binaries_in_directory(directory, wanted)
    missing = [binary.title for binary in wanted if binary in CLUSTER_BINARIES and binary.name not in paths]
    if missing:
        raise MissingBinaryError(
            f"{BINARIES_VARIABLE}: {directory} lacks {', '.join(missing)}: add them as executable files, "
            f"or unset {BINARIES_VARIABLE} to have them downloaded or built"
        )
    return paths


def _waiting_message(holder: str) -> str:
    return f"Waiting for {holder}, which is getting the Kubernetes binaries ..."
