"""Fan-out requeues only instances that a change affects, and parents with a delay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.config import InstanceConfig, Limits
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, InstanceStatus, RenamedFrom
from hopper.api.model import NameRef
from hopper.api.names import FINALIZER
from hopper.controller.fanout import SUMMARY_DELAY, affected_relatives
from hopper.registry import InstanceChange, NamespaceIndex
from tests.unit.domain.sample_instances import instance, ready

GUARDED = (FINALIZER,)


def tree(**of_web: Any) -> NamespaceIndex:
    """global → web → (front, back), global → shop, all running."""
    top = instance("global", Scope.GLOBAL, phase=Phase.RUNNING, finalizers=GUARDED)
    web = instance("web", parent=top, phase=Phase.RUNNING, **{"finalizers": GUARDED, **of_web})
    shop = instance("shop", parent=top, phase=Phase.RUNNING, finalizers=GUARDED)
    below = [instance(name, Scope.ORCHESTRATION, parent=web, phase=Phase.RUNNING) for name in ("front", "back")]
    return forest_of(top, web, shop, *below)


def forest_of(*instances: HopperInstance) -> NamespaceIndex:
    index = NamespaceIndex()
    for member in instances:
        index.put(member)
    return index


def get(forest: NamespaceIndex, name: str) -> HopperInstance:
    instance = forest.get(name)
    assert instance is not None
    return instance


def requeued(forest: NamespaceIndex, old: HopperInstance | None, new: HopperInstance | None) -> dict[str, float]:
    """Put the change into the forest, and return the delay of each requeued instance."""
    if new is None:
        assert old is not None
        forest.discard(old.name)
    else:
        forest.put(new)
    found: dict[str, float] = {}
    for name, delay in affected_relatives(InstanceChange(old, new), forest):
        found[name] = min(delay, found.get(name, delay))
    return found


def edited(forest: NamespaceIndex, name: str, **spec: Any) -> tuple[HopperInstance, HopperInstance]:
    old = get(forest, name)
    return old, replace(old, spec=replace(old.spec, **spec))


def became(forest: NamespaceIndex, name: str, **status: Any) -> tuple[HopperInstance, HopperInstance]:
    old = get(forest, name)
    return old, replace(old, status=replace(old.status, **status))


def test_a_desired_state_requeues_all_descendants() -> None:
    forest = tree()
    assert requeued(forest, *edited(forest, "global", desired_state=DesiredState.PAUSED)) == dict.fromkeys(
        ["web", "shop", "front", "back"], 0
    )


def test_a_phase_requeues_the_children_and_after_a_delay_the_parent() -> None:
    forest = tree()
    assert requeued(forest, *became(forest, "web", phase=Phase.PAUSED)) == {
        "front": 0,
        "back": 0,
        "global": SUMMARY_DELAY,
    }


@pytest.mark.parametrize("phase", [Phase.ARCHIVED, Phase.TERMINATED])
def test_a_final_phase_requeues_all_descendants(phase: Phase) -> None:
    forest = tree()
    found = requeued(forest, *became(forest, "global", phase=phase))
    assert found == dict.fromkeys(["web", "shop", "front", "back"], 0)


def test_an_instance_that_becomes_ready_requeues_the_parent_after_a_delay() -> None:
    forest = tree()
    old = get(forest, "front")
    assert requeued(forest, old, ready(old)) == {"web": SUMMARY_DELAY}


@pytest.mark.parametrize("of_web", [{"phase": Phase.STOPPING}, {"finalizers": ()}], ids=["stops", "has no finalizer"])
def test_a_parent_that_waits_for_its_children_is_requeued_at_once(of_web: dict[str, Any]) -> None:
    forest = family(**of_web)
    forest.discard("back")
    assert requeued(forest, *became(forest, "front", phase=Phase.STOPPED)) == {"web": 0}


def test_a_parent_that_waits_for_several_children_is_requeued_at_once_for_the_last() -> None:
    forest = family(phase=Phase.STOPPING)
    assert requeued(forest, *became(forest, "front", phase=Phase.STOPPED)) == {"web": SUMMARY_DELAY}
    assert requeued(forest, *became(forest, "back", phase=Phase.STOPPED)) == {"web": 0}


def test_a_parent_that_is_being_deleted_is_requeued_at_once_for_the_last_child() -> None:
    forest = family(deleted=True)
    assert requeued(forest, get(forest, "front"), None) == {"web": SUMMARY_DELAY}
    assert requeued(forest, get(forest, "back"), None) == {"web": 0}


def family(**of_web: Any) -> NamespaceIndex:
    """Return a parent with two children."""
    top = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
    web = instance("web", parent=top, **{"phase": Phase.RUNNING, "finalizers": GUARDED, **of_web})
    children = (instance(name, Scope.ORCHESTRATION, parent=web, phase=Phase.RUNNING) for name in ("front", "back"))
    return forest_of(top, web, *children)


def test_a_move_requeues_both_parents_and_all_descendants() -> None:
    forest = tree()
    old = get(forest, "front")
    new = replace(old, spec=replace(old.spec, parent_ref=NameRef(name="shop")))
    assert requeued(forest, old, new) == {"web": SUMMARY_DELAY, "shop": SUMMARY_DELAY}
    forest = tree()
    old = get(forest, "web")
    new = replace(old, spec=replace(old.spec, parent_ref=None))
    assert requeued(forest, old, new) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}


def test_creation_and_deletion_requeue_parent_and_children() -> None:
    forest = tree()
    gone = get(forest, "web")
    assert requeued(forest, gone, None) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}
    assert requeued(forest, None, gone) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}


@pytest.mark.parametrize(
    "spec",
    [{"display_name": "Web"}, {"replicas": 3}, {"ttl_seconds_after_finished": 60}],
    ids=lambda spec: next(iter(spec)),
)
def test_fields_that_relatives_do_not_read_requeue_nothing(spec: dict[str, Any]) -> None:
    forest = tree()
    assert requeued(forest, *edited(forest, "web", **spec)) == {}


@pytest.mark.parametrize("status", [{"restarts": 3}, {"override_count": 2}, {"observed_generation": 7}])
def test_counters_requeue_nothing(status: dict[str, Any]) -> None:
    forest = tree()
    assert requeued(forest, *became(forest, "web", **status)) == {}


def test_a_cycle_of_parents_ends_the_fan_out() -> None:
    a = instance("a", Scope.PERSONAL, parent="b", phase=Phase.RUNNING)
    b = instance("b", Scope.PERSONAL, parent="a", phase=Phase.RUNNING)
    forest = forest_of(a, b)
    assert requeued(forest, *edited(forest, "a", desired_state=DesiredState.PAUSED)) == {"b": 0}


def test_a_free_child_slot_requeues_the_children_that_wait_for_one() -> None:
    top = instance(
        "global",
        Scope.GLOBAL,
        phase=Phase.RUNNING,
        finalizers=GUARDED,
        config=InstanceConfig(limits=Limits(max_child_instances=2)),
    )
    accepted = [ready(instance(name, parent=top, phase=Phase.RUNNING)) for name in ("a", "b")]
    waiting = [instance(name, parent="global", phase=Phase.CREATED) for name in ("c", "d")]
    forest = forest_of(top, *accepted, *waiting)
    assert requeued(forest, accepted[0], None) == {"c": 0, "d": 0, "global": SUMMARY_DELAY}


def test_a_sibling_that_becomes_ready_requeues_its_possible_dependents() -> None:
    forest = tree()
    template = replace(get(forest, "front").spec, template_ref=NameRef(name="nginx"))
    for name in ("front", "back"):
        forest.put(replace(get(forest, name), spec=template, status=InstanceStatus(phase=Phase.STARTING)))
    old = replace(get(forest, "front"), status=InstanceStatus(phase=Phase.RUNNING))
    assert requeued(forest, old, ready(old)) == {"back": 0, "web": SUMMARY_DELAY}


class TestRenaming:
    """web-b and web-c compete for web-a; web-d has replaced an earlier instance of that name."""

    def forest(self) -> NamespaceIndex:
        parent = instance("web", phase=Phase.RUNNING, finalizers=GUARDED)
        before = instance("web-a", Scope.ORCHESTRATION, parent=parent, phase=Phase.RUNNING)
        named = {"parent": parent, "renamed_from": RenamedFrom(name="web-a")}
        waiting = [instance(name, Scope.ORCHESTRATION, phase=Phase.CREATED, **named) for name in ("web-b", "web-c")]
        return forest_of(parent, before, *waiting, instance("web-d", Scope.ORCHESTRATION, phase=Phase.RUNNING, **named))

    def test_a_change_of_the_predecessor_requeues_its_successors(self) -> None:
        forest = self.forest()
        assert requeued(forest, *edited(forest, "web-a", deletion_protection=True)).keys() == {"web", "web-b", "web-c"}
        assert requeued(forest, get(forest, "web-a"), None).keys() == {"web", "web-b", "web-c"}

    def test_a_change_of_a_successor_requeues_predecessor_and_competing_successors(self) -> None:
        forest = self.forest()
        begun = became(forest, "web-b", predecessor="uid-web-a")
        assert requeued(forest, *begun).keys() == {"web-a", "web-c"}
        assert requeued(forest, get(forest, "web-b"), None).keys() == {"web", "web-a", "web-c"}

    def test_a_change_of_a_running_successor_requeues_nothing(self) -> None:
        forest = self.forest()
        assert requeued(forest, *became(forest, "web-d", restarts=1)) == {}
