"""What Hopper promises about a tree, at every step and at rest."""

from __future__ import annotations

from collections.abc import Iterator

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.domain.lifecycle import ACTIVE, STARTED, is_legal, wants_started
from hopper.domain.plan import Plan
from tests.unit.domain.simulated_namespace import SimulatedNamespace

DOWN_FOR_GOOD = (Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED)


class Promises:
    """What holds at every single step, whatever the order. Watches a world, and fails where a promise is broken."""

    def __init__(self, world: SimulatedNamespace) -> None:
        world.witnesses.append(self.check)

    def check(self, world: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        self.transitions_are_legal_and_connected(before, decided)
        self.parents_start_first(world, before, decided)
        self.parents_stop_last(world, before, decided)
        self.ready_speaks_of_the_present(before, decided)
        self.nobody_owns_itself(world)

    def transitions_are_legal_and_connected(self, before: HopperInstance, decided: Plan) -> None:
        phase = before.status.phase
        if decided.status and decided.status.predecessor and phase is Phase.CREATED and not decided.transitions:
            phase = decided.status.phase  # goes on where another one has stopped
        for step in decided.transitions:
            assert step.source is phase
            assert is_legal(step.source, step.target)
            phase = step.target
        if decided.status:
            assert decided.status.phase is phase

    def parents_start_first(self, world: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        starts = any(step.target is Phase.STARTING for step in decided.transitions)
        if starts and before.parent_name:
            assert world[before.parent_name].status.phase in STARTED, f"{before.name} starts before its parent"

    def parents_stop_last(self, world: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
        ends = decided.status and decided.transitions and decided.status.phase in DOWN_FOR_GOOD
        if ends and decided.status.effective_state and not wants_started(decided.status.effective_state):
            up = [child.name for child in accepted_children(world, before) if child.status.phase in ACTIVE]
            assert not up, f"{before.name} is {decided.status.phase} before {up}"

    def ready_speaks_of_the_present(self, before: HopperInstance, decided: Plan) -> None:
        if decided.status is None:
            return
        status = decided.status
        assert [it.type for it in status.conditions].count(ConditionType.READY) == 1
        assert not (status.condition(ConditionType.STALLED) and status.condition(ConditionType.RECONCILING))
        if status.is_ready:
            assert status.observed_generation == before.metadata.generation

    def nobody_owns_itself(self, world: SimulatedNamespace) -> None:
        for one in world.instances.values():
            seen, step = {one.metadata.uid}, owner_of(world, one)
            while step is not None:
                assert step.metadata.uid not in seen, f"{one.name} is among its own owners"
                seen.add(step.metadata.uid)
                step = owner_of(world, step)


def accepted_children(world: SimulatedNamespace, parent: HopperInstance) -> Iterator[HopperInstance]:
    for child in world.children(parent.name):
        if any(reference.uid == parent.metadata.uid for reference in child.metadata.owner_references):
            yield child


def owner_of(world: SimulatedNamespace, one: HopperInstance) -> HopperInstance | None:
    uids = {reference.uid for reference in one.metadata.owner_references}
    return next((other for other in world.instances.values() if other.metadata.uid in uids), None)


def assert_at_rest(world: SimulatedNamespace) -> None:
    """Nobody runs below somebody who is down, everybody is where they should be, or says why not."""
    for one in world.instances.values():
        parent = world.get(one.parent_name) if one.parent_name else None
        placed = one.status.condition(ConditionType.HIERARCHY_VALID)
        if parent and placed and placed.status == "True" and parent.status.phase in DOWN_FOR_GOOD:
            assert one.status.phase not in ACTIVE
        ready = one.status.condition(ConditionType.READY)
        assert ready
        assert ready.reason in set(Reason)
        if ready.status == "True":
            assert one.status.effective_state
            assert one.status.phase.value == one.status.effective_state.value
        else:
            assert one.status.condition(ConditionType.STALLED) or one.status.condition(ConditionType.RECONCILING)
