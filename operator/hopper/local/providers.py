"""The kinds of clusters behind one interface, chosen by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hopper.local.paths import cache_dir, clusters_dir
from hopper.local.progress import SILENT, Progress
from hopper.local.status import Status


class Cluster(Protocol):
    """What every provider offers. See LocalCluster for the meaning of each member."""

    @property
    def name(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def kubeconfig(self) -> Path: ...

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str: ...  # noqa: A002

    def status(self) -> Status: ...

    def up(self, progress: Progress = SILENT) -> None: ...

    def down(self, progress: Progress = SILENT) -> bool: ...


def known_clusters(cache: Path | None = None) -> list[str]:
    """The names of all clusters that Hopper started, stale ones too."""
    parent = clusters_dir(cache or cache_dir())
    return sorted(entry.name for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []
