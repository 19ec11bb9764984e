"""The feeds of instances, heartbeats and templates, which operator and gateway share."""

import logging
from collections.abc import Callable, Collection

from pydantic import ValidationError

from hopper.api.names import LABEL_HEARTBEATS
from hopper.api.resources import INSTANCES, OWNED_RESOURCES, TEMPLATES, Manifest
from hopper.api.template import parse_template
from hopper.registry import HeartbeatChange, HeartbeatIndex, InstanceChange, InstanceIndex, TemplateIndex
from hopper.watch.feed import Feed
from hopper.watch.instance_reader import InstanceReader

logger = logging.getLogger(__name__)


def instance_feed(
    index: InstanceIndex,
    reader: InstanceReader,
    on_change: Callable[[InstanceChange], None],
    namespaces: Collection[str],
) -> Feed:
    """Return the feed of HopperInstances. `on_change` is called with each change of the index."""

    def report(change: InstanceChange | None) -> bool:
        if change:
            on_change(change)
        return change is not None

    def put(manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        if index.has_version(metadata["namespace"], metadata["name"], metadata["resourceVersion"]):
            return False  # the answer to a write has put this version into the index
        instance = reader.read(manifest)
        return report(index.put(instance) if instance else None)

    def remove(manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        reader.forget(metadata["uid"])
        return report(index.remove(metadata["namespace"], metadata["name"], metadata["uid"]))

    return Feed(INSTANCES, put=put, remove=remove, uids=index.uids, namespaces=namespaces)


def heartbeat_feed(
    index: HeartbeatIndex, on_change: Callable[[HeartbeatChange], None], namespaces: Collection[str]
) -> Feed:
    """Return the feed of heartbeat shards: the ConfigMaps with the label of heartbeats."""

    def report(change: HeartbeatChange | None) -> bool:
        if change:
            on_change(change)
        return change is not None

    def put(manifest: Manifest) -> bool:
        return report(index.put(manifest))

    def remove(manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        return report(index.remove(metadata["namespace"], metadata["name"], metadata["uid"]))

    selector = f"{LABEL_HEARTBEATS}=true"
    resource = OWNED_RESOURCES["ConfigMap"]
    return Feed(resource, selector, put=put, remove=remove, uids=index.uids, namespaces=namespaces)


def template_feed(index: TemplateIndex, on_change: Callable[[str, str], None], namespaces: Collection[str]) -> Feed:
    """Return the feed of HopperTemplates. `on_change` is called with the namespace and name of a changed template."""

    def put(manifest: Manifest) -> bool:
        try:
            template = parse_template(manifest)
        except ValidationError as error:
            metadata = manifest["metadata"]
            logger.error("template %s/%s is invalid: %s", metadata["namespace"], metadata["name"], error)
            return False
        if changed := index.put(template):
            on_change(template.namespace, template.name)
        return changed

    def remove(manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        if changed := index.remove(metadata["namespace"], metadata["name"], metadata["uid"]):
            on_change(metadata["namespace"], metadata["name"])
        return changed

    return Feed(TEMPLATES, put=put, remove=remove, uids=index.uids, namespaces=namespaces)
