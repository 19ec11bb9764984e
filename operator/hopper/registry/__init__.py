"""In-memory indexes of the objects in the cluster, fed by the watch."""

from hopper.registry.heartbeats import HeartbeatIndex, HeartbeatChange
from hopper.registry.owned_objects import OwnedObjectIndex
from hopper.registry.instances import InstanceChange, NamespaceIndex, InstanceIndex
from hopper.registry.templates import TemplateIndex

__all__ = [
    "HeartbeatIndex",
    "InstanceChange",
    "OwnedObjectIndex",
    "NamespaceIndex",
    "HeartbeatChange",
    "InstanceIndex",
    "TemplateIndex",
]
