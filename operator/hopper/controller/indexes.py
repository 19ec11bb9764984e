"""Everything that is known of the cluster, and the feeds that keep it so."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from hopper.api.heartbeat import shard_in
from hopper.api.names import LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import OWNED_RESOURCES, PODS, Manifest, NamespacedName, Resource
from hopper.domain.heartbeat import is_condition_outdated
from hopper.registry import HeartbeatChange, HeartbeatIndex, InstanceIndex, OwnedObjectIndex, TemplateIndex
from hopper.watch import Feed, InstanceReader, template_feed

# Namespace and name of what is to be looked at again.
Look = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Indexes:
    """The indexes that decisions are made from."""

    instances: InstanceIndex = field(default_factory=InstanceIndex)
    templates: TemplateIndex = field(default_factory=TemplateIndex)
    owned_objects: OwnedObjectIndex = field(default_factory=OwnedObjectIndex)
    heartbeats: HeartbeatIndex = field(default_factory=HeartbeatIndex)
    reader: InstanceReader = field(default_factory=InstanceReader)

    def feeds(self, namespaces: Collection[str], *, on_instance: Look, on_template: Look) -> list[Feed]:
        """Return the feeds of templates and children; the callbacks hear whom a change concerns."""
        self.owned_objects.domains.on_news = on_instance
        owned = [self._child_feed(resource, namespaces, on_instance) for resource in (*OWNED_RESOURCES.values(), PODS)]
        return [template_feed(self.templates, on_template, namespaces), *owned]

    def _child_feed(self, resource: Resource, namespaces: Collection[str], on_instance: Look) -> Feed:
        """Some ConfigMaps belong to no instance: heartbeats stand in them. There is one watch for both."""

        def put(raw: Manifest) -> bool:
            if shard_in(raw) is not None:
                return self._hear(self.heartbeats.put(raw), on_instance)
            owner = self.owned_objects.put(resource.kind, raw)
            if owner:
                on_instance(raw["metadata"]["namespace"], owner)
            return owner is not None

        def remove(raw: Manifest) -> bool:
            metadata = raw["metadata"]
            which = (metadata["namespace"], metadata["name"], metadata["uid"])
            if resource.kind == "ConfigMap" and (news := self.heartbeats.remove(*which)):
                return self._hear(news, on_instance)
            owner = self.owned_objects.remove(resource.kind, *which, metadata.get("resourceVersion"))
            if owner:
                on_instance(metadata["namespace"], owner)
            return owner is not None

        def uids() -> Mapping[NamespacedName, str]:
            children = self.owned_objects.uids(resource.kind)
            return {**children, **self.heartbeats.uids()} if resource.kind == "ConfigMap" else children

        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        return Feed(resource, selector, put=put, remove=remove, uids=uids, namespaces=namespaces)

    def _hear(self, news: HeartbeatChange | None, on_instance: Look) -> bool:
        """Have those looked at of whom the heartbeats now say something else: of the others, nothing is to be done."""
        if news is None:
            return False
        for instance in self.instances.namespace(news.namespace).expecting_beats(news.shard):
            if is_condition_outdated(instance, self.heartbeats.heard(instance)):
                on_instance(instance.namespace, instance.name)
        return True
