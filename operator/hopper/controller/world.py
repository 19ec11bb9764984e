"""Everything that is known of the cluster, and the feeds that keep it so."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from hopper.api.names import LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import CHILDREN, PODS, Resource
from hopper.registry import Children, Registry, Templates
from hopper.watch import Feed, Reader, template_feed

Manifest = dict[str, Any]
# Namespace and name of what is to be looked at again.
Look = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class World:
    """The indexes that decisions are made from."""

    instances: Registry = field(default_factory=Registry)
    templates: Templates = field(default_factory=Templates)
    children: Children = field(default_factory=Children)
    reader: Reader = field(default_factory=Reader)

    def feeds(self, namespaces: Collection[str], *, on_instance: Look, on_template: Look) -> list[Feed]:
        """Return the feeds of templates and children; the callbacks hear whom a change concerns."""
        owned = [self._child_feed(resource, namespaces, on_instance) for resource in (*CHILDREN.values(), PODS)]
        return [template_feed(self.templates, on_template, namespaces), *owned]

    def _child_feed(self, resource: Resource, namespaces: Collection[str], on_instance: Look) -> Feed:
        def take(raw: Manifest) -> bool:
            owner = self.children.put(resource.kind, raw)
            if owner:
                on_instance(raw["metadata"]["namespace"], owner)
            return owner is not None

        def drop(raw: Manifest) -> bool:
            metadata = raw["metadata"]
            which = (metadata["namespace"], metadata["name"], metadata["uid"])
            owner = self.children.remove(resource.kind, *which, metadata.get("resourceVersion"))
            if owner:
                on_instance(metadata["namespace"], owner)
            return owner is not None

        return Feed(
            resource,
            f"{LABEL_MANAGED_BY}={MANAGED_BY}",
            take=take,
            drop=drop,
            known=lambda: self.children.uids(resource.kind),
            namespaces=namespaces,
        )
