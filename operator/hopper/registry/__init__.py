"""In-memory indexes of the objects in the cluster, fed by the watch."""

from hopper.registry.heartbeats import HeartbeatChange, HeartbeatIndex
from hopper.registry.instances import InstanceChange, InstanceIndex, NamespaceIndex
from hopper.registry.owned_objects import OwnedObjectIndex
from hopper.registry.templates import TemplateIndex

__all__ = [
    "HeartbeatChange",
    "HeartbeatIndex",
    "InstanceChange",
    "InstanceIndex",
    "NamespaceIndex",
    "OwnedObjectIndex",
    "TemplateIndex",
]
