"""What is read from the registry: one instance."""

from hopper.api.instance import HopperInstance
from hopper.gateway.http.errors import MissingError
from hopper.registry import NamespaceIndex


def lookup(index: NamespaceIndex, identity: str) -> HopperInstance | None:
    """Return the instance of that name, or else of that uid."""
    return index.get(identity) or index.by_uid(identity)


def find(index: NamespaceIndex, identity: str) -> HopperInstance:
    """Return the instance of that name or uid. Raises `MissingError`."""
    found = lookup(index, identity)
    if found is None:
        raise MissingError(f"Instance {identity} not found")
    return found
