"""The reconcile: refused writes, and two that compete for the same predecessor. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, RenamedFrom
from hopper.api.model import Condition, NameRef
from hopper.api.resources import Manifest
from hopper.controller.hooks import Hooks
from hopper.controller.indexes import Indexes
from hopper.controller.monitoring import OperatorMetrics
from hopper.controller.reconcile import Reconciler
from hopper.ports import ConflictError, NameInUseError, RefusedError
from tests.unit.controller.memory_stores import InstanceMemory, ObjectMemory, SilentEvents
from tests.unit.domain.sample_instances import NOW, instance
from tests.unit.domain.service.samples import FULL, template

pytestmark = pytest.mark.looptime

KEY = ("default", "web")
KINDS = ["Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "Ingress", "Deployment"]


def reconciler(indexes: Indexes, store: InstanceMemory, objects: ObjectMemory | None = None) -> Reconciler:
    return Reconciler(
        indexes,
        store,
        objects or ObjectMemory(),
        SilentEvents(),
        Hooks(),
        OperatorMetrics(),
        on_change=lambda change: None,
        clock=lambda: NOW,
    )


def found(indexes: Indexes, name: str = "web") -> HopperInstance:
    existing = indexes.instances.namespace("default").get(name)
    assert existing
    return existing


def stalled(indexes: Indexes) -> Condition:
    condition = found(indexes).status.condition(ConditionType.STALLED)
    assert condition
    return condition


async def test_an_instance_that_cannot_be_deleted_reports_it_and_follows_its_spec(
    caplog: pytest.LogCaptureFixture,
) -> None:
    indexes, store = Indexes(), InstanceMemory(deletion_refusal="403: change freeze until Monday")
    over = {"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "ttl_seconds_after_finished": 10, "since": 20.0}
    indexes.instances.put(instance("web", **over))
    work = reconciler(indexes, store)
    for turn in (1, 2):
        with caplog.at_level("INFO"), pytest.raises(RefusedError, match="change freeze"):
            await work.reconcile(KEY)
        assert store.deletions == turn
    assert stalled(indexes).reason == Reason.WRITE_REFUSED
    assert "deletion (TTLExpired): 403" in stalled(indexes).message
    assert store.versions == 101, "the status is written once"
    assert "deleting" not in caplog.text
    store.versions = 200
    archived = replace(found(indexes), spec=replace(found(indexes).spec, desired_state=DesiredState.ARCHIVED))
    indexes.instances.put(replace(archived, metadata=replace(archived.metadata, resource_version="200", generation=2)))
    await work.reconcile(KEY)
    assert found(indexes).status.phase is Phase.ARCHIVED
    assert found(indexes).status.condition(ConditionType.STALLED) is None


@pytest.mark.parametrize(
    ("parent", "first"),
    [
        (None, "shop-c"),  # b arrives while the status of c is being written
        ("global", "shop-b"),  # c sees b, which comes first by name, before the status of c is written
    ],
)
async def test_of_two_competing_successors_only_one_begins_its_takeover(parent: str | None, first: str) -> None:
    indexes = Indexes()
    work = reconciler(indexes, InstanceMemory(seconds=1))
    indexes.instances.put(instance("global", Scope.GLOBAL, phase=Phase.RUNNING))
    indexes.instances.put(instance("shop-a", Scope.PROJECT, parent=parent, phase=Phase.RUNNING))

    async def arrive(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        successor = instance(name, Scope.PROJECT, parent=parent, renamed_from=RenamedFrom(name="shop-a"))
        indexes.instances.put(successor)
        with suppress(ConflictError):
            await work.reconcile((successor.namespace, name))

    await asyncio.gather(arrive("shop-c", 0), arrive("shop-b", 0.5))
    tree = indexes.instances.namespace("default")
    assert [successor.name for successor in tree if successor.status.predecessor is not None] == [first]


class Service:
    """An instance whose template renders one object of each kind, in a cluster that refuses some of them."""

    def __init__(self, phase: Phase = Phase.RUNNING) -> None:
        self.refused: set[str] = set()
        self.indexes = Indexes()
        self.store = InstanceMemory()
        self.objects = ObjectMemory(self._policy)
        self.indexes.templates.put(template({**FULL, "dependsOn": []}))
        self.indexes.instances.put(instance("web", phase=phase, template_ref=NameRef(name="web-server")))
        self.reconciler = reconciler(self.indexes, self.store, self.objects)

    def _policy(self, candidate: Manifest) -> str | None:
        return f"403: no {candidate['kind']}" if candidate["kind"] in self.refused else None

    async def reconcile(self) -> None:
        await self.reconciler.reconcile(KEY)

    async def reconcile_refused(self, *kinds: str) -> None:
        self.refused = set(kinds)
        with pytest.raises(RefusedError):
            await self.reconcile()

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of the objects that exist."""
        return {kind for kind, _ in self.objects.objects}


class TestRefusedObjects:
    async def test_without_refusals_every_object_is_created_with_one_write(self) -> None:
        service = Service()
        await service.reconcile()
        assert service.objects.writes == [f"create {kind}" for kind in KINDS]
        assert len(service.store.statuses) == 1

    @pytest.mark.parametrize(
        ("refused", "missing"),
        [
            (("Ingress",), {"Ingress"}),
            (("Service",), {"Service"}),
            (("Service", "Ingress"), {"Service", "Ingress"}),
            (("Deployment",), {"Deployment"}),
            (("Secret",), {"Secret", "Deployment"}),  # its pods need the Secret
            (("ConfigMap", "Ingress"), {"ConfigMap", "Ingress", "Deployment"}),
            (tuple(KINDS), set(KINDS)),
        ],
    )
    async def test_the_other_objects_of_a_running_instance_are_created(
        self, refused: tuple[str, ...], missing: set[str]
    ) -> None:
        service = Service()
        await service.reconcile_refused(*refused)
        assert service.kinds == set(KINDS) - missing
        assert stalled(service.indexes).reason == Reason.WRITE_REFUSED
        for kind in set(refused):
            attempted = f"create {kind}" in service.objects.writes
            assert (f"403: no {kind}" in stalled(service.indexes).message) is attempted
        assert len(service.store.statuses) == 1, "all refusals are reported with one status write"

    async def test_each_object_is_attempted_once_in_a_reconcile(self) -> None:
        service = Service()
        await service.reconcile_refused("Secret", "Service", "Ingress")
        assert sorted(service.objects.writes) == sorted(f"create {kind}" for kind in KINDS if kind != "Deployment"), (
            "objects that were created are not applied again"
        )

    async def test_nothing_is_created_for_an_instance_that_has_not_started(self) -> None:
        service = Service(phase=Phase.CREATED)
        await service.reconcile_refused("Secret")
        assert service.objects.writes == ["create Secret"]
        assert service.kinds == set()
        assert found(service.indexes).status.phase is Phase.CREATED

    async def test_the_refusal_is_cleared_when_the_api_server_accepts_the_object(self) -> None:
        service = Service()
        await service.reconcile_refused("Ingress")
        service.refused = set()
        await service.reconcile()
        assert service.kinds == set(KINDS)
        assert found(service.indexes).status.condition(ConditionType.STALLED) is None

    async def test_a_lasting_refusal_is_reported_once(self) -> None:
        service = Service()
        for _ in range(2):  # the second one reports that the Deployment is available
            await service.reconcile_refused("Ingress")
        reported = len(service.store.statuses)
        await service.reconcile_refused("Ingress")
        assert len(service.store.statuses) == reported == 2

    async def test_a_name_in_use_is_reported_and_nothing_else_applied(self) -> None:
        service = Service()
        await service.reconcile()
        claim = next(live for (kind, _), live in service.objects.objects.items() if kind == "PersistentVolumeClaim")
        fresh = Service(phase=Phase.CREATED)
        leaving = {**claim["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}
        fresh.objects.put({**claim, "metadata": leaving})
        with pytest.raises(NameInUseError):
            await fresh.reconcile()
        ready = found(fresh.indexes).status.condition(ConditionType.READY)
        assert ready
        assert ready.reason == Reason.NAME_IN_USE
        assert fresh.kinds == {"Secret", "ConfigMap", "PersistentVolumeClaim"}
