"""Fan-out requeues every instance that a change affects."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hopper.api.conditions import ConditionType
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.model import NameRef
from hopper.controller.fanout import affected_relatives
from hopper.registry import InstanceChange
from tests.unit.domain.sample_instances import InMemoryTree, condition, instance, ready, seconds
from tests.unit.domain.simulated_namespace import SimulatedNamespace
from tests.unit.domain.tree_strategies import CASCADES, Tree, edits, orders, trees


class QueueDrivenNamespace(SimulatedNamespace):
    """A namespace in which only queued instances are reconciled, as in the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: set[str] = set()

    def on_change(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        change = InstanceChange(old, new)
        self.queued.add(change.instance.name)
        self.queued.update(name for name, _ in affected_relatives(change, self))

    def drain(self, order: Random) -> None:
        """Reconcile queued instances in any order, each followed by garbage collection, until the queue is empty."""
        for _ in range(100_000):
            if not self.queued:
                return
            name = order.choice(sorted(self.queued))
            self.queued.discard(name)
            self.reconcile(name)
            for other in sorted(self.instances):
                self.collect_garbage(other)
        raise AssertionError("the queue never becomes empty")


@given(tree=trees(smallest=3), order=orders, data=st.data())
def test_a_resync_after_fan_out_finds_nothing_to_write(tree: Tree, order: Random, data: st.DataObject) -> None:
    namespace = QueueDrivenNamespace()
    arriving = list(tree)
    order.shuffle(arriving)
    for arrival in arriving:
        namespace.apply(arrival)
        if order.random() < 0.5:
            namespace.drain(order)
    for edit in data.draw(edits(tree)):
        edit.apply_to(namespace)
        if order.random() < 0.5:
            namespace.drain(order)
    if data.draw(st.booleans()):
        doomed = data.draw(st.sampled_from([member.name for member in tree]))
        namespace.delete(doomed, data.draw(st.sampled_from([*CASCADES, "orphan"])))
    namespace.now += seconds(10)  # new instances now report what they wait for
    namespace.drain(order)
    for name in sorted(namespace.instances):
        if namespace[name].status.observed_generation is None:
            namespace.queued.add(name)  # these asked to be requeued
    namespace.drain(order)
    namespace.writes.clear()
    for name in sorted(namespace.instances):
        namespace.reconcile(name)
    assert not namespace.writes


class TestDependents:
    """Fan-out to siblings that depend on the changed instance."""

    def requeued(self, old: HopperInstance, new: HopperInstance, *others: HopperInstance) -> set[str]:
        return {name for name, _ in affected_relatives(InstanceChange(old, new), InMemoryTree((*others, new)))}

    def waiting(self, name: str, reason: str) -> HopperInstance:
        made = instance(name, parent="shop", template_ref=NameRef(name="web"))
        return replace(made, status=replace(made.status, conditions=(condition(ConditionType.READY, "False", reason),)))

    def test_waiting_and_new_siblings_are_requeued_when_a_dependency_becomes_ready(self) -> None:
        db = instance("db", parent="shop")
        new = instance("new", parent="shop", template_ref=NameRef(name="web"))
        others = [self.waiting("a", "DependencyNotReady"), self.waiting("b", "ParentNotReady"), new]
        assert self.requeued(db, ready(db), *others, instance("logical")) == {"a", "new"}

    def test_waiting_and_new_siblings_are_requeued_when_a_dependency_moves_there(self) -> None:
        new = instance("new", parent="shop", template_ref=NameRef(name="web"))
        before, now = ready(instance("db", parent="mail")), ready(instance("db", parent="shop"))
        assert {"a", "new"} <= self.requeued(before, now, self.waiting("a", "DependencyNotReady"), new)

    def test_other_changes_requeue_only_siblings_that_report_the_dependency(self) -> None:
        db = instance("db", parent="shop")
        failed = replace(db, status=replace(db.status, phase=Phase.ERROR))
        others = [self.waiting("a", "DependencyNotReady"), self.waiting("b", "ParentNotReady")]
        assert self.requeued(db, failed, *others) == {"a"}
        assert self.requeued(db, replace(db, metadata=replace(db.metadata, resource_version="9")), *others) == set()
