"""Whatever happens in whatever order: the same specs end in the same tree, and no step on the way breaks a promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType, Reason
from hopper.api.config import InstanceConfig, Limits
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, NameRef
from hopper.controller.fanout import affected
from hopper.domain.lifecycle import CARRYING, UP, is_legal, wants_up
from hopper.domain.plan import Plan
from hopper.registry import Change
from tests.unit.domain.builders import NOW, instance, seconds
from tests.unit.domain.world import Cascade, Pods, World, fresh

# Design section 3, as far as these trees use it; test_hierarchy.py holds the whole matrix.
BELOW = {
    None: (Scope.PROJECT, Scope.FAMILY, Scope.PERSONAL, Scope.EVENT, Scope.FEDERATED),
    Scope.GLOBAL: (Scope.PROJECT, Scope.FAMILY, Scope.PERSONAL, Scope.EVENT, Scope.FEDERATED),
    Scope.PROJECT: (Scope.EVENT, Scope.ORCHESTRATION, Scope.ORCHESTRATION),
    Scope.FAMILY: (Scope.PERSONAL, Scope.EVENT, Scope.ORCHESTRATION),
    Scope.PERSONAL: (Scope.ORCHESTRATION,),
    Scope.EVENT: (Scope.ORCHESTRATION,),
    Scope.FEDERATED: (),
    Scope.ORCHESTRATION: (),
}
COMING_AND_GOING = (DesiredState.RUNNING, DesiredState.PAUSED, DesiredState.STOPPED)
DOWN_FOR_GOOD = (Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED)

Tree = tuple[HopperInstance, ...]


@st.composite
def trees(draw: st.DrawFn, states: tuple[DesiredState, ...] = COMING_AND_GOING, smallest: int = 1) -> Tree:
    """Draw the specs of a valid forest, parents first."""
    count = draw(st.integers(smallest, 9))
    made: dict[str | None, Scope | None] = {None: None}
    tree = []
    if draw(st.booleans()):
        made["global"] = Scope.GLOBAL
        tree.append(instance("global", Scope.GLOBAL, desired=draw(st.sampled_from(states))))
    for number in range(count):
        parent = draw(st.sampled_from([name for name, scope in made.items() if BELOW[scope]]))
        scope = draw(st.sampled_from(BELOW[made[parent]]))
        made[f"n{number}"] = scope
        tree.append(instance(f"n{number}", scope, parent=parent, desired=draw(st.sampled_from(states))))
    return tuple(tree)


orders = st.integers(0, 2**32).map(Random)


@st.composite
def two_trees_of_the_same_instances(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Draw a valid forest, and another one to which its instances may move: scopes cannot change."""
    tree = draw(trees(smallest=3))
    moved: list[HopperInstance] = []
    for one in tree:
        homes = [home.name for home in moved if one.spec.scope in BELOW[home.spec.scope]]
        choices: list[str | None] = [*homes, *([None] if one.spec.scope in (*BELOW[None], Scope.GLOBAL) else [])]
        home = draw(st.sampled_from(choices))
        spec = replace(
            one.spec,
            parent_ref=NameRef(name=home) if home else None,
            desired_state=draw(st.sampled_from(COMING_AND_GOING)),
        )
        moved.append(replace(one, spec=spec))
    return tree, tuple(moved)


@dataclass(frozen=True)
class Edit:
    """Something that happens to one instance."""

    verb: str
    name: str
    value: Any = None

    def happen(self, world: World) -> None:
        match self.verb:
            case "look" if self.name in world.instances:
                world.reconcile(self.name)
            case "strip" if self.name in world.instances:
                world.strip(self.name)
            case "edit" if self.name in world.instances:
                world.edit(self.name, **self.value)


@st.composite
def edits(draw: st.DrawFn, tree: Tree, most: int = 20) -> list[Edit]:
    """Draw any edits that admission lets through, sense or nonsense, with looks of the operator in between."""
    names = [one.name for one in tree]
    somewhere = [NameRef(name=name) for name in (*names, "nowhere")]
    changes = st.one_of(
        st.sampled_from(COMING_AND_GOING).map(lambda state: {"desired_state": state}),
        st.sampled_from([None, *somewhere]).map(lambda parent: {"parent_ref": parent}),
        st.integers(0, 3).map(lambda when: {"restarted_at": NOW + seconds(when)}),
        st.sampled_from([None, Limits(max_child_instances=1), Limits(max_depth=1), Limits(max_concurrent_tasks=1)]).map(
            lambda limits: {"config": limits and InstanceConfig(limits=limits)}
        ),
    )
    name = st.sampled_from(names)
    edit = st.builds(Edit, st.just("edit"), name, changes)
    strip = st.builds(Edit, st.just("strip"), name)
    look = st.builds(Edit, st.just("look"), name)
    return draw(st.lists(st.one_of(edit, look, edit, look, strip), max_size=most))


class Promises:
    """What holds at every single step, whatever the order. Watches a world, and fails where a promise is broken."""

    def __init__(self, world: World) -> None:
        world.witnesses.append(self.check)

    def check(self, world: World, before: HopperInstance, decided: Plan) -> None:
        self.transitions_are_legal_and_connected(before, decided)
        self.parents_start_first(world, before, decided)
        self.parents_stop_last(world, before, decided)
        self.ready_speaks_of_the_present(before, decided)
        self.nobody_owns_itself(world)

    def transitions_are_legal_and_connected(self, before: HopperInstance, decided: Plan) -> None:
        phase = before.status.phase
        for step in decided.transitions:
            assert step.source is phase
            assert is_legal(step.source, step.target)
            phase = step.target
        if decided.status:
            assert decided.status.phase is phase

    def parents_start_first(self, world: World, before: HopperInstance, decided: Plan) -> None:
        starts = any(step.target is Phase.STARTING for step in decided.transitions)
        if starts and before.parent_name:
            assert world[before.parent_name].status.phase in CARRYING, f"{before.name} starts before its parent"

    def parents_stop_last(self, world: World, before: HopperInstance, decided: Plan) -> None:
        ends = decided.status and decided.transitions and decided.status.phase in DOWN_FOR_GOOD
        if ends and decided.status.effective_state and not wants_up(decided.status.effective_state):
            up = [child.name for child in accepted_children(world, before) if child.status.phase in UP]
            assert not up, f"{before.name} is {decided.status.phase} before {up}"

    def ready_speaks_of_the_present(self, before: HopperInstance, decided: Plan) -> None:
        if decided.status is None:
            return
        status = decided.status
        assert [it.type for it in status.conditions].count(ConditionType.READY) == 1
        assert not (status.condition(ConditionType.STALLED) and status.condition(ConditionType.RECONCILING))
        if status.is_ready:
            assert status.observed_generation == before.metadata.generation

    def nobody_owns_itself(self, world: World) -> None:
        for one in world.instances.values():
            seen, step = {one.metadata.uid}, owner_of(world, one)
            while step is not None:
                assert step.metadata.uid not in seen, f"{one.name} is among its own owners"
                seen.add(step.metadata.uid)
                step = owner_of(world, step)


def accepted_children(world: World, parent: HopperInstance) -> Iterator[HopperInstance]:
    for child in world.children(parent.name):
        if any(reference.uid == parent.metadata.uid for reference in child.metadata.owner_references):
            yield child


def owner_of(world: World, one: HopperInstance) -> HopperInstance | None:
    uids = {reference.uid for reference in one.metadata.owner_references}
    return next((other for other in world.instances.values() if other.metadata.uid in uids), None)


def assert_at_rest(world: World) -> None:
    """Nobody runs below somebody who is down, everybody is where they should be, or says why not."""
    for one in world.instances.values():
        parent = world.get(one.parent_name) if one.parent_name else None
        placed = one.status.condition(ConditionType.HIERARCHY_VALID)
        if parent and placed and placed.status == "True" and parent.status.phase in DOWN_FOR_GOOD:
            assert one.status.phase not in UP
        ready = one.status.condition(ConditionType.READY)
        assert ready
        assert ready.reason in set(Reason)
        if ready.status == "True":
            assert one.status.effective_state
            assert one.status.phase.value == one.status.effective_state.value
        else:
            assert one.status.condition(ConditionType.STALLED) or one.status.condition(ConditionType.RECONCILING)


def arrive(world: World, tree: Tree, order: Random) -> None:
    """Apply the specs in any order, with the operator and the others at work in between."""
    arriving = list(tree)
    order.shuffle(arriving)
    for one in arriving:
        world.apply(one)
        for _ in range(order.randrange(3)):
            world.act_once(order)
        world.now += seconds(order.randrange(2))


def with_workloads(world: World, tree: Tree, order: Random) -> None:
    """Give some of the instances a workload that takes its time, and may fail to start a few times."""
    for one in tree:
        if order.random() < 0.5:
            world.pods[one.name] = Pods(failures_left=order.choice([0, 0, 1, 2]))


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_the_order_of_arrival_does_not_matter(tree: Tree, order: Random) -> None:
    world = World()
    Promises(world)
    arrive(world, tree, order)
    world.settle(order)
    assert_at_rest(world)
    assert world.picture() == fresh(tree).picture()


@given(tree=trees(tuple(DesiredState)), order=orders)
def test_nor_does_the_pace_of_the_workloads(tree: Tree, order: Random) -> None:
    world = World()
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
    world = World()
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
    world = World()
    Promises(world)
    arrive(world, tree, order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
    world.settle(order)
    assert_at_rest(world)


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_the_end_comes_the_same_way_for_all(tree: Tree, order: Random, data: st.DataObject) -> None:
    """Archived and Terminated, which have no way back, in a tree that runs already."""
    world = World()
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


CASCADES: tuple[Cascade, ...] = ("background", "foreground")


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_deletion_takes_along_what_is_below_and_nothing_else(tree: Tree, order: Random, data: st.DataObject) -> None:
    world = World()
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
    world = World()
    arrive(world, tree, order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
    world.settle(order)
    world.writes.clear()
    world.now += seconds(data.draw(st.integers(0, 10**6)))
    world.settle(order)
    assert not world.writes


class DrivenWorld(World):
    """A world in which the operator looks only at those it has been told of: by a change, or by an appointment."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def changed(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        change = Change(old, new)
        self.told.add(change.subject.name)
        self.told.update(name for name, _ in affected(change, self))

    def drain(self, order: Random) -> None:
        """Work off the queue in any order, garbage collection being quick, until nobody is told of anything."""
        for _ in range(100_000):
            if not self.told:
                return
            name = order.choice(sorted(self.told))
            self.told.discard(name)
            self.reconcile(name)
            for other in sorted(self.instances):
                self.collect(other)
        raise AssertionError("the queue never runs dry")


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_nobody_is_forgotten(tree: Tree, order: Random, data: st.DataObject) -> None:
    """What the operator looks at because of a change is enough: a full resync afterwards finds nothing to do."""
    world = DrivenWorld()
    arriving = list(tree)
    order.shuffle(arriving)
    for one in arriving:
        world.apply(one)
        if order.random() < 0.5:
            world.drain(order)
    for edit in data.draw(edits(tree)):
        edit.happen(world)
        if order.random() < 0.5:
            world.drain(order)
    if data.draw(st.booleans()):
        doomed = data.draw(st.sampled_from([one.name for one in tree]))
        world.delete(doomed, data.draw(st.sampled_from([*CASCADES, "orphan"])))
    world.now += seconds(10)  # the patience with newcomers is over
    world.drain(order)
    for name in sorted(world.instances):
        if world[name].status.observed_generation is None:
            world.told.add(name)  # these have an appointment
    world.drain(order)
    world.writes.clear()
    for name in sorted(world.instances):
        world.reconcile(name)
    assert not world.writes
