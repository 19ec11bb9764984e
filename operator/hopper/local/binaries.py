"""Getting the Kubernetes binaries: the user's own, else official ones, else built from source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hopper.local.catalogue import BINARIES, TOOLS, Binary, Store, in_directory, this_platform
from hopper.local.errors import MissingBinaryError
from hopper.local.lock import locked
from hopper.local.progress import SILENT, Progress

OWN_DIRECTORY = "HOPPER_KUBE_BIN"


def ensure(cache: Path, progress: Progress = SILENT, wanted: Sequence[Binary] = BINARIES) -> Mapping[str, Path]:
    """Binary name → path of each binary that is wanted, fetched or built when missing.

    A call while another process builds waits for it. A call after an interrupted one goes on with what is missing.
    Raises BinariesError, UnsupportedPlatformError.
    """
    own = os.environ.get(OWN_DIRECTORY)
    found = _own(Path(own).expanduser(), wanted) if own else {}
    rest = [binary for binary in wanted if binary.name not in found]
    store = Store(cache, this_platform())
    if store.missing(rest):
        with locked(cache / "locks" / "binaries.lock", lambda holder: progress.note(_waiting(holder))):
            _fill(store, rest, progress)
    return {**found, **store.paths(rest)}


def find_kubectl(cache: Path) -> Path:
    """A kubectl to use on a cluster that is not `local`. Raises MissingBinaryError."""
    return find("kubectl", cache)


def find(name: str, cache: Path) -> Path:
    """A program that is there already: in the user's own directory, on the PATH, in our cache, in this order.

    Raises MissingBinaryError.
    """
    candidates = []
    if own := os.environ.get(OWN_DIRECTORY):
        candidates.append(Path(own).expanduser() / name)
    if on_path := shutil.which(name):
        candidates.append(Path(on_path))
    candidates.append(Store(cache, this_platform()).paths((*BINARIES, *TOOLS))[name])
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MissingBinaryError(f"there is no {name}: install it, or run `hopper local build`")


def _fill(store: Store, wanted: Sequence[Binary], progress: Progress) -> None:
    from hopper.local import build, download

    if missing := store.missing(wanted):
        download.fetch(missing, store, progress)
    if missing := store.missing(wanted):
        build.build(missing, store, progress)


def _own(directory: Path, wanted: Sequence[Binary]) -> dict[str, Path]:
    """Those in the user's own directory, which has to hold a whole cluster, and may lack tools."""
    found = in_directory(directory, wanted)
    missing = [binary.title for binary in wanted if binary in BINARIES and binary.name not in found]
    if missing:
        raise MissingBinaryError(
            f"{OWN_DIRECTORY}={directory} lacks {', '.join(missing)}: put them there as executables, "
            f"or unset {OWN_DIRECTORY} to have them downloaded or built"
        )
    return found


def _waiting(holder: str) -> str:
    return f"Waiting for {holder}, which is already getting the Kubernetes binaries ..."
