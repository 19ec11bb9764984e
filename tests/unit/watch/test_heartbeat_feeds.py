"""The heartbeats flow in beside what instances own, and have only those looked at of whom they say something new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopper.api.conditions import ConditionType
from hopper.api.instance import HopperInstance
from hopper.controller.world import World
from hopper.registry import Beats, News
from hopper.watch import Feed, heartbeat_feed
from tests.unit.domain.builders import condition
from tests.unit.registry.beating import beat, beating, configmap, same_shard
from tests.unit.watch.cluster import Store


def said(it: HopperInstance, status: str) -> HopperInstance:
    """Return an instance of which this was said before."""
    reason = {"True": "HeartbeatInTime", "Unknown": "HeartbeatOverdue"}[status]
    conditions = (*it.status.conditions, condition(ConditionType.HEARTBEAT, status, reason, since=30))
    return replace(it, status=replace(it.status, conditions=conditions))


@pytest.fixture
def looks() -> list[str]:
    return []


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def feed(world: World, looks: list[str]) -> Feed:
    feeds = world.feeds(["default"], on_instance=lambda _, name: looks.append(name), on_template=lambda *_: None)
    (found,) = (it for it in feeds if it.resource.kind == "ConfigMap")
    return found


class TestOperator:
    def test_looks_only_at_those_of_whom_something_else_is_said(
        self, world: World, feed: Feed, looks: list[str]
    ) -> None:
        well, silent, lost, back = same_shard(4)
        for name, status in ((well, "True"), (silent, "True"), (lost, "Unknown"), (back, "Unknown")):
            world.instances.put(said(beating(name), status))
        beats = ((well, beat(well, 95)), (silent, beat(silent, 85)), (lost, beat(lost, 60)), (back, beat(back, 99)))
        feed.on_event("ADDED", configmap(1, *beats, gateways={"a": (0, 100)}))
        assert sorted(looks) == sorted([silent, lost, back])

    def test_looks_at_nobody_while_nobody_listens(self, world: World, feed: Feed, looks: list[str]) -> None:
        world.instances.put(said(beating(), "True"))
        feed.on_event("ADDED", configmap(1, ("web", beat(at=-500))))
        feed.on_event("MODIFIED", configmap(2, ("web", beat(at=-500)), gateways={"a": (0, 1)}))
        assert looks == []

    def test_heartbeats_belong_to_no_instance(self, world: World, feed: Feed) -> None:
        feed.on_event("ADDED", configmap(1, ("web", beat())))
        assert world.beats.last(beating()) == beat()
        assert not world.children.of("default", "web")
        feed.on_event("DELETED", configmap(1, ("web", beat())))
        assert world.beats.last(beating()) is None

    async def test_a_list_finds_out_that_they_are_gone(self, world: World, feed: Feed) -> None:
        store = Store(configmap(1, ("web", beat())))
        await feed.refill(store, "default")
        assert world.beats.last(beating()) == beat()
        store.objects.clear()
        await feed.refill(store, "default")
        assert world.beats.last(beating()) is None


class TestGateway:
    async def test_hears_all_news(self) -> None:
        beats, news = Beats(), list[News]()
        feed = heartbeat_feed(beats, news.append, ["default"])
        store = Store(configmap(1, ("web", beat())))
        await feed.refill(store, "default")
        assert [it.names for it in news] == [("web",)]
        feed.on_event("MODIFIED", configmap(2, ("web", beat(at=1))))
        feed.on_event("MODIFIED", configmap(2, ("web", beat(at=1))))
        assert beats.last(beating()) == beat(at=1)
        store.objects.clear()
        await feed.refill(store, "default")
        assert beats.last(beating()) is None
        assert len(news) == 3
