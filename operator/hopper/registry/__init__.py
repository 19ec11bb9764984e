"""The registry: an in-memory index of the instances, fed by the watch."""

from hopper.registry.index import Change, NamespaceIndex, Registry

__all__ = ["Change", "NamespaceIndex", "Registry"]
