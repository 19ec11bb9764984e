"""The registry: in-memory indexes of what exists, fed by the watch."""

from hopper.registry.children import Children
from hopper.registry.index import Change, NamespaceIndex, Registry
from hopper.registry.templates import Templates

__all__ = ["Change", "Children", "NamespaceIndex", "Registry", "Templates"]
