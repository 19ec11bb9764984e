"""Who is told of a change: no more than necessary, and no sooner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.config import InstanceConfig, Limits
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, InstanceStatus, RenamedFrom
from hopper.api.model import NameRef
from hopper.api.names import FINALIZER
from hopper.controller.fanout import SUMMARY_DELAY, affected
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
    for one in instances:
        index.put(one)
    return index


def get(forest: NamespaceIndex, name: str) -> HopperInstance:
    found = forest.get(name)
    assert found is not None
    return found


def told(forest: NamespaceIndex, old: HopperInstance | None, new: HopperInstance | None) -> dict[str, float]:
    """Put the change into the forest, and return who is told and when."""
    if new is None:
        assert old is not None
        forest.discard(old.name)
    else:
        forest.put(new)
    found: dict[str, float] = {}
    for name, delay in affected(InstanceChange(old, new), forest):
        found[name] = min(delay, found.get(name, delay))
    return found


def edited(forest: NamespaceIndex, name: str, **spec: Any) -> tuple[HopperInstance, HopperInstance]:
    old = get(forest, name)
    return old, replace(old, spec=replace(old.spec, **spec))


def became(forest: NamespaceIndex, name: str, **status: Any) -> tuple[HopperInstance, HopperInstance]:
    old = get(forest, name)
    return old, replace(old, status=replace(old.status, **status))


def test_a_wish_concerns_all_below() -> None:
    forest = tree()
    assert told(forest, *edited(forest, "global", desired_state=DesiredState.PAUSED)) == dict.fromkeys(
        ["web", "shop", "front", "back"], 0
    )


def test_a_phase_concerns_the_children_and_with_patience_the_parent() -> None:
    forest = tree()
    assert told(forest, *became(forest, "web", phase=Phase.PAUSED)) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}


@pytest.mark.parametrize("phase", [Phase.ARCHIVED, Phase.TERMINATED])
def test_an_end_concerns_all_below(phase: Phase) -> None:
    forest = tree()
    found = told(forest, *became(forest, "global", phase=phase))
    assert found == dict.fromkeys(["web", "shop", "front", "back"], 0)


def test_to_become_ready_concerns_the_parent_with_patience() -> None:
    forest = tree()
    old = get(forest, "front")
    assert told(forest, old, ready(old)) == {"web": SUMMARY_DELAY}


@pytest.mark.parametrize("of_web", [{"phase": Phase.STOPPING}, {"finalizers": ()}], ids=["stops", "is unguarded"])
def test_a_parent_that_waits_for_its_children_looks_at_once(of_web: dict[str, Any]) -> None:
    forest = family(**of_web)
    forest.discard("back")
    assert told(forest, *became(forest, "front", phase=Phase.STOPPED)) == {"web": 0}


def test_but_only_at_the_last_of_them() -> None:
    forest = family(phase=Phase.STOPPING)
    assert told(forest, *became(forest, "front", phase=Phase.STOPPED)) == {"web": SUMMARY_DELAY}
    assert told(forest, *became(forest, "back", phase=Phase.STOPPED)) == {"web": 0}


def test_a_parent_that_is_being_deleted_looks_at_once_when_the_last_has_gone() -> None:
    forest = family(deleted=True)
    assert told(forest, get(forest, "front"), None) == {"web": SUMMARY_DELAY}
    assert told(forest, get(forest, "back"), None) == {"web": 0}


def family(**of_web: Any) -> NamespaceIndex:
    """A parent of two."""
    top = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
    web = instance("web", parent=top, **{"phase": Phase.RUNNING, "finalizers": GUARDED, **of_web})
    children = (instance(it, Scope.ORCHESTRATION, parent=web, phase=Phase.RUNNING) for it in ("front", "back"))
    return forest_of(top, web, *children)


def test_to_move_concerns_both_parents_and_all_below() -> None:
    forest = tree()
    old = get(forest, "front")
    new = replace(old, spec=replace(old.spec, parent_ref=NameRef(name="shop")))
    assert told(forest, old, new) == {"web": SUMMARY_DELAY, "shop": SUMMARY_DELAY}
    forest = tree()
    old = get(forest, "web")
    new = replace(old, spec=replace(old.spec, parent_ref=None))
    assert told(forest, old, new) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}


def test_to_come_and_to_go_concern_parent_and_children() -> None:
    forest = tree()
    gone = get(forest, "web")
    assert told(forest, gone, None) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}
    assert told(forest, None, gone) == {"front": 0, "back": 0, "global": SUMMARY_DELAY}


@pytest.mark.parametrize(
    "spec",
    [{"display_name": "Web"}, {"replicas": 3}, {"ttl_seconds_after_finished": 60}],
    ids=lambda it: next(iter(it)),
)
def test_what_relatives_do_not_see_does_not_concern_them(spec: dict[str, Any]) -> None:
    forest = tree()
    assert told(forest, *edited(forest, "web", **spec)) == {}


@pytest.mark.parametrize("status", [{"restarts": 3}, {"override_count": 2}, {"observed_generation": 7}])
def test_neither_do_counters(status: dict[str, Any]) -> None:
    forest = tree()
    assert told(forest, *became(forest, "web", **status)) == {}


def test_instances_that_name_each_other_in_a_circle() -> None:
    a = instance("a", Scope.PERSONAL, parent="b", phase=Phase.RUNNING)
    b = instance("b", Scope.PERSONAL, parent="a", phase=Phase.RUNNING)
    forest = forest_of(a, b)
    assert told(forest, *edited(forest, "a", desired_state=DesiredState.PAUSED)) == {"b": 0}


def test_a_seat_that_becomes_free_concerns_those_who_wait_for_one() -> None:
    top = instance(
        "global",
        Scope.GLOBAL,
        phase=Phase.RUNNING,
        finalizers=GUARDED,
        config=InstanceConfig(limits=Limits(max_child_instances=2)),
    )
    seated = [ready(instance(name, parent=top, phase=Phase.RUNNING)) for name in ("a", "b")]
    waiting = [instance(name, parent="global", phase=Phase.CREATED) for name in ("c", "d")]
    forest = forest_of(top, *seated, *waiting)
    assert told(forest, seated[0], None) == {"c": 0, "d": 0, "global": SUMMARY_DELAY}


def test_a_sibling_that_becomes_ready_concerns_those_that_may_depend_on_it() -> None:
    forest = tree()
    template = replace(get(forest, "front").spec, template_ref=NameRef(name="nginx"))
    for name in ("front", "back"):
        forest.put(replace(get(forest, name), spec=template, status=InstanceStatus(phase=Phase.STARTING)))
    old = replace(get(forest, "front"), status=InstanceStatus(phase=Phase.RUNNING))
    assert told(forest, old, ready(old)) == {"back": 0, "web": SUMMARY_DELAY}


class TestRenaming:
    """web-b is to replace web-a; web-c wants that too, web-d has done so with another one of that name."""

    def forest(self) -> NamespaceIndex:
        parent = instance("web", phase=Phase.RUNNING, finalizers=GUARDED)
        before = instance("web-a", Scope.ORCHESTRATION, parent=parent, phase=Phase.RUNNING)
        named = {"parent": parent, "renamed_from": RenamedFrom(name="web-a")}
        waiting = [instance(name, Scope.ORCHESTRATION, phase=Phase.CREATED, **named) for name in ("web-b", "web-c")]
        return forest_of(parent, before, *waiting, instance("web-d", Scope.ORCHESTRATION, phase=Phase.RUNNING, **named))

    def test_who_waits_hears_of_the_predecessor(self) -> None:
        forest = self.forest()
        assert told(forest, *edited(forest, "web-a", deletion_protection=True)).keys() == {"web", "web-b", "web-c"}
        assert told(forest, get(forest, "web-a"), None).keys() == {"web", "web-b", "web-c"}

    def test_the_predecessor_and_rivals_hear_of_a_newcomer(self) -> None:
        forest = self.forest()
        begun = became(forest, "web-b", predecessor="uid-web-a")
        assert told(forest, *begun).keys() == {"web-a", "web-c"}
        assert told(forest, get(forest, "web-b"), None).keys() == {"web", "web-a", "web-c"}

    def test_once_it_runs_nobody_cares(self) -> None:
        forest = self.forest()
        assert told(forest, *became(forest, "web-d", restarts=1)) == {}
