"""Kubernetes clusters on this machine, for trying Hopper out and for its tests."""

from hopper.local.cluster import LocalCluster
from hopper.local.current import CurrentCluster
from hopper.local.errors import LocalError
from hopper.local.providers import Cluster, known_clusters, open_cluster
from hopper.local.status import State, Status

__all__ = [
    "Cluster",
    "CurrentCluster",
    "LocalCluster",
    "LocalError",
    "State",
    "Status",
    "known_clusters",
    "open_cluster",
]
