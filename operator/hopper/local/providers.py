"""The providers of clusters behind one interface."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hopper.local.cluster_files import cache_dir, checked_cluster_name, clusters_dir, read_record
from hopper.local.cluster_status import ClusterStatus
from hopper.local.current_cluster import CurrentCluster
from hopper.local.errors import ProviderError
from hopper.local.kind_cluster import KindCluster
from hopper.local.local_cluster import LocalCluster
from hopper.local.progress import SILENT, Progress


class Cluster(Protocol):
    """Interface of a cluster of any provider. LocalCluster documents its members."""

    @property
    def name(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def kubeconfig(self) -> Path: ...

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str: ...  # noqa: A002

    def status(self) -> ClusterStatus: ...

    def up(self, progress: Progress = SILENT) -> None: ...

    def down(self, progress: Progress = SILENT) -> bool: ...


def known_clusters(cache: Path | None = None) -> list[str]:
    """Return the names of all clusters that Hopper started, including stale ones."""
    parent = clusters_dir(cache or cache_dir())
    return sorted(entry.name for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []


def open_cluster(name: str, provider: str | None = None, *, nodes: int = 1, cache: Path | None = None) -> Cluster:
    """Return the cluster with this name. The default provider is that of the existing cluster, else `local`.

    Raises InvalidNameError, and ProviderError if another provider started the cluster.
    """
    cache = cache or cache_dir()
    if provider == CurrentCluster.provider:
        return CurrentCluster(cache=cache)
    record = read_record(clusters_dir(cache) / checked_cluster_name(name))
    if provider and record and record.provider != provider:
        raise ProviderError(
            f"--provider: cluster {name!r} was started with --provider {record.provider}: omit --provider, "
            "or choose another --name"
        )
    provider = provider or (record.provider if record else LocalCluster.provider)
    if provider == KindCluster.provider:
        return KindCluster(name, cache=cache)
    return LocalCluster(name, nodes=nodes, cache=cache)
