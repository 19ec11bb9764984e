"""Index of instances: the latest version wins whatever the order of arrival, and the index needs little memory."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType
from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance, RenamedFrom
from hopper.api.model import NameRef, OwnerReference
from hopper.registry import InstanceChange, InstanceIndex
from hopper.registry.instances import NamespaceIndex
from tests.unit.domain.sample_instances import condition, instance, owned_by

MAX_OVERHEAD = 2048  # bytes per instance, without the instance itself


def at(version: int, name: str = "web", *, uid: str = "", namespace: str = "default", **fields: Any) -> HopperInstance:
    """Return a version of an instance."""
    base = instance(name, **fields)
    uid = uid or f"uid-{namespace}-{name}"
    return replace(base, metadata=replace(base.metadata, resource_version=str(version), uid=uid, namespace=namespace))


def at_version(instance: HopperInstance, version: int) -> HopperInstance:
    return replace(instance, metadata=replace(instance.metadata, resource_version=str(version)))


def names(instances: Iterable[HopperInstance]) -> set[str]:
    return {instance.name for instance in instances}


class TestVersions:
    def test_the_first_version_is_a_change(self) -> None:
        index, web = InstanceIndex(), at(1)
        assert index.put(web) == InstanceChange(None, web)

    def test_a_newer_version_replaces_an_older_one(self) -> None:
        index, old, new = InstanceIndex(), at(9), at(10)
        index.put(old)
        assert index.put(new) == InstanceChange(old, new)
        assert index.namespace("default").get("web") is new

    def test_older_and_equal_versions_change_nothing(self) -> None:
        index, new = InstanceIndex(), at(10)
        index.put(new)
        assert index.put(at(9)) is None
        assert index.put(at(10)) is None
        assert index.namespace("default").get("web") is new

    def test_a_recreated_instance_replaces_the_deleted_one(self) -> None:
        index, old, new = InstanceIndex(), at(9), at(12, uid="second")
        index.put(old)
        assert index.put(new) == InstanceChange(old, new)
        assert index.remove("default", "web", old.metadata.uid) is None
        assert index.put(at(10)) is None
        assert index.namespace("default").get("web") is new

    @given(order=st.permutations(range(6)), deleted=st.booleans())
    def test_the_latest_version_wins_in_any_order(self, order: list[int], deleted: bool) -> None:
        index = InstanceIndex()
        for version in order:
            if deleted and version == 5:
                index.remove("default", "web", "uid-default-web")
            else:
                index.put(at(version))
        versions = [instance.metadata.resource_version for instance in index]
        assert versions == ([] if deleted else ["5"])


class TestTombstones:
    def test_a_deleted_instance_is_not_restored(self) -> None:
        index, web = InstanceIndex(), at(1)
        index.put(web)
        assert index.remove("default", "web", web.metadata.uid) == InstanceChange(web, None)
        assert index.put(at(2)) is None
        assert len(index) == 0

    def test_a_deletion_may_arrive_before_the_instance(self) -> None:
        index, web = InstanceIndex(), at(1)
        assert index.remove("default", "web", web.metadata.uid) is None
        assert index.put(web) is None

    def test_a_second_deletion_changes_nothing(self) -> None:
        index, web = InstanceIndex(), at(1)
        index.put(web)
        index.remove("default", "web", web.metadata.uid)
        assert index.remove("default", "web", web.metadata.uid) is None

    def test_a_recreated_instance_is_added(self) -> None:
        index, web = InstanceIndex(), at(1)
        index.put(web)
        index.remove("default", "web", web.metadata.uid)
        assert index.put(at(2, uid="second")) is not None

    def test_their_number_is_limited(self) -> None:
        index = InstanceIndex()
        for n in range(30_000):
            index.remove("default", "web", str(n))
        assert index.tombstones == 10_000
        assert index.put(at(1, uid="29999")) is None


class TestNamespaces:
    def test_do_not_affect_each_other(self) -> None:
        index = InstanceIndex()
        index.put(at(1, namespace="one"))
        index.put(at(2, "child", namespace="two", scope=Scope.ORCHESTRATION, parent="web"))
        assert names(index.namespace("one")) == {"web"}
        assert names(index.namespace("one").children("web")) == set()
        assert names(index.namespace("two").children("web")) == {"child"}
        assert names(index) == {"web", "child"}
        assert len(index) == 2

    def test_an_unknown_namespace_is_empty(self) -> None:
        index = InstanceIndex().namespace("nowhere")
        assert (len(index), index.get("web"), list(index.children("web"))) == (0, None, [])

    def test_an_empty_namespace_is_removed(self) -> None:
        index, web = InstanceIndex(), at(1)
        index.put(web)
        index.remove("default", "web", web.metadata.uid)
        assert not index.namespaces


class TestLookups:
    def test_children_are_found_before_their_parent_exists(self) -> None:
        index = NamespaceIndex()
        index.put(at(1, "worker", scope=Scope.ORCHESTRATION, parent="web"))
        assert names(index.children("web")) == {"worker"}

    def test_a_moved_child_has_one_parent(self) -> None:
        index = NamespaceIndex()
        index.put(at(1, "worker", scope=Scope.ORCHESTRATION, parent="web"))
        index.put(at(2, "worker", scope=Scope.ORCHESTRATION, parent="shop"))
        assert names(index.children("web")) == set()
        assert names(index.children("shop")) == {"worker"}

    def test_services_and_users_are_those_with_a_template(self) -> None:
        index = NamespaceIndex()
        template = NameRef(name="nginx")
        index.put(at(1, "logical", scope=Scope.ORCHESTRATION, parent="web"))
        index.put(at(2, "front", scope=Scope.ORCHESTRATION, parent="web", template_ref=template))
        index.put(at(3, "alone", template_ref=template))
        assert names(index.services("web")) == {"front"}
        assert names(index.services(None)) == {"alone"}
        assert names(index.users("nginx")) == {"front", "alone"}
        index.put(at(4, "front", scope=Scope.ORCHESTRATION, parent="web"))
        assert names(index.services("web")) == set()
        assert names(index.users("nginx")) == {"alone"}

    def test_services_that_do_not_wait_for_a_sibling_are_left_out(self) -> None:
        """The cost of a change must not grow with the number of siblings that run."""
        index, template = NamespaceIndex(), NameRef(name="nginx")
        waits = {"conditions": (condition(ConditionType.READY, "False", "DependencyNotReady"),)}
        away = {"conditions": (condition(ConditionType.READY, "False", "ParentNotReady"),)}
        index.put(at(1, "new", template_ref=template))
        index.put(at(2, "logical"))
        index.put(at(3, "waits", template_ref=template, phase=Phase.CREATED, status=waits))
        assert names(index.waiting_services(None)) == {"new", "waits"}
        index.put(at(4, "new", template_ref=template, phase=Phase.CREATED, status=away))
        index.put(at(5, "waits", template_ref=template, phase=Phase.RUNNING, status=waits))
        assert names(index.waiting_services(None)) == set()

    def test_dependents_are_found_by_the_uid_of_their_owner(self) -> None:
        index, parent = NamespaceIndex(), at(1)
        index.put(at(2, "worker", scope=Scope.ORCHESTRATION, parent="shop", owners=(owned_by(parent),)))
        assert names(index.dependents(parent.metadata.uid)) == {"worker"}
        index.discard("worker")
        assert names(index.dependents(parent.metadata.uid)) == set()

    def test_two_references_to_one_owner(self) -> None:
        """The API server only removes a reference that is equal to another one in all fields."""
        index, parent = NamespaceIndex(), at(1)
        owners = (owned_by(parent), replace(owned_by(parent), controller=False))
        index.put(at(2, "worker", owners=owners))
        index.put(at(3, "worker", owners=owners))
        assert names(index.dependents(parent.metadata.uid)) == {"worker"}
        index.discard("worker")
        assert names(index.dependents(parent.metadata.uid)) == set()

    def test_a_slot_is_reserved_only_during_the_write(self) -> None:
        index, parent, child = NamespaceIndex(), at(1), at(2, "worker", parent="web")
        with index.reserve_slot(child, parent):
            assert index.has_reserved_slot(child, parent)
            assert not index.has_reserved_slot(child, at(3, uid="second"))
            assert not index.has_reserved_slot(parent, parent)
        assert not index.has_reserved_slot(child, parent)

    @given(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "a", "b", "x"]), st.booleans()), max_size=20)
    )
    def test_lookups_match_the_instances_after_any_changes(self, changes: list[tuple[str, str, bool]]) -> None:
        index, expected = NamespaceIndex(), {}
        for name, parent, there in changes:
            if there:
                owners = (
                    OwnerReference(api_version="hopper.dev/v1", kind="HopperInstance", name="o", uid=f"u-{parent}"),
                )
                expected[name] = at(
                    1,
                    name,
                    parent=parent or None,
                    owners=owners,
                    template_ref=NameRef(name=f"t{parent}"),
                    renamed_from=RenamedFrom(name=f"b{parent}"),
                )
                index.put(expected[name])
            else:
                expected.pop(name, None)
                index.discard(name)
        assert names(index) == set(expected)
        for parent in ("a", "b", "x"):
            below = {name for name, instance in expected.items() if instance.parent_name == parent}
            assert names(index.children(parent)) == names(index.services(parent)) == below
            assert names(index.successors(f"b{parent}")) == below
            assert names(index.users(f"t{parent}")) == names(index.dependents(f"u-{parent}")) == below
        for name in list(expected):
            index.discard(name)
        assert (len(index), index.groups) == (0, 0)


def test_memory() -> None:
    """With parents, owners and templates. Half of the instances are updated, because old versions must be released."""
    count = 5000
    parent = at(1, "parent")
    given = [
        at(
            n,
            f"w-{n}",
            parent=f"p-{n % 100}",
            owners=(owned_by(parent, uid=f"u-{n % 100}"),),
            template_ref=NameRef(name="t"),
        )
        for n in range(2, count)
    ]
    newer = [at_version(instance, 2 * count) for instance in given[::2]]
    random.Random(1).shuffle(given)
    gc.collect()
    tracemalloc.start()
    try:
        index = InstanceIndex()
        for version in (*given, *newer):
            index.put(version)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == len(given)
    assert used / count <= MAX_OVERHEAD
