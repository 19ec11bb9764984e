"""The reconcile, where two of them meet. On virtual time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, InstanceStatus, RenamedFrom
from hopper.api.model import OwnerReference
from hopper.controller.hooks import Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.metrics import OperatorMetrics
from hopper.controller.reconcile import Reconciler
from hopper.domain.plan import MetadataChange
from hopper.ports import ConflictError, RefusedError
from tests.unit.domain.sample_instances import NOW, instance

pytestmark = pytest.mark.looptime

WIRE: TypeAdapter[HopperInstance] = TypeAdapter(HopperInstance)


class SlowStore:
    """An API server that answers a write after a second."""

    def __init__(self) -> None:
        self.versions = 100
        self.deletions = 0

    async def write_metadata(self, written: HopperInstance, change: MetadataChange) -> dict[str, Any]:
        return await self._answer(written, written.status, change.owner_references)

    async def write_status(self, written: HopperInstance, status: InstanceStatus) -> dict[str, Any]:
        return await self._answer(written, status, written.metadata.owner_references)

    async def delete(self, deleted: HopperInstance) -> None:
        self.deletions += 1
        raise RefusedError("403: change freeze until Monday", code=403)

    async def _answer(
        self, written: HopperInstance, status: InstanceStatus, owners: tuple[OwnerReference, ...]
    ) -> dict[str, Any]:
        await asyncio.sleep(1)
        self.versions += 1
        metadata = replace(written.metadata, resource_version=str(self.versions), owner_references=owners)
        return WIRE.dump_python(replace(written, metadata=metadata, status=status), mode="json", by_alias=True)


class Silent:
    """Where events go that nobody reads."""

    def record(self, about: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        pass


def reconciler(indexes: Indexes, store: SlowStore) -> Reconciler:
    return Reconciler(
        indexes,
        store,
        None,  # type: ignore[arg-type]
        Silent(),
        Hooks(),
        OperatorMetrics(),
        on_change=lambda change: None,
        clock=lambda: NOW,
    )


async def test_what_cannot_be_deleted_says_so_and_goes_on_to_obey(caplog: pytest.LogCaptureFixture) -> None:
    indexes, store = Indexes(), SlowStore()
    over = {"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "ttl_seconds_after_finished": 10, "since": 20.0}
    indexes.instances.put(instance("web", **over))
    work = reconciler(indexes, store)
    for turn in (1, 2):
        with caplog.at_level("INFO"), pytest.raises(RefusedError, match="change freeze"):
            await work.reconcile(("default", "web"))
        assert store.deletions == turn
    found = indexes.instances.namespace("default").get("web")
    assert found
    stalled = found.status.condition(ConditionType.STALLED)
    assert stalled
    assert (stalled.reason, "its deletion (TTLExpired): 403" in stalled.message) == (Reason.WRITE_REFUSED, True)
    assert store.versions == 101, "it is said once"
    assert "deleting" not in caplog.text
    store.versions = 200
    moved_on = replace(found, spec=replace(found.spec, desired_state=DesiredState.ARCHIVED))
    indexes.instances.put(replace(moved_on, metadata=replace(moved_on.metadata, resource_version="200", generation=2)))
    await work.reconcile(("default", "web"))
    found = indexes.instances.namespace("default").get("web")
    assert found
    assert (found.status.phase, found.status.condition(ConditionType.STALLED)) == (Phase.ARCHIVED, None)


@pytest.mark.parametrize(
    ("parent", "first"),
    [
        (None, "shop-c"),  # b hears of c while c's status is being written
        ("global", "shop-b"),  # c hears of b, which is as old and comes first by name, before its status is written
    ],
)
async def test_of_two_that_would_take_over_in_one_moment_only_one_begins(parent: str | None, first: str) -> None:
    indexes = Indexes()
    work = reconciler(indexes, SlowStore())
    indexes.instances.put(instance("global", Scope.GLOBAL, phase=Phase.RUNNING))
    indexes.instances.put(instance("shop-a", Scope.PROJECT, parent=parent, phase=Phase.RUNNING))

    async def arrive(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        newcomer = instance(name, Scope.PROJECT, parent=parent, renamed_from=RenamedFrom(name="shop-a"))
        indexes.instances.put(newcomer)
        with suppress(ConflictError):
            await work.reconcile((newcomer.namespace, name))

    await asyncio.gather(arrive("shop-c", 0), arrive("shop-b", 0.5))
    tree = indexes.instances.namespace("default")
    assert [it.name for it in tree if it.status.predecessor is not None] == [first]
