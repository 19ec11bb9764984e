"""Apply: what becomes of owned objects when they exist already, carry foreign fields, or are refused."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.names import ANNOTATION_REVISION, FIELD_MANAGER, LABEL_INSTANCE
from hopper.api.resources import Manifest
from hopper.controller.apply import ObjectApplier, ObjectRefusedError
from hopper.domain.objects import object_key
from hopper.domain.plan import ObjectChanges
from hopper.ports import ConflictError, NameInUseError
from hopper.registry import OwnedObjectIndex
from tests.unit.controller.memory_stores import ObjectMemory
from tests.unit.domain.service.samples import FULL, blueprint, rendered

OBJECTS = rendered(blueprint(FULL))
SERVICE, CONFIG = OBJECTS["Service"], OBJECTS["ConfigMap"]
OTHER_OWNER = {**SERVICE["metadata"]["ownerReferences"][0], "name": "mail", "uid": "uid-mail"}
FOREIGN_SELECTOR = {"spec": {"selector": {**SERVICE["spec"]["selector"], "extra": "yes"}}}


class Cluster:
    """A store of owned objects, the index of the operator, and the applier between them."""

    def __init__(self) -> None:
        self.store = ObjectMemory()
        self.index = OwnedObjectIndex()
        self.applier = ObjectApplier(self.index, self.store)

    def existing(self, manifest: Manifest, *, indexed: bool = True, **changes: Any) -> Manifest:
        """Put an object of the operator into the cluster, with changes of another field manager if there are any."""
        live = self.store.put(manifest, manager=FIELD_MANAGER, operation="Apply")
        if changes:
            metadata = {**live["metadata"], **changes.pop("metadata", {})}
            live = self.store.put({**live, **changes, "metadata": metadata})
        if indexed:
            self.index.put(live["kind"], live)
        return live

    async def apply(self, *manifests: Manifest, exists: bool = False) -> None:
        await self.applier.apply(ObjectChanges(apply=tuple((manifest, exists) for manifest in manifests)))

    def live(self, manifest: Manifest) -> Manifest:
        return self.store.objects[object_key(manifest)]

    def indexed(self, manifest: Manifest) -> Manifest | None:
        metadata = manifest["metadata"]
        return self.index.of(metadata["namespace"], metadata["labels"][LABEL_INSTANCE]).get(object_key(manifest))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def refuse(kind: str, message: str = "403: frozen") -> Any:
    return lambda candidate: message if candidate["kind"] == kind else None


class TestNewObjects:
    async def test_a_new_object_costs_one_write_and_is_indexed(self, cluster: Cluster) -> None:
        await cluster.apply(SERVICE)
        assert cluster.store.writes == ["create Service"]
        assert cluster.indexed(SERVICE)

    async def test_changes_are_written_in_order(self, cluster: Cluster) -> None:
        secret = cluster.existing(OBJECTS["Secret"])
        deployment = cluster.existing(OBJECTS["Deployment"])
        changes = ObjectChanges(
            patch=((deployment, {"spec": {"replicas": 0}}),), apply=((SERVICE, False),), delete=(secret,)
        )
        await cluster.applier.apply(changes)
        assert cluster.store.writes == ["patch Deployment", "create Service", "delete Secret"]
        assert (cluster.indexed(deployment) or {})["spec"]["replicas"] == 0
        assert object_key(secret) not in cluster.store.objects


class TestAdoption:
    @pytest.mark.parametrize("stripped", [{"ownerReferences": []}, {"labels": {}}])
    async def test_a_stripped_object_is_adopted_and_the_instance_planned_again(
        self, cluster: Cluster, stripped: Manifest
    ) -> None:
        cluster.existing(SERVICE, indexed=False, metadata=stripped)
        with pytest.raises(ConflictError, match="adopted Service"):
            await cluster.apply(SERVICE)
        assert cluster.store.writes == ["create Service", "apply Service"]
        metadata = cluster.live(SERVICE)["metadata"]
        assert metadata["ownerReferences"] == SERVICE["metadata"]["ownerReferences"]
        assert metadata["labels"] == SERVICE["metadata"]["labels"]
        assert cluster.indexed(SERVICE)

    async def test_an_object_that_the_index_has_not_seen_yet_is_applied_without_a_new_plan(
        self, cluster: Cluster
    ) -> None:
        cluster.existing(SERVICE, indexed=False)
        await cluster.apply(SERVICE)
        assert cluster.store.writes == ["create Service", "apply Service"]

    async def test_the_other_objects_are_applied_before_the_new_plan(self, cluster: Cluster) -> None:
        cluster.existing(SERVICE, indexed=False, metadata={"ownerReferences": []})
        with pytest.raises(ConflictError, match="adopted Service"):
            await cluster.apply(SERVICE, CONFIG)
        assert object_key(CONFIG) in cluster.store.objects

    async def test_an_object_of_another_owner_is_refused_and_left_alone(self, cluster: Cluster) -> None:
        before = cluster.existing(SERVICE, indexed=False, metadata={"ownerReferences": [OTHER_OWNER]})
        with pytest.raises(ObjectRefusedError, match="does not belong to this instance") as caught:
            await cluster.apply(SERVICE)
        assert caught.value.key == object_key(SERVICE)
        assert cluster.store.writes == ["create Service"]
        assert cluster.live(SERVICE) == before

    async def test_an_object_that_is_being_deleted_is_waited_for(self, cluster: Cluster) -> None:
        cluster.existing(SERVICE, indexed=False, metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"})
        with pytest.raises(NameInUseError, match="still exists"):
            await cluster.apply(SERVICE)
        assert cluster.store.writes == ["create Service"]

    async def test_a_conflict_without_an_object_is_a_conflict(self, cluster: Cluster) -> None:
        """The object was deleted between the two requests."""

        async def exists(manifest: Manifest) -> Manifest:
            raise ConflictError("exists", code=409)

        cluster.store.create = exists  # type: ignore[method-assign]
        with pytest.raises(ConflictError, match="exists"):
            await cluster.apply(SERVICE)
        assert cluster.store.writes == []


class TestForeignFields:
    async def test_foreign_fields_are_removed_after_an_apply(self, cluster: Cluster) -> None:
        cluster.existing(SERVICE, **FOREIGN_SELECTOR)
        await cluster.apply(SERVICE, exists=True)
        assert cluster.store.writes == ["apply Service", "remove fields of Service"]
        assert cluster.live(SERVICE)["spec"]["selector"] == SERVICE["spec"]["selector"]
        assert (cluster.indexed(SERVICE) or {})["spec"]["selector"] == SERVICE["spec"]["selector"]

    async def test_an_apply_that_a_foreign_field_blocks_is_repeated_without_it(self, cluster: Cluster) -> None:
        cluster.existing(SERVICE, **FOREIGN_SELECTOR)
        cluster.store.policy = lambda candidate: "422: excluded" if "extra" in candidate["spec"]["selector"] else None
        await cluster.apply(SERVICE, exists=True)
        assert cluster.store.writes == ["apply Service", "remove fields of Service", "apply Service"]
        assert cluster.live(SERVICE)["spec"]["selector"] == SERVICE["spec"]["selector"]

    async def test_an_apply_that_is_refused_without_foreign_fields_is_not_repeated(self, cluster: Cluster) -> None:
        cluster.existing(SERVICE)
        cluster.store.policy = refuse("Service")
        with pytest.raises(ObjectRefusedError, match="frozen"):
            await cluster.apply(SERVICE, exists=True)
        assert cluster.store.writes == ["apply Service"]

    async def test_no_foreign_field_is_removed_for_a_rollout_that_is_refused(self, cluster: Cluster) -> None:
        before = cluster.existing(SERVICE, **FOREIGN_SELECTOR)
        cluster.store.policy = refuse("Service")
        annotations = {**SERVICE["metadata"].get("annotations", {}), ANNOTATION_REVISION: "next"}
        changed = {**SERVICE, "metadata": {**SERVICE["metadata"], "annotations": annotations}}
        with pytest.raises(ObjectRefusedError, match="frozen"):
            await cluster.apply(changed, exists=True)
        assert cluster.store.writes == ["apply Service"]
        assert cluster.live(SERVICE) == before


class TestRefusals:
    async def test_a_refusal_names_the_object(self, cluster: Cluster) -> None:
        cluster.store.policy = refuse("Service")
        with pytest.raises(ObjectRefusedError) as caught:
            await cluster.apply(SERVICE)
        kind, name = object_key(SERVICE)
        assert str(caught.value) == f"{kind} {name}: 403: frozen"
        assert (caught.value.key, caught.value.code) == ((kind, name), 403)

    async def test_a_refusal_that_names_the_object_itself_is_kept_as_it_is(self, cluster: Cluster) -> None:
        message = f'403: services "{SERVICE["metadata"]["name"]}" is frozen'
        cluster.store.policy = refuse("Service", message)
        with pytest.raises(ObjectRefusedError) as caught:
            await cluster.apply(SERVICE)
        assert str(caught.value) == message

    async def test_nothing_is_written_after_a_refusal(self, cluster: Cluster) -> None:
        cluster.store.policy = refuse("Service")
        with pytest.raises(ObjectRefusedError):
            await cluster.apply(SERVICE, CONFIG)
        assert cluster.store.writes == ["create Service"]
