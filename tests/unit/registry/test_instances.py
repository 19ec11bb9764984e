"""The index of instances: the newest version wins in whatever order versions come in, and it costs little."""

from __future__ import annotations

import gc
import random
import tracemalloc
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

OVERHEAD = 2048  # bytes per instance beside the instance itself


def at(version: int, name: str = "web", *, uid: str = "", namespace: str = "default", **said: Any) -> HopperInstance:
    """Build a version of an instance."""
    it = instance(name, **said)
    uid = uid or f"uid-{namespace}-{name}"
    return replace(it, metadata=replace(it.metadata, resource_version=str(version), uid=uid, namespace=namespace))


def names(found: Any) -> set[str]:
    return {it.name for it in found}


class TestVersions:
    def test_the_first_is_new(self) -> None:
        registry, web = InstanceIndex(), at(1)
        assert registry.put(web) == InstanceChange(None, web)

    def test_a_newer_one_replaces_an_older_one(self) -> None:
        registry, old, new = InstanceIndex(), at(9), at(10)
        registry.put(old)
        assert registry.put(new) == InstanceChange(old, new)
        assert registry.namespace("default").get("web") is new

    def test_older_ones_and_the_same_again_change_nothing(self) -> None:
        registry, new = InstanceIndex(), at(10)
        registry.put(new)
        assert registry.put(at(9)) is None
        assert registry.put(at(10)) is None
        assert registry.namespace("default").get("web") is new

    def test_one_reborn_replaces_its_predecessor(self) -> None:
        registry, old, new = InstanceIndex(), at(9), at(12, uid="second")
        registry.put(old)
        assert registry.put(new) == InstanceChange(old, new)
        assert registry.remove("default", "web", old.metadata.uid) is None
        assert registry.put(at(10)) is None
        assert registry.namespace("default").get("web") is new

    @given(order=st.permutations(range(6)), gone=st.booleans())
    def test_in_any_order_the_newest_is_left(self, order: list[int], gone: bool) -> None:
        registry = InstanceIndex()
        for version in order:
            if gone and version == 5:
                registry.remove("default", "web", "uid-default-web")
            else:
                registry.put(at(version))
        left = [it.metadata.resource_version for it in registry]
        assert left == ([] if gone else ["5"])


class TestTombstones:
    def test_what_is_gone_does_not_come_back(self) -> None:
        registry, web = InstanceIndex(), at(1)
        registry.put(web)
        assert registry.remove("default", "web", web.metadata.uid) == InstanceChange(web, None)
        assert registry.put(at(2)) is None
        assert len(registry) == 0

    def test_also_where_it_was_gone_before_it_was_known(self) -> None:
        registry, web = InstanceIndex(), at(1)
        assert registry.remove("default", "web", web.metadata.uid) is None
        assert registry.put(web) is None

    def test_twice_gone_is_gone(self) -> None:
        registry, web = InstanceIndex(), at(1)
        registry.put(web)
        registry.remove("default", "web", web.metadata.uid)
        assert registry.remove("default", "web", web.metadata.uid) is None

    def test_a_successor_of_the_same_name_is_welcome(self) -> None:
        registry, web = InstanceIndex(), at(1)
        registry.put(web)
        registry.remove("default", "web", web.metadata.uid)
        assert registry.put(at(2, uid="second")) is not None

    def test_there_are_not_more_and_more_of_them(self) -> None:
        registry = InstanceIndex()
        for n in range(30_000):
            registry.remove("default", "web", str(n))
        assert len(registry._gone) == 10_000
        assert registry.put(at(1, uid="29999")) is None


class TestNamespaces:
    def test_are_apart(self) -> None:
        registry = InstanceIndex()
        registry.put(at(1, namespace="one"))
        registry.put(at(2, "child", namespace="two", scope=Scope.ORCHESTRATION, parent="web"))
        assert names(registry.namespace("one")) == {"web"}
        assert names(registry.namespace("one").children("web")) == set()
        assert names(registry.namespace("two").children("web")) == {"child"}
        assert names(registry) == {"web", "child"}
        assert len(registry) == 2

    def test_an_unknown_one_is_empty(self) -> None:
        index = InstanceIndex().namespace("nowhere")
        assert (len(index), index.get("web"), list(index.children("web"))) == (0, None, [])

    def test_an_empty_one_is_forgotten(self) -> None:
        registry, web = InstanceIndex(), at(1)
        registry.put(web)
        registry.remove("default", "web", web.metadata.uid)
        assert not registry._namespaces


class TestLookups:
    def test_children_are_found_before_their_parent_exists(self) -> None:
        index = NamespaceIndex()
        index.put(at(1, "worker", scope=Scope.ORCHESTRATION, parent="web"))
        assert names(index.children("web")) == {"worker"}

    def test_a_child_that_moves_has_one_parent(self) -> None:
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

    def test_services_that_run_or_wait_for_others_are_not_held_back_by_a_sibling(self) -> None:
        """The cost of a change does not grow with the number of siblings that are well."""
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

    def test_dependents_are_found_by_uid_whatever_parent_they_name(self) -> None:
        index, parent = NamespaceIndex(), at(1)
        index.put(at(2, "worker", scope=Scope.ORCHESTRATION, parent="shop", owners=(owned_by(parent),)))
        assert names(index.dependents(parent.metadata.uid)) == {"worker"}
        index.discard("worker")
        assert names(index.dependents(parent.metadata.uid)) == set()

    def test_two_references_to_one_owner(self) -> None:
        """The API server drops a reference only where all of it is there twice."""
        index, parent = NamespaceIndex(), at(1)
        owners = (owned_by(parent), replace(owned_by(parent), controller=False))
        index.put(at(2, "worker", owners=owners))
        index.put(at(3, "worker", owners=owners))
        assert names(index.dependents(parent.metadata.uid)) == {"worker"}
        index.discard("worker")
        assert names(index.dependents(parent.metadata.uid)) == set()

    def test_a_seat_is_taken_only_while_it_is_being_taken(self) -> None:
        index, parent, child = NamespaceIndex(), at(1), at(2, "worker", parent="web")
        with index.reserve_slot(child, parent):
            assert index.has_reserved_slot(child, parent)
            assert not index.has_reserved_slot(child, at(3, uid="second"))
            assert not index.has_reserved_slot(parent, parent)
        assert not index.has_reserved_slot(child, parent)

    @given(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "a", "b", "x"]), st.booleans()), max_size=20)
    )
    def test_after_any_changes_nothing_is_left_of_what_was(self, changes: list[tuple[str, str, bool]]) -> None:
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
            below = {name for name, it in expected.items() if it.parent_name == parent}
            assert names(index.children(parent)) == names(index.services(parent)) == below
            assert names(index.successors(f"b{parent}")) == below
            assert names(index.users(f"t{parent}")) == names(index.dependents(f"u-{parent}")) == below
        for name in list(expected):
            index.discard(name)
        assert not any([index._by_name, index._children, index._services, index._users, index._dependents])
        assert not index._held_back
        assert not index._successors


def test_memory() -> None:
    """Parents, owners and templates included, and half of the instances updated: old versions are not kept."""
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
    newer = [replace(it, metadata=replace(it.metadata, resource_version=str(2 * count))) for it in given[::2]]
    random.Random(1).shuffle(given)
    gc.collect()
    tracemalloc.start()
    try:
        registry = InstanceIndex()
        for it in (*given, *newer):
            registry.put(it)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(registry) == len(given)
    assert used / count <= OVERHEAD
