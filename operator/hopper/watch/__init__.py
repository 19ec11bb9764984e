"""The watch: what happens in the cluster, flowing into indexes. The only importer of kopf."""

from hopper.watch.contact import Contact
from hopper.watch.definitions import until_served
from hopper.watch.feed import Feed
from hopper.watch.feeds import heartbeat_feed, instance_feed, template_feed
from hopper.watch.reader import Reader
from hopper.watch.resync import Resync
from hopper.watch.source import watch_all

__all__ = [
    "Contact",
    "Feed",
    "Reader",
    "Resync",
    "heartbeat_feed",
    "instance_feed",
    "template_feed",
    "until_served",
    "watch_all",
]
