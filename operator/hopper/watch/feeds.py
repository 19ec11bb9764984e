"""The feeds of Hopper's own kinds, which the operator and the gateway have in common."""

import logging
from collections.abc import Callable, Collection

from pydantic import ValidationError

from hopper.api.names import LABEL_HEARTBEATS
from hopper.api.resources import INSTANCES, OWNED_RESOURCES, TEMPLATES, Manifest
from hopper.api.template import parse_template
from hopper.registry import HeartbeatChange, HeartbeatIndex, InstanceChange, InstanceIndex, TemplateIndex
from hopper.watch.feed import Feed
from hopper.watch.reader import Reader

logger = logging.getLogger(__name__)


def instance_feed(
    registry: InstanceIndex, reader: Reader, on_change: Callable[[InstanceChange], None], namespaces: Collection[str]
) -> Feed:
    """Feed the registry; `on_change` hears of what is news to it."""

    def note(change: InstanceChange | None) -> bool:
        if change:
            on_change(change)
        return change is not None

    def take(raw: Manifest) -> bool:
        metadata = raw["metadata"]
        if registry.knows(metadata["namespace"], metadata["name"], metadata["resourceVersion"]):
            return False  # the watch tells of our own writes, too
        instance = reader.read(raw)
        return note(registry.put(instance) if instance else None)

    def drop(raw: Manifest) -> bool:
        metadata = raw["metadata"]
        reader.forget(metadata["uid"])
        return note(registry.remove(metadata["namespace"], metadata["name"], metadata["uid"]))

    return Feed(INSTANCES, take=take, drop=drop, known=registry.uids, namespaces=namespaces)


def heartbeat_feed(
    beats: HeartbeatIndex, on_news: Callable[[HeartbeatChange], None], namespaces: Collection[str]
) -> Feed:
    """Feed the heartbeats, without the other ConfigMaps of Hopper; `on_news` hears what each version tells."""

    def note(news: HeartbeatChange | None) -> bool:
        if news:
            on_news(news)
        return news is not None

    def take(raw: Manifest) -> bool:
        return note(beats.put(raw))

    def drop(raw: Manifest) -> bool:
        metadata = raw["metadata"]
        return note(beats.remove(metadata["namespace"], metadata["name"], metadata["uid"]))

    selector = f"{LABEL_HEARTBEATS}=true"
    return Feed(OWNED_RESOURCES["ConfigMap"], selector, take=take, drop=drop, known=beats.uids, namespaces=namespaces)


def template_feed(templates: TemplateIndex, on_change: Callable[[str, str], None], namespaces: Collection[str]) -> Feed:
    """Feed the templates; `on_change` hears namespace and name of what is news to them."""

    def take(raw: Manifest) -> bool:
        try:
            template = parse_template(raw)
        except ValidationError as error:
            metadata = raw["metadata"]
            logger.error("template %s/%s is not readable: %s", metadata["namespace"], metadata["name"], error)
            return False
        if news := templates.put(template):
            on_change(template.namespace, template.name)
        return news

    def drop(raw: Manifest) -> bool:
        metadata = raw["metadata"]
        if news := templates.remove(metadata["namespace"], metadata["name"], metadata["uid"]):
            on_change(metadata["namespace"], metadata["name"])
        return news

    return Feed(TEMPLATES, take=take, drop=drop, known=templates.uids, namespaces=namespaces)
