"""The reconcile, where two of them meet. On virtual time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance, InstanceStatus, OwnerReference, RenamedFrom
from hopper.controller.hooks import Hooks
from hopper.controller.metrics import Metrics
from hopper.controller.reconcile import Reconciler
from hopper.controller.world import World
from hopper.domain.plan import MetadataChange
from hopper.ports import ConflictError
from tests.unit.domain.builders import NOW, instance

pytestmark = pytest.mark.looptime

WIRE: TypeAdapter[HopperInstance] = TypeAdapter(HopperInstance)


class SlowStore:
    """An API server that answers a write after a second."""

    def __init__(self) -> None:
        self.versions = 100

    async def write_metadata(self, written: HopperInstance, change: MetadataChange) -> dict[str, Any]:
        return await self._answer(written, written.status, change.owner_references)

    async def write_status(self, written: HopperInstance, status: InstanceStatus) -> dict[str, Any]:
        return await self._answer(written, status, written.metadata.owner_references)

    async def delete(self, deleted: HopperInstance) -> None:
        raise NotImplementedError

    async def _answer(
        self, written: HopperInstance, status: InstanceStatus, owners: tuple[OwnerReference, ...]
    ) -> dict[str, Any]:
        await asyncio.sleep(1)
        self.versions += 1
        metadata = replace(written.metadata, resource_version=str(self.versions), owner_references=owners)
        return WIRE.dump_python(replace(written, metadata=metadata, status=status), mode="json", by_alias=True)


class Silent:
    """Where events go that nobody reads."""

    def announce(self, about: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        pass


@pytest.mark.parametrize(
    ("parent", "first"),
    [
        (None, "shop-c"),  # b hears of c while c's status is being written
        ("global", "shop-b"),  # c hears of b, which is as old and comes first by name, before its status is written
    ],
)
async def test_of_two_that_would_take_over_in_one_moment_only_one_begins(parent: str | None, first: str) -> None:
    world = World()
    reconciler = Reconciler(
        world,
        SlowStore(),
        None,  # type: ignore[arg-type]
        Silent(),
        Hooks(),
        Metrics(),
        on_change=lambda change: None,
        clock=lambda: NOW,
    )
    world.instances.put(instance("global", Scope.GLOBAL, phase=Phase.RUNNING))
    world.instances.put(instance("shop-a", Scope.PROJECT, parent=parent, phase=Phase.RUNNING))

    async def arrive(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        newcomer = instance(name, Scope.PROJECT, parent=parent, renamed_from=RenamedFrom(name="shop-a"))
        world.instances.put(newcomer)
        with suppress(ConflictError):
            await reconciler.reconcile((newcomer.namespace, name))

    await asyncio.gather(arrive("shop-c", 0), arrive("shop-b", 0.5))
    tree = world.instances.namespace("default")
    assert [it.name for it in tree if it.status.predecessor is not None] == [first]
