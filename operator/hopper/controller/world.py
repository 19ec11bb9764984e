"""Everything that is known of the cluster, and the feeds that keep it so."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopper.api.heartbeat import shard_in
from hopper.api.names import LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import CHILDREN, PODS, Resource
from hopper.domain.heartbeat import condition_is_outdated
from hopper.registry import Beats, Children, News, Registry, Templates
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
    beats: Beats = field(default_factory=Beats)
    reader: Reader = field(default_factory=Reader)

    def feeds(self, namespaces: Collection[str], *, on_instance: Look, on_template: Look) -> list[Feed]:
        """Return the feeds of templates and children; the callbacks hear whom a change concerns."""
        self.children.domains.on_news = on_instance
        owned = [self._child_feed(resource, namespaces, on_instance) for resource in (*CHILDREN.values(), PODS)]
        return [template_feed(self.templates, on_template, namespaces), *owned]

    def _child_feed(self, resource: Resource, namespaces: Collection[str], on_instance: Look) -> Feed:
        """Some ConfigMaps belong to no instance: heartbeats stand in them. There is one watch for both."""

        def take(raw: Manifest) -> bool:
            if shard_in(raw) is not None:
                return self._hear(self.beats.put(raw), on_instance)
            owner = self.children.put(resource.kind, raw)
            if owner:
                on_instance(raw["metadata"]["namespace"], owner)
            return owner is not None

        def drop(raw: Manifest) -> bool:
            metadata = raw["metadata"]
            which = (metadata["namespace"], metadata["name"], metadata["uid"])
            if resource.kind == "ConfigMap" and (news := self.beats.remove(*which)):
                return self._hear(news, on_instance)
            owner = self.children.remove(resource.kind, *which, metadata.get("resourceVersion"))
            if owner:
                on_instance(metadata["namespace"], owner)
            return owner is not None

        def known() -> Mapping[tuple[str, str], str]:
            children = self.children.uids(resource.kind)
            return {**children, **self.beats.uids()} if resource.kind == "ConfigMap" else children

        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        return Feed(resource, selector, take=take, drop=drop, known=known, namespaces=namespaces)

    def _hear(self, news: News | None, on_instance: Look) -> bool:
        """Have those looked at of whom the heartbeats now say something else: of the others, nothing is to be done."""
        if news is None:
            return False
        for instance in self.instances.namespace(news.namespace).expecting_beats(news.shard):
            if condition_is_outdated(instance, self.beats.heard(instance)):
                on_instance(instance.namespace, instance.name)
        return True
