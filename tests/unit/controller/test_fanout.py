"""Who is told of a change: enough, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.model import NameRef
from hopper.controller.fanout import affected
from hopper.registry import InstanceChange
from tests.unit.domain.sample_instances import Forest, condition, instance, ready, seconds
from tests.unit.domain.simulated_namespace import SimulatedNamespace
from tests.unit.domain.tree_strategies import CASCADES, Tree, edits, orders, trees


class DrivenWorld(SimulatedNamespace):
    """A world in which the operator looks only at those it has been told of: by a change, or by an appointment."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def changed(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        change = InstanceChange(old, new)
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


class TestDependents:
    """A sibling is told of what it waits for, and of nothing else."""

    def told(self, old: HopperInstance, new: HopperInstance, *others: HopperInstance) -> set[str]:
        return {name for name, _ in affected(InstanceChange(old, new), Forest((*others, new)))}

    def waiting(self, name: str, reason: str) -> HopperInstance:
        made = instance(name, parent="shop", template_ref=NameRef(name="web"))
        return replace(made, status=replace(made.status, conditions=(condition(ConditionType.READY, "False", reason),)))

    def test_those_that_wait_or_have_said_nothing_yet_hear_of_one_that_is_ready(self) -> None:
        db = instance("db", parent="shop")
        new = instance("new", parent="shop", template_ref=NameRef(name="web"))
        others = [self.waiting("a", "DependencyNotReady"), self.waiting("b", "ParentNotReady"), new]
        assert self.told(db, ready(db), *others, instance("logical")) == {"a", "new"}

    def test_and_of_one_that_has_moved_there(self) -> None:
        new = instance("new", parent="shop", template_ref=NameRef(name="web"))
        before, now = ready(instance("db", parent="mail")), ready(instance("db", parent="shop"))
        assert {"a", "new"} <= self.told(before, now, self.waiting("a", "DependencyNotReady"), new)

    def test_of_other_news_only_those_that_have_said_so(self) -> None:
        db = instance("db", parent="shop")
        failed = replace(db, status=replace(db.status, phase=Phase.ERROR))
        others = [self.waiting("a", "DependencyNotReady"), self.waiting("b", "ParentNotReady")]
        assert self.told(db, failed, *others) == {"a"}
        assert self.told(db, replace(db, metadata=replace(db.metadata, resource_version="9")), *others) == set()
