"""The indexes of the operator, and the feeds of templates, owned objects and heartbeats."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from hopper.api.heartbeat import shard_in
from hopper.api.names import LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import OWNED_RESOURCES, PODS, Manifest, NamespacedName, Resource
from hopper.domain.heartbeat import is_condition_outdated
from hopper.registry import HeartbeatChange, HeartbeatIndex, InstanceIndex, OwnedObjectIndex, TemplateIndex
from hopper.watch import Feed, InstanceReader, template_feed

# Requeues the instance or template with this namespace and name.
Requeue = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Indexes:
    """The indexes that decisions are made from."""

    instances: InstanceIndex = field(default_factory=InstanceIndex)
    templates: TemplateIndex = field(default_factory=TemplateIndex)
    owned_objects: OwnedObjectIndex = field(default_factory=OwnedObjectIndex)
    heartbeats: HeartbeatIndex = field(default_factory=HeartbeatIndex)
    reader: InstanceReader = field(default_factory=InstanceReader)

    def feeds(self, namespaces: Collection[str], *, on_instance: Requeue, on_template: Requeue) -> list[Feed]:
        """Return the feeds of templates and owned objects.

        `on_instance` is called for each instance affected by a change, and `on_template` for each changed template.
        """
        self.owned_objects.domains.on_change = on_instance
        owned = [self._owned_feed(resource, namespaces, on_instance) for resource in (*OWNED_RESOURCES.values(), PODS)]
        return [template_feed(self.templates, on_template, namespaces), *owned]

    def _owned_feed(self, resource: Resource, namespaces: Collection[str], on_instance: Requeue) -> Feed:
        """Return the feed of one kind of owned object. The feed of ConfigMaps includes the heartbeat shards."""

        def put(manifest: Manifest) -> bool:
            if shard_in(manifest) is not None:
                return self._on_heartbeats(self.heartbeats.put(manifest), on_instance)
            owner = self.owned_objects.put(resource.kind, manifest)
            if owner:
                on_instance(manifest["metadata"]["namespace"], owner)
            return owner is not None

        def remove(manifest: Manifest) -> bool:
            metadata = manifest["metadata"]
            identity = (metadata["namespace"], metadata["name"], metadata["uid"])
            if resource.kind == "ConfigMap" and (change := self.heartbeats.remove(*identity)):
                return self._on_heartbeats(change, on_instance)
            owner = self.owned_objects.remove(resource.kind, *identity, metadata.get("resourceVersion"))
            if owner:
                on_instance(metadata["namespace"], owner)
            return owner is not None

        def uids() -> Mapping[NamespacedName, str]:
            owned = self.owned_objects.uids(resource.kind)
            return {**owned, **self.heartbeats.uids()} if resource.kind == "ConfigMap" else owned

        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        return Feed(resource, selector, put=put, remove=remove, uids=uids, namespaces=namespaces)

    def _on_heartbeats(self, change: HeartbeatChange | None, on_instance: Requeue) -> bool:
        """Requeue instances whose Heartbeat condition would change, and return whether the index has changed."""
        if change is None:
            return False
        for instance in self.instances.namespace(change.namespace).with_heartbeat(change.shard):
            if is_condition_outdated(instance, self.heartbeats.record(instance)):
                on_instance(instance.namespace, instance.name)
        return True
