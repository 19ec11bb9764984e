"""Whatever happens in whatever order: the same specs end in the same tree, and no step on the way breaks a promise."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from tests.unit.domain.plan_invariants import Promises, assert_at_rest
from tests.unit.domain.sample_instances import seconds
from tests.unit.domain.simulated_namespace import Pods, SimulatedNamespace, fresh
from tests.unit.domain.tree_strategies import (
    CASCADES,
    COMING_AND_GOING,
    Tree,
    edits,
    orders,
    trees,
    two_trees_of_the_same_instances,
)


def arrive(world: SimulatedNamespace, tree: Tree, order: Random) -> None:
    """Apply the specs in any order, with the operator and the others at work in between."""
    arriving = list(tree)
    order.shuffle(arriving)
    for one in arriving:
        world.apply(one)
        for _ in range(order.randrange(3)):
            world.act_once(order)
        world.now += seconds(order.randrange(2))


def with_workloads(world: SimulatedNamespace, tree: Tree, order: Random) -> None:
    """Give some of the instances a workload that takes its time, and may fail to start a few times."""
    for one in tree:
        if order.random() < 0.5:
            world.pods[one.name] = Pods(failures_left=order.choice([0, 0, 1, 2]))


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_the_order_of_arrival_does_not_matter(tree: Tree, order: Random) -> None:
    world = SimulatedNamespace()
    Promises(world)
    arrive(world, tree, order)
    world.settle(order)
    assert_at_rest(world)
    assert world.picture() == fresh(tree).picture()


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_nor_does_the_pace_of_the_workloads(tree: Tree, order: Random) -> None:
    world = SimulatedNamespace()
    Promises(world)
    with_workloads(world, tree, order)
    arrive(world, tree, order)
    world.settle(order)
    assert_at_rest(world)
    assert world.picture() == fresh(tree).picture()


@given(data=st.data(), both=two_trees_of_the_same_instances(), order=orders)
def test_edits_that_end_in_the_same_spec_end_in_the_same_tree(
    data: st.DataObject, both: tuple[Tree, Tree], order: Random
) -> None:
    tree, last = both
    world = SimulatedNamespace()
    Promises(world)
    with_workloads(world, tree, order)
    arrive(world, tree, order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
    arrive(world, tuple(replace(one, spec=replace(one.spec, restarted_at=None)) for one in last), order)
    world.settle(order)
    assert_at_rest(world)
    assert world.picture() == fresh(last).picture()


@given(data=st.data(), tree=trees(smallest=3), order=orders)
def test_nonsense_comes_to_rest_as_well(data: st.DataObject, tree: Tree, order: Random) -> None:
    """Missing parents, wrong scopes and circles: everybody ends somewhere and says what is wrong."""
    world = SimulatedNamespace()
    Promises(world)
    arrive(world, tree, order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
    world.settle(order)
    assert_at_rest(world)


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_the_end_comes_the_same_way_for_all(tree: Tree, order: Random, data: st.DataObject) -> None:
    """Archived and Terminated, which have no way back, in a tree that runs already."""
    world = SimulatedNamespace()
    Promises(world)
    with_workloads(world, tree, order)
    arrive(world, tree, order)
    last = tuple(
        replace(one, spec=replace(one.spec, desired_state=data.draw(st.sampled_from(list(DesiredState)))))
        for one in tree
    )
    arrive(world, last, order)
    world.settle(order)
    assert_at_rest(world)
    assert world.picture() == fresh(last).picture()


def below(tree: Tree, names: set[str]) -> set[str]:
    """Return these names and those of all their descendants."""
    found = set(names)
    for one in tree:  # parents come first
        if one.parent_name in found:
            found.add(one.name)
    return found


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_deletion_takes_along_what_is_below_and_nothing_else(tree: Tree, order: Random, data: st.DataObject) -> None:
    world = SimulatedNamespace()
    Promises(world)
    arrive(world, tree, order)
    if data.draw(st.booleans()):
        world.settle(order)
    doomed = set(data.draw(st.lists(st.sampled_from([one.name for one in tree]), min_size=1, max_size=3)))
    gone = below(tree, doomed)
    # Whoever has not been accepted yet is not part of the cascade: it would wait for its parent to come back.
    accepted = {one.name for one in tree if one.parent_name is None or world[one.name].metadata.owner_references}
    if not gone <= accepted:
        world.settle(order)
    for name in sorted(doomed):
        if name in world.instances:
            world.delete(name, data.draw(st.sampled_from(CASCADES)))
        world.act_once(order)
    world.settle(order)
    assert set(world.instances) == {one.name for one in tree} - gone
    assert world.picture() == fresh(one for one in tree if one.name not in gone).picture()


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_deletion_is_ordered(tree: Tree, order: Random, data: st.DataObject) -> None:
    """Nobody is gone while an accepted child is still there, be garbage collection ever so slow."""
    world = fresh(tree)
    doomed = data.draw(st.sampled_from([one.name for one in tree]))
    gone = below(tree, {doomed})
    world.delete(doomed)
    while doomed in world.instances:
        names = sorted(world.instances)
        order.shuffle(names)
        progress = 0
        for name in names:
            progress += world.reconcile(name)
            left = {one.name: one.parent_name for one in tree if one.name in world.instances}
            assert not [child for child, parent in left.items() if parent in gone and parent not in left]
        assert progress
    assert {one.name for one in tree} - set(world.instances) == gone


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_orphans_are_let_go_and_taken_back(tree: Tree, order: Random, data: st.DataObject) -> None:
    world = fresh(tree)
    Promises(world)
    phases = world.phases()
    chosen = data.draw(st.sampled_from(tree))
    world.delete(chosen.name, "orphan")
    world.settle(order)
    assert chosen.name not in world.instances
    for child in world.children(chosen.name):
        assert child.metadata.owner_references == ()
        placed = child.status.condition(ConditionType.HIERARCHY_VALID)
        assert placed
        assert (placed.status, placed.reason) == ("False", Reason.ORPHANED)
        if phases[child.name] is Phase.RUNNING:
            assert child.status.phase is Phase.RUNNING, "what ran, runs on"
    world.apply(chosen)
    world.settle(order)
    assert world.picture() == fresh(tree).picture()


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_the_protected_outlive_a_cascade_until_they_are_released(
    tree: Tree, order: Random, data: st.DataObject
) -> None:
    world = fresh(tree)
    protected = data.draw(st.sampled_from(tree)).name
    world.edit(protected, deletion_protection=True)
    doomed = data.draw(st.sampled_from([one.name for one in tree if one.name != protected] or [protected]))
    gone = below(tree, {doomed})
    world.settle(order)
    world.delete(doomed, data.draw(st.sampled_from(CASCADES)))
    world.settle(order)
    if doomed != protected and protected in gone:
        kept, step = set[str](), world.get(protected)
        while step is not None:
            kept.add(step.name)
            step = world.get(step.parent_name) if step.parent_name else None
        assert below(tree, {protected}) | kept <= set(world.instances)
        waiting = world[world[protected].parent_name or ""]
        stalled = waiting.status.condition(ConditionType.STALLED)
        assert stalled
        assert stalled.reason == Reason.DELETION_BLOCKED
        assert protected in stalled.message
    world.edit(protected, deletion_protection=False)
    world.settle(order)
    assert set(world.instances) == {one.name for one in tree} - (gone if doomed != protected else set())


@given(tree=trees(smallest=3), data=st.data())
def test_a_change_is_written_twice_at_most(tree: Tree, data: st.DataObject) -> None:
    """One status on the way, and one at the end; parents count their children besides; nobody else is touched."""
    world = fresh(tree)
    world.writes.clear()
    chosen = data.draw(st.sampled_from(tree))
    world.edit(chosen.name, desired_state=data.draw(st.sampled_from(COMING_AND_GOING)))
    world.settle()
    concerned = below(tree, {chosen.name})
    for one in tree:
        writes = world.writes[one.name, "status"]
        if one.name == chosen.parent_name:
            assert writes <= 2, "the child became unready, and ready again"
        else:
            assert writes <= (2 if one.name in concerned else 0), one.name
    assert {kind for _, kind in world.writes} <= {"status"}


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_a_tree_at_rest_is_left_alone(tree: Tree, order: Random, data: st.DataObject) -> None:
    world = SimulatedNamespace()
    arrive(world, tree, order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
    world.settle(order)
    world.writes.clear()
    world.now += seconds(data.draw(st.integers(0, 10**6)))
    world.settle(order)
    assert not world.writes
