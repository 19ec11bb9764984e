"""Invariants of a tree: after every reconcile, and at rest."""

from __future__ import annotations

from collections.abc import Iterator

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.domain.lifecycle import ACTIVE, INACTIVE, STARTED, is_legal, wants_started
from hopper.domain.plan import Plan
from tests.unit.domain.simulated_namespace import SimulatedNamespace


class PlanInvariants:
    """Assertions about every plan in a simulated namespace, whatever the order of events."""

    def __init__(self, namespace: SimulatedNamespace) -> None:
        namespace.step_checks.append(self.check)

    def check(self, namespace: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        self.transitions_are_legal_and_connected(before, decided)
        self.parents_start_first(namespace, before, decided)
        self.parents_stop_last(namespace, before, decided)
        self.ready_belongs_to_the_observed_generation(before, decided)
        self.no_instance_owns_itself(namespace)

    def transitions_are_legal_and_connected(self, before: HopperInstance, decided: Plan) -> None:
        phase = before.status.phase
        if decided.status and decided.status.predecessor and phase is Phase.CREATED and not decided.transitions:
            phase = decided.status.phase  # a successor continues with the phase of its predecessor
        for step in decided.transitions:
            assert step.source is phase
            assert is_legal(step.source, step.target)
            phase = step.target
        if decided.status:
            assert decided.status.phase is phase

    def parents_start_first(self, namespace: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        starts = any(step.target is Phase.STARTING for step in decided.transitions)
        if starts and before.parent_name:
            assert namespace[before.parent_name].status.phase in STARTED, f"{before.name} starts before its parent"

    def parents_stop_last(self, namespace: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        ends = decided.status and decided.transitions and decided.status.phase in INACTIVE
        if ends and decided.status.effective_state and not wants_started(decided.status.effective_state):
            up = [child.name for child in accepted_children(namespace, before) if child.status.phase in ACTIVE]
            assert not up, f"{before.name} is {decided.status.phase} before {up}"

    def ready_belongs_to_the_observed_generation(self, before: HopperInstance, decided: Plan) -> None:
        if decided.status is None:
            return
        status = decided.status
        assert [condition.type for condition in status.conditions].count(ConditionType.READY) == 1
        assert not (status.condition(ConditionType.STALLED) and status.condition(ConditionType.RECONCILING))
        if status.is_ready:
            assert status.observed_generation == before.metadata.generation

    def no_instance_owns_itself(self, namespace: SimulatedNamespace) -> None:
        for member in namespace.instances.values():
            seen, step = {member.metadata.uid}, owner_of(namespace, member)
            while step is not None:
                assert step.metadata.uid not in seen, f"{member.name} is among its own owners"
                seen.add(step.metadata.uid)
                step = owner_of(namespace, step)


def accepted_children(namespace: SimulatedNamespace, parent: HopperInstance) -> Iterator[HopperInstance]:
    for child in namespace.children(parent.name):
        if any(reference.uid == parent.metadata.uid for reference in child.metadata.owner_references):
            yield child


def owner_of(namespace: SimulatedNamespace, member: HopperInstance) -> HopperInstance | None:
    uids = {reference.uid for reference in member.metadata.owner_references}
    return next((other for other in namespace.instances.values() if other.metadata.uid in uids), None)


def assert_at_rest(namespace: SimulatedNamespace) -> None:
    """Assert that every instance has its effective state or a reason why not, and none runs below a stopped parent."""
    for member in namespace.instances.values():
        parent = namespace.get(member.parent_name) if member.parent_name else None
        placed = member.status.condition(ConditionType.HIERARCHY_VALID)
        if parent and placed and placed.status == "True" and parent.status.phase in INACTIVE:
            assert member.status.phase not in ACTIVE
        ready = member.status.condition(ConditionType.READY)
        assert ready
        assert ready.reason in set(Reason)
        if ready.status == "True":
            assert member.status.effective_state
            assert member.status.phase.value == member.status.effective_state.value
        else:
            assert member.status.condition(ConditionType.STALLED) or member.status.condition(ConditionType.RECONCILING)
