"""The search returns the same as a filter over all instances, and reads only the smallest index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.config import InstanceConfig, Limits
from hopper.api.enums import DesiredState, InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.model import NameRef
from hopper.api.scopes import SCOPES, allowed_children
from hopper.domain.hierarchy import has_free_slot
from hopper.domain.tree import ancestors, descendants, subtree
from hopper.gateway.discovery import Criteria, find_instances, possible_parents
from hopper.registry import InstanceChange, InstanceIndex
from hopper.registry.instances import NamespaceIndex
from tests.unit.domain.sample_instances import instance

NAMES = [f"{word}-{n}" for word in ("web", "shop") for n in range(4)]
LABELS = [{}, {"team": "a"}, {"team": "b"}, {"team": "a", "tier": "gold"}]
CAPABILITIES = [(), ("gpu",), ("eu",), ("gpu", "eu")]
PHASES = (Phase.CREATED, Phase.RUNNING, Phase.STOPPED, Phase.ERROR)


def build(name: str, version: int, **fields: Any) -> HopperInstance:
    labels, capabilities = fields.pop("labels", None), fields.pop("capabilities", ())
    config = InstanceConfig(capabilities=capabilities) if capabilities else None
    built = instance(name, **fields, config=config)
    return replace(built, metadata=replace(built.metadata, resource_version=str(version), labels=labels or None))


@st.composite
def version_fields(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "name": draw(st.sampled_from(NAMES)),
        "exists": draw(st.integers(0, 4)) > 0,
        "scope": draw(st.sampled_from(list(Scope))),
        "parent": draw(st.sampled_from([None, *NAMES[:5], "nowhere"])),
        "phase": draw(st.sampled_from(PHASES)),
        "type": draw(st.sampled_from([None, InstanceType.EPHEMERAL])),
        "labels": draw(st.sampled_from(LABELS)),
        "capabilities": draw(st.sampled_from(CAPABILITIES)),
        "template_ref": draw(st.sampled_from([None, NameRef(name="nginx")])),
    }


@st.composite
def criteria_strategy(draw: st.DrawFn) -> Criteria:
    def maybe(values: Any) -> Any:
        return draw(st.one_of(st.none(), st.sampled_from(list(values))))

    return Criteria(
        scope=maybe(Scope),
        phases=draw(st.sets(st.sampled_from(PHASES), max_size=2)),
        type=maybe([InstanceType.EPHEMERAL, InstanceType.PERSISTENT]),
        parent=maybe([*NAMES[:3], "nowhere"]),
        ancestor=maybe([*NAMES[:3], "nowhere"]),
        template=maybe(["nginx", "redis"]),
        capabilities=draw(st.sampled_from(CAPABILITIES)),
        labels=draw(st.sampled_from(LABELS)),
        name=maybe(["web-*", "*-1", "shop-2", "nobody", "w?b-[01]", "*"]),
        can_parent=maybe(Scope),
    )


def meets(instance: HopperInstance, criteria: Criteria, index: NamespaceIndex) -> bool:
    """Whether an instance meets the criteria, by a walk over the whole tree."""
    facts = [
        criteria.ancestor is None or instance.name in [below.name for below in descendants(criteria.ancestor, index)],
        criteria.can_parent is None
        or (criteria.can_parent in allowed_children(instance.spec.scope) and has_free_slot(instance, index)),
        criteria.match(instance),
    ]
    return all(facts)


class TestFind:
    @given(
        changes=st.lists(version_fields(), max_size=25), searches=st.lists(criteria_strategy(), min_size=1, max_size=5)
    )
    def test_matches_a_filter_over_all_instances(self, changes: list[dict[str, Any]], searches: list[Criteria]) -> None:
        registry, expected = InstanceIndex(), {}
        for version, fields in enumerate(changes, start=1):
            name, exists = fields.pop("name"), fields.pop("exists")
            known = expected.get(name)
            if exists:
                instance = build(name, version, **fields)
                # A recreated instance is another object with its own uid.
                instance = replace(
                    instance,
                    metadata=replace(instance.metadata, uid=known.metadata.uid if known else f"{name}-{version}"),
                )
                assert registry.put(instance) == InstanceChange(known, instance)
                expected[name] = instance
            elif known:
                registry.remove("default", name, expected.pop(name).metadata.uid)
        index = registry.namespace("default")
        assert list(index.names) == sorted(expected)
        for instance in expected.values():
            assert index.by_uid(instance.metadata.uid) is instance
        for criteria in searches:
            matches = [instance.name for _, instance in sorted(expected.items()) if meets(instance, criteria, index)]
            assert [instance.name for instance in find_instances(index, criteria)] == matches
            among = {name for name in expected if name.endswith(("1", "2"))}
            assert [instance.name for instance in find_instances(index, criteria, among)] == [
                name for name in matches if name in among
            ]
        uids = [instance.metadata.uid for instance in expected.values()]
        for name in list(expected):
            index.discard(name)
        assert (len(index), index.facet_count, list(filter(None, map(index.by_uid, uids)))) == (0, 0, [])

    def test_reads_only_the_smallest_index(self) -> None:
        index = NamespaceIndex()
        index.put(build("global", 1, scope=Scope.GLOBAL, phase=Phase.RUNNING))
        for n in range(500):
            index.put(build(f"p-{n}", n + 2, parent="global", phase=Phase.RUNNING, labels={"n": str(n % 100)}))
        reads: list[str] = []
        get = index.get
        index.get = lambda name: reads.append(name) or get(name)  # type: ignore[assignment, method-assign, func-returns-value]
        for criteria, expected_count in (
            (Criteria(phases={Phase.RUNNING}, labels={"n": "7"}), 5),
            (Criteria(scope=Scope.PROJECT, name="p-1"), 1),
            (Criteria(phases={Phase.RUNNING}, name="p-33*"), 11),
            (Criteria(phases={Phase.RUNNING}, ancestor="p-1"), 0),
            (Criteria(phases={Phase.STOPPED}, ancestor="global"), 0),
            (Criteria(parent="p-7", scope=Scope.PROJECT), 0),
        ):
            reads.clear()
            result = find_instances(index, criteria)
            assert len(set(reads) - {"global"}) == len(result) == expected_count

    def test_without_criteria_all_instances_are_returned_in_order(self) -> None:
        index = NamespaceIndex()
        for version, name in enumerate(("b", "a", "c"), start=1):
            index.put(build(name, version))
        assert [instance.name for instance in find_instances(index, Criteria())] == ["a", "b", "c"]


class TestPossibleParents:
    def test_parents_have_an_allowed_scope(self) -> None:
        index = NamespaceIndex()
        for version, scope in enumerate(Scope, start=1):
            index.put(build(scope.lower(), version, scope=scope, phase=Phase.RUNNING))
        for scope in Scope:
            expected = sorted(parent.lower() for parent in SCOPES[scope].parents if parent is not Scope.ORCHESTRATION)
            assert [instance.name for instance in possible_parents(index, scope)] == expected

    def test_parents_have_a_free_slot(self) -> None:
        """A child that waits for its slot comes before a later one."""
        index = NamespaceIndex()
        narrow = instance("narrow", config=InstanceConfig(limits=Limits(max_child_instances=1)), phase=Phase.RUNNING)
        index.put(narrow)
        index.put(instance("wide", phase=Phase.RUNNING))
        assert [instance.name for instance in possible_parents(index, Scope.ORCHESTRATION)] == ["narrow", "wide"]
        index.put(build("worker", 2, scope=Scope.ORCHESTRATION, parent="narrow"))
        assert [instance.name for instance in possible_parents(index, Scope.ORCHESTRATION)] == ["wide"]
        index.put(build("worker", 3, scope=Scope.ORCHESTRATION, parent="wide"))
        assert [instance.name for instance in possible_parents(index, Scope.ORCHESTRATION)] == ["narrow", "wide"]

    def test_parents_are_above_the_maximum_depth(self) -> None:
        index = NamespaceIndex()
        limits = InstanceConfig(limits=Limits(max_depth=1))
        root = instance("global", Scope.GLOBAL, config=limits, phase=Phase.RUNNING)
        index.put(root)
        index.put(instance("web", parent=root, phase=Phase.RUNNING))
        assert [instance.name for instance in possible_parents(index, Scope.PROJECT)] == ["global"]
        assert possible_parents(index, Scope.ORCHESTRATION) == []

    def test_parents_are_not_being_deleted_or_finished(self) -> None:
        index = NamespaceIndex()
        root = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
        index.put(root)
        index.put(instance("going", deleted=True, phase=Phase.RUNNING))
        index.put(instance("over", phase=Phase.TERMINATED))
        index.put(instance("kept", phase=Phase.ARCHIVED))
        index.put(instance("ending", desired=DesiredState.TERMINATED, phase=Phase.STOPPING))
        index.put(instance("stopped", desired=DesiredState.STOPPED, phase=Phase.STOPPED))
        assert [instance.name for instance in possible_parents(index, Scope.ORCHESTRATION)] == ["stopped"]


class TestTree:
    def index(self) -> NamespaceIndex:
        index = NamespaceIndex()
        for name, parent in {"global": None, "web": "global", "mail": "global", "w1": "web", "w2": "web"}.items():
            index.put(instance(name, parent=parent))
        return index

    def test_walks_return_the_nearest_first(self) -> None:
        index = self.index()
        worker = index.get("w1")
        assert worker
        assert [instance.name for instance in ancestors(worker, index)] == ["web", "global"]
        below = [instance.name for instance in descendants("global", index)]
        assert (set(below[:2]), set(below[2:])) == ({"web", "mail"}, {"w1", "w2"})

    def test_subtree_is_limited_by_depth(self) -> None:
        index = self.index()
        root = index.get("global")
        assert root
        top, count = subtree(root, index)
        assert count == 5
        assert [(node.instance.name, node.depth) for node in top.children] == [("mail", 1), ("web", 1)]
        assert [(node.instance.name, node.depth) for node in top.children[1].children] == [("w1", 2), ("w2", 2)]
        top, count = subtree(root, index, depth=1)
        assert (count, [node.children for node in top.children]) == (3, [[], []])
        assert subtree(root, index, depth=0)[1] == 1

    def test_a_missing_parent_ends_the_walk(self) -> None:
        index = self.index()
        index.discard("web")
        worker = index.get("w1")
        assert worker
        assert list(ancestors(worker, index)) == []
        assert {instance.name for instance in descendants("web", index)} == {"w1", "w2"}
        assert [instance.name for instance in find_instances(index, Criteria(ancestor="web", name="w*"))] == [
            "w1",
            "w2",
        ]

    def test_walks_end_at_a_cycle(self) -> None:
        index = NamespaceIndex()
        for name, parent in {"a": "b", "b": "c", "c": "a", "d": "a"}.items():
            index.put(instance(name, parent=parent))
        first = index.get("a")
        assert first
        assert [instance.name for instance in ancestors(first, index)] == ["b", "c"]
        assert {instance.name for instance in descendants("a", index)} == {"b", "c", "d"}
        assert subtree(first, index)[1] == 4
