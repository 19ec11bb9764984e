"""The kinds of clusters behind one interface, chosen by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hopper.local import record
from hopper.local.cluster import LocalCluster
from hopper.local.current import CurrentCluster
from hopper.local.errors import ProviderError
from hopper.local.kind.cluster import KindCluster
from hopper.local.paths import cache_dir, clusters_dir, valid_name
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


def open_cluster(name: str, provider: str | None = None, *, nodes: int = 1, cache: Path | None = None) -> Cluster:
    """The cluster of that name. Without `provider`, the one that started it, else `local`.

    Raises InvalidNameError, and ProviderError when another provider started it.
    """
    cache = cache or cache_dir()
    if provider == CurrentCluster.provider:
        return CurrentCluster(cache=cache)
    found = record.read(clusters_dir(cache) / valid_name(name))
    if provider and found and found.provider != provider:
        raise ProviderError(
            f"cluster {name!r} was started by the provider {found.provider!r}: leave out --provider, "
            "or choose another --name"
        )
    chosen = provider or (found.provider if found else LocalCluster.provider)
    if chosen == KindCluster.provider:
        return KindCluster(name, cache=cache)
    return LocalCluster(name, nodes=nodes, cache=cache)
