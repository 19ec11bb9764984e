"""In-memory indexes of the objects in the cluster, fed by the watch."""

from hopper.registry.beats import Beats, News
from hopper.registry.children import Children
from hopper.registry.index import Change, NamespaceIndex, Registry
from hopper.registry.templates import Templates

__all__ = [
    "Beats",
    "Change",
    "Children",
    "NamespaceIndex",
    "News",
    "Registry",
    "Templates",
]
