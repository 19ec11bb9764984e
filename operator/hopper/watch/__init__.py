"""The watch: feeds that keep the indexes in step with the cluster. Only this package imports kopf."""

from hopper.watch.feed import Feed
from hopper.watch.feeds import heartbeat_feed, instance_feed, template_feed
from hopper.watch.health import WatchHealth
from hopper.watch.instance_reader import InstanceReader
from hopper.watch.resync import Resync
from hopper.watch.run import until_served, watch_all

__all__ = [
    "Feed",
    "InstanceReader",
    "Resync",
    "WatchHealth",
    "heartbeat_feed",
    "instance_feed",
    "template_feed",
    "until_served",
    "watch_all",
]
