"""Everything that is known of the cluster, and the feeds that keep it so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hopper.api.names import LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import CHILDREN, PODS, TEMPLATES, Resource
from hopper.api.template import parse_template
from hopper.controller.feeds import Feed
from hopper.controller.reader import Reader
from hopper.registry import Children, Registry, Templates

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

    def feeds(
        self, *, on_instance: Look, on_template: Look, on_unreadable: Callable[[str, Exception], None]
    ) -> list[Feed]:
        """Return the feeds of templates and children; the callbacks hear whom a change concerns."""
        owned = [self._child_feed(resource, on_instance) for resource in (*CHILDREN.values(), PODS)]
        return [self._template_feed(on_template, on_unreadable), *owned]

    def _template_feed(self, on_template: Look, on_unreadable: Callable[[str, Exception], None]) -> Feed:
        unreadable: dict[tuple[str, str], str] = {}  # known all the same: the operator does not wait for them

        def take(raw: Manifest) -> None:
            metadata = raw["metadata"]
            key = metadata["namespace"], metadata["name"]
            unreadable.pop(key, None)
            try:
                template = parse_template(raw)
            except ValidationError as error:
                unreadable[key] = metadata["uid"]
                on_unreadable(f"template {metadata['name']}", error)
                return
            if self.templates.put(template):
                on_template(template.namespace, template.name)

        def drop(raw: Manifest) -> None:
            metadata = raw["metadata"]
            unreadable.pop((metadata["namespace"], metadata["name"]), None)
            if self.templates.remove(metadata["namespace"], metadata["name"], metadata["uid"]):
                on_template(metadata["namespace"], metadata["name"])

        return Feed(TEMPLATES, "", take=take, drop=drop, known=lambda: self.templates.uids() | unreadable)

    def _child_feed(self, resource: Resource, on_instance: Look) -> Feed:
        def take(raw: Manifest) -> None:
            owner = self.children.put(resource.kind, raw)
            if owner:
                on_instance(raw["metadata"]["namespace"], owner)

        def drop(raw: Manifest) -> None:
            metadata = raw["metadata"]
            which = (metadata["namespace"], metadata["name"], metadata["uid"])
            owner = self.children.remove(resource.kind, *which, metadata.get("resourceVersion"))
            if owner:
                on_instance(metadata["namespace"], owner)

        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        return Feed(resource, selector, take=take, drop=drop, known=lambda: self.children.uids(resource.kind))
