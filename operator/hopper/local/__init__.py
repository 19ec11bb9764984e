"""Kubernetes clusters on this machine, for trying Hopper out and for its tests."""

from hopper.local.cluster_status import ClusterState, ClusterStatus
from hopper.local.current_cluster import CurrentCluster
from hopper.local.errors import LocalError
from hopper.local.local_cluster import LocalCluster
from hopper.local.providers import Cluster, known_clusters, open_cluster

__all__ = [
    "Cluster",
    "ClusterState",
    "ClusterStatus",
    "CurrentCluster",
    "LocalCluster",
    "LocalError",
    "known_clusters",
    "open_cluster",
]
