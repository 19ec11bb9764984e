"""The heartbeats flow in beside what instances own, and have only those looked at of whom they say something new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopper.api.conditions import ConditionType
from hopper.api.instance import HopperInstance
from hopper.controller.indexes import Indexes
from hopper.registry import HeartbeatChange, HeartbeatIndex
from hopper.watch import Feed, heartbeat_feed
from tests.unit.domain.sample_instances import condition
from tests.unit.registry.sample_heartbeats import heartbeat, heartbeat_instance, names_in_same_shard, shard_configmap
from tests.unit.watch.fake_lister import FakeLister


def said(it: HopperInstance, status: str) -> HopperInstance:
    """Return an instance of which this was said before."""
    reason = {"True": "HeartbeatInTime", "Unknown": "HeartbeatOverdue"}[status]
    conditions = (*it.status.conditions, condition(ConditionType.HEARTBEAT, status, reason, since=30))
    return replace(it, status=replace(it.status, conditions=conditions))


@pytest.fixture
def looks() -> list[str]:
    return []


@pytest.fixture
def indexes() -> Indexes:
    return Indexes()


@pytest.fixture
def feed(indexes: Indexes, looks: list[str]) -> Feed:
    feeds = indexes.feeds(["default"], on_instance=lambda _, name: looks.append(name), on_template=lambda *_: None)
    (found,) = (it for it in feeds if it.resource.kind == "ConfigMap")
    return found


class TestOperator:
    def test_looks_only_at_those_of_whom_something_else_is_said(
        self, indexes: Indexes, feed: Feed, looks: list[str]
    ) -> None:
        well, silent, lost, back = names_in_same_shard(4)
        for name, status in ((well, "True"), (silent, "True"), (lost, "Unknown"), (back, "Unknown")):
            indexes.instances.put(said(heartbeat_instance(name), status))
        beats = (
            (well, heartbeat(well, 95)),
            (silent, heartbeat(silent, 85)),
            (lost, heartbeat(lost, 60)),
            (back, heartbeat(back, 99)),
        )
        feed.handle_event("ADDED", shard_configmap(1, *beats, gateways={"a": (0, 100)}))
        assert sorted(looks) == sorted([silent, lost, back])

    def test_looks_at_nobody_while_nobody_listens(self, indexes: Indexes, feed: Feed, looks: list[str]) -> None:
        indexes.instances.put(said(heartbeat_instance(), "True"))
        feed.handle_event("ADDED", shard_configmap(1, ("web", heartbeat(at=-500))))
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=-500)), gateways={"a": (0, 1)}))
        assert looks == []

    def test_heartbeats_belong_to_no_instance(self, indexes: Indexes, feed: Feed) -> None:
        feed.handle_event("ADDED", shard_configmap(1, ("web", heartbeat())))
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) == heartbeat()
        assert not indexes.owned_objects.of("default", "web")
        feed.handle_event("DELETED", shard_configmap(1, ("web", heartbeat())))
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) is None

    async def test_a_list_finds_out_that_they_are_gone(self, indexes: Indexes, feed: Feed) -> None:
        lister = FakeLister(shard_configmap(1, ("web", heartbeat())))
        await feed.relist(lister, "default")
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) == heartbeat()
        lister.objects.clear()
        await feed.relist(lister, "default")
        assert indexes.heartbeats.last_heartbeat(heartbeat_instance()) is None


class TestGateway:
    async def test_hears_all_news(self) -> None:
        beats, news = HeartbeatIndex(), list[HeartbeatChange]()
        feed = heartbeat_feed(beats, news.append, ["default"])
        lister = FakeLister(shard_configmap(1, ("web", heartbeat())))
        await feed.relist(lister, "default")
        assert [it.names for it in news] == [("web",)]
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=1))))
        feed.handle_event("MODIFIED", shard_configmap(2, ("web", heartbeat(at=1))))
        assert beats.last_heartbeat(heartbeat_instance()) == heartbeat(at=1)
        lister.objects.clear()
        await feed.relist(lister, "default")
        assert beats.last_heartbeat(heartbeat_instance()) is None
        assert len(news) == 3
