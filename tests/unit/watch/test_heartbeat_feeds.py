"""Heartbeat shards: the operator reads them with the owned ConfigMaps, the gateway in a feed of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopper.api.conditions import ConditionType
from hopper.api.instance import HopperInstance
from hopper.controller.indexes import Indexes
from hopper.registry import HeartbeatChange, HeartbeatIndex
from hopper.watch import Feed, heartbeat_feed
from tests.unit.domain.sample_instances import condition
from tests.unit.registry.sample_heartbeats import (
    heartbeat,
    heartbeat_instance,
    names_in_same_shard,
    shard_configmap,
)
from tests.unit.watch.fake_lister import FakeLister


def with_condition(instance: HopperInstance, status: str) -> HopperInstance:
    """Return the instance with a Heartbeat condition of this status."""
    reason = {"True": "HeartbeatInTime", "Unknown": "HeartbeatOverdue"}[status]
    conditions = (*instance.status.conditions, condition(ConditionType.HEARTBEAT, status, reason, since=30))
    return replace(instance, status=replace(instance.status, conditions=conditions))


@pytest.fixture
def requeued() -> list[str]:
    return []


@pytest.fixture
def indexes() -> Indexes:
    return Indexes()


@pytest.fixture
def feed(indexes: Indexes, requeued: list[str]) -> Feed:
    """Return the operator's feed of ConfigMaps."""
    feeds = indexes.feeds(["default"], on_instance=lambda _, name: requeued.append(name), on_template=lambda *_: None)
    (configmaps,) = (feed for feed in feeds if feed.resource.kind == "ConfigMap")
    return configmaps


class TestOperator:
    def test_requeues_instances_whose_condition_would_change(
        self, indexes: Indexes, feed: Feed, requeued: list[str]
    ) -> None:
        well, silent, lost, back = names_in_same_shard(4)
        for name, status in ((well, "True"), (silent, "True"), (lost, "Unknown"), (back, "Unknown")):
            indexes.instances.put(with_condition(heartbeat_instance(name), status))
        heartbeats = {well: 95, silent: 85, lost: 60, back: 99}
        entries = [(name, heartbeat(name, at)) for name, at in heartbeats.items()]
        feed.handle_event("ADDED", shard_configmap(1, *entries, gateways={"a": (0, 100)}))
        assert sorted(requeued) == sorted([silent, lost, back])

    def test_requeues_no_instance_while_no_gateway_listens(
        self, indexes: Indexes, feed: Feed, requeued: list[str]
    ) -> None:
        indexes.instances.put(with_condition(heartbeat_instance(), "True"))
        feed.handle_event("ADDED", shard_configmap(1, ("web", heartbeat(at=-500))))
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=-500)), gateways={"a": (0, 1)}))
        assert requeued == []

    def test_heartbeat_shards_are_no_owned_objects(self, indexes: Indexes, feed: Feed) -> None:
        feed.handle_event("ADDED", shard_configmap(1, ("web", heartbeat())))
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) == heartbeat()
        assert not indexes.owned_objects.of("default", "web")
        feed.handle_event("DELETED", shard_configmap(1, ("web", heartbeat())))
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) is None

    async def test_a_list_finds_deleted_shards(self, indexes: Indexes, feed: Feed) -> None:
        lister = FakeLister(shard_configmap(1, ("web", heartbeat())))
        await feed.relist(lister, "default")
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) == heartbeat()
        lister.objects.clear()
        await feed.relist(lister, "default")
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) is None


class TestGateway:
    async def test_receives_each_change_once(self) -> None:
        index, changes = HeartbeatIndex(), list[HeartbeatChange]()
        feed = heartbeat_feed(index, changes.append, ["default"])
        lister = FakeLister(shard_configmap(1, ("web", heartbeat())))
        await feed.relist(lister, "default")
        assert [change.names for change in changes] == [("web",)]
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=1))))
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=1))))
        assert index.last_heartbeat(heartbeat_instance()) == heartbeat(at=1)
        lister.objects.clear()
        await feed.relist(lister, "default")
        assert index.last_heartbeat(heartbeat_instance()) is None
        assert len(changes) == 3
