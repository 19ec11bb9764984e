"""Property tests: the same specs lead to the same tree in any order, and every step keeps the invariants."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from tests.unit.domain.plan_invariants import PlanInvariants, assert_at_rest
from tests.unit.domain.sample_instances import seconds
from tests.unit.domain.simulated_namespace import Pods, SimulatedNamespace, settled_namespace
from tests.unit.domain.tree_strategies import (
    CASCADES,
    COMING_AND_GOING,
    Tree,
    edits,
    orders,
    trees,
    two_trees_of_the_same_instances,
)


def apply_in_random_order(namespace: SimulatedNamespace, tree: Tree, order: Random) -> None:
    """Apply the specs in a random order, and run all actors in between."""
    arriving = list(tree)
    order.shuffle(arriving)
    for member in arriving:
        namespace.apply(member)
        for _ in range(order.randrange(3)):
            namespace.act_once(order)
        namespace.now += seconds(order.randrange(2))


def give_workloads(namespace: SimulatedNamespace, tree: Tree, order: Random) -> None:
    """Give some instances pods that need time and may fail to start."""
    for member in tree:
        if order.random() < 0.5:
            namespace.pods[member.name] = Pods(failures_left=order.choice([0, 0, 1, 2]))


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_the_order_of_creation_does_not_affect_the_result(tree: Tree, order: Random) -> None:
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    apply_in_random_order(namespace, tree, order)
    namespace.settle(order)
    assert_at_rest(namespace)
    assert namespace.outcome() == settled_namespace(tree).outcome()


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_the_speed_of_workloads_does_not_affect_the_result(tree: Tree, order: Random) -> None:
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    give_workloads(namespace, tree, order)
    apply_in_random_order(namespace, tree, order)
    namespace.settle(order)
    assert_at_rest(namespace)
    assert namespace.outcome() == settled_namespace(tree).outcome()


@given(data=st.data(), both=two_trees_of_the_same_instances(), order=orders)
def test_intermediate_edits_do_not_affect_the_result(
    data: st.DataObject, both: tuple[Tree, Tree], order: Random
) -> None:
    tree, last = both
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    give_workloads(namespace, tree, order)
    apply_in_random_order(namespace, tree, order)
    for edit in data.draw(edits(tree)):
        edit.apply_to(namespace)
    apply_in_random_order(
        namespace, tuple(replace(member, spec=replace(member.spec, restarted_at=None)) for member in last), order
    )
    namespace.settle(order)
    assert_at_rest(namespace)
    assert namespace.outcome() == settled_namespace(last).outcome()


@given(data=st.data(), tree=trees(smallest=3), order=orders)
def test_invalid_trees_come_to_rest(data: st.DataObject, tree: Tree, order: Random) -> None:
    """With missing parents, wrong scopes and cycles, every instance settles and reports its problem."""
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    apply_in_random_order(namespace, tree, order)
    for edit in data.draw(edits(tree)):
        edit.apply_to(namespace)
    namespace.settle(order)
    assert_at_rest(namespace)


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_intermediate_states_do_not_affect_final_desired_states(tree: Tree, order: Random, data: st.DataObject) -> None:
    """Includes Archived and Terminated in a tree that runs already."""
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    give_workloads(namespace, tree, order)
    apply_in_random_order(namespace, tree, order)
    last = tuple(
        replace(member, spec=replace(member.spec, desired_state=data.draw(st.sampled_from(list(DesiredState)))))
        for member in tree
    )
    apply_in_random_order(namespace, last, order)
    namespace.settle(order)
    assert_at_rest(namespace)
    assert namespace.outcome() == settled_namespace(last).outcome()


def below(tree: Tree, names: set[str]) -> set[str]:
    """Return these names and those of all their descendants."""
    found = set(names)
    for member in tree:  # parents come first
        if member.parent_name in found:
            found.add(member.name)
    return found


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_a_deletion_removes_all_descendants_and_nothing_else(tree: Tree, order: Random, data: st.DataObject) -> None:
    namespace = SimulatedNamespace()
    PlanInvariants(namespace)
    apply_in_random_order(namespace, tree, order)
    if data.draw(st.booleans()):
        namespace.settle(order)
    doomed = set(data.draw(st.lists(st.sampled_from([member.name for member in tree]), min_size=1, max_size=3)))
    gone = below(tree, doomed)
    # A child that is not accepted yet is not part of the cascade. It would wait for its parent to come back.
    accepted = {
        member.name for member in tree if member.parent_name is None or namespace[member.name].metadata.owner_references
    }
    if not gone <= accepted:
        namespace.settle(order)
    for name in sorted(doomed):
        if name in namespace.instances:
            namespace.delete(name, data.draw(st.sampled_from(CASCADES)))
        namespace.act_once(order)
    namespace.settle(order)
    assert set(namespace.instances) == {member.name for member in tree} - gone
    assert namespace.outcome() == settled_namespace(member for member in tree if member.name not in gone).outcome()


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_children_are_deleted_before_their_parent(tree: Tree, order: Random, data: st.DataObject) -> None:
    """No instance is gone before its accepted children, even without garbage collection."""
    namespace = settled_namespace(tree)
    doomed = data.draw(st.sampled_from([member.name for member in tree]))
    gone = below(tree, {doomed})
    namespace.delete(doomed)
    while doomed in namespace.instances:
        names = sorted(namespace.instances)
        order.shuffle(names)
        progress = 0
        for name in names:
            progress += namespace.reconcile(name)
            left = {member.name: member.parent_name for member in tree if member.name in namespace.instances}
            assert not [child for child, parent in left.items() if parent in gone and parent not in left]
        assert progress
    assert {member.name for member in tree} - set(namespace.instances) == gone


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_orphans_keep_running_and_are_accepted_again(tree: Tree, order: Random, data: st.DataObject) -> None:
    namespace = settled_namespace(tree)
    PlanInvariants(namespace)
    phases = namespace.phases()
    chosen = data.draw(st.sampled_from(tree))
    namespace.delete(chosen.name, "orphan")
    namespace.settle(order)
    assert chosen.name not in namespace.instances
    for child in namespace.children(chosen.name):
        assert child.metadata.owner_references == ()
        placed = child.status.condition(ConditionType.HIERARCHY_VALID)
        assert placed
        assert (placed.status, placed.reason) == ("False", Reason.ORPHANED)
        if phases[child.name] is Phase.RUNNING:
            assert child.status.phase is Phase.RUNNING, "a running orphan keeps running"
    namespace.apply(chosen)
    namespace.settle(order)
    assert namespace.outcome() == settled_namespace(tree).outcome()


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_a_protected_instance_survives_a_cascade_until_it_is_released(
    tree: Tree, order: Random, data: st.DataObject
) -> None:
    namespace = settled_namespace(tree)
    protected = data.draw(st.sampled_from(tree)).name
    namespace.edit(protected, deletion_protection=True)
    doomed = data.draw(st.sampled_from([member.name for member in tree if member.name != protected] or [protected]))
    gone = below(tree, {doomed})
    namespace.settle(order)
    namespace.delete(doomed, data.draw(st.sampled_from(CASCADES)))
    namespace.settle(order)
    if doomed != protected and protected in gone:
        kept, step = set[str](), namespace.get(protected)
        while step is not None:
            kept.add(step.name)
            step = namespace.get(step.parent_name) if step.parent_name else None
        assert below(tree, {protected}) | kept <= set(namespace.instances)
        waiting = namespace[namespace[protected].parent_name or ""]
        stalled = waiting.status.condition(ConditionType.STALLED)
        assert stalled
        assert stalled.reason == Reason.DELETION_BLOCKED
        assert protected in stalled.message
    namespace.edit(protected, deletion_protection=False)
    namespace.settle(order)
    assert set(namespace.instances) == {member.name for member in tree} - (gone if doomed != protected else set())


@given(tree=trees(smallest=3), data=st.data())
def test_a_change_needs_at_most_two_status_writes(tree: Tree, data: st.DataObject) -> None:
    """Each instance writes once on the way and once at the end. Parents count their children. Others are unchanged."""
    namespace = settled_namespace(tree)
    namespace.writes.clear()
    chosen = data.draw(st.sampled_from(tree))
    namespace.edit(chosen.name, desired_state=data.draw(st.sampled_from(COMING_AND_GOING)))
    namespace.settle()
    concerned = below(tree, {chosen.name})
    for member in tree:
        writes = namespace.writes[member.name, "status"]
        if member.name == chosen.parent_name:
            assert writes <= 2, "the child became unready and ready again"
        else:
            assert writes <= (2 if member.name in concerned else 0), member.name
    assert {kind for _, kind in namespace.writes} <= {"status"}


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_a_tree_at_rest_causes_no_writes(tree: Tree, order: Random, data: st.DataObject) -> None:
    namespace = SimulatedNamespace()
    apply_in_random_order(namespace, tree, order)
    for edit in data.draw(edits(tree)):
        edit.apply_to(namespace)
    namespace.settle(order)
    namespace.writes.clear()
    namespace.now += seconds(data.draw(st.integers(0, 10**6)))
    namespace.settle(order)
    assert not namespace.writes
