"""Getting the Kubernetes binaries: the user's own, else official ones, else built from source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hopper.local.catalogue import BINARIES, Store, in_directory, this_platform
from hopper.local.errors import MissingBinaryError
from hopper.local.lock import locked
from hopper.local.progress import SILENT, Progress

OWN_DIRECTORY = "HOPPER_KUBE_BIN"


def ensure(cache: Path, progress: Progress = SILENT) -> Mapping[str, Path]:
    """Binary name → path of every binary, fetched or built when missing.

    A call while another process builds waits for it. A call after an interrupted one goes on with what is missing.
    Raises BinariesError, UnsupportedPlatformError.
    """
    if own := os.environ.get(OWN_DIRECTORY):
        return _own(Path(own).expanduser())
    store = Store(cache, this_platform())
    if store.missing():
        with locked(cache / "locks" / "binaries.lock", lambda holder: progress.note(_waiting(holder))):
            _fill(store, progress)
    return store.paths()


def find_kubectl(cache: Path) -> Path:
    """A kubectl to use on a cluster that is not `local`: the user's own directory, the PATH, our cache, in this order.

    Raises MissingBinaryError.
    """
    candidates = []
    if own := os.environ.get(OWN_DIRECTORY):
        candidates.append(Path(own).expanduser() / "kubectl")
    if on_path := shutil.which("kubectl"):
        candidates.append(Path(on_path))
    candidates.append(Store(cache, this_platform()).paths()["kubectl"])
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MissingBinaryError("there is no kubectl: install it, or run `hopper local build`")


def _fill(store: Store, progress: Progress) -> None:
    from hopper.local import build, download

    if missing := store.missing():
        download.fetch(missing, store, progress)
    if missing := store.missing():
        build.build(missing, store, progress)


def _own(directory: Path) -> Mapping[str, Path]:
    found = in_directory(directory)
    missing = [binary.title for binary in BINARIES if binary.name not in found]
    if missing:
        raise MissingBinaryError(
            f"{OWN_DIRECTORY}={directory} lacks {', '.join(missing)}: put them there as executables, "
            f"or unset {OWN_DIRECTORY} to have them downloaded or built"
        )
    return found


def _waiting(holder: str) -> str:
    return f"Waiting for {holder}, which is already getting the Kubernetes binaries ..."
