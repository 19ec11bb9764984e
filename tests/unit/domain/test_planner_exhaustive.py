"""Exhaustive test of the planner: no illegal transition, no change of mind, no dead end, no endless loop.

The combinations of phase, desired state, parent, children, workload, requested restart and history of restarts are
about 28,000. For each, the test plans twice and then simulates children that stop, pods that start and fail, and time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, RestartMode, Scope
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.names import FINALIZER, ORPHAN_FINALIZER
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.lifecycle import TRANSITIONS
from hopper.domain.observed import ChildSummary, Observed
from hopper.domain.plan import Plan
from hopper.domain.planner import plan
from hopper.domain.workload import Workload
from tests.unit.domain.sample_instances import NOW, condition, instance, observe, policy, seconds
from tests.unit.domain.simulated_namespace import Pods

MAX_PLANS = 60  # five consecutive restarts take about twenty
DOWN = (DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED)


def parent(phase: Phase, desired: DesiredState = DesiredState.RUNNING, finalizer: str = "") -> HopperInstance:
    deleted = {"deleted": True, "finalizers": (finalizer,)} if finalizer else {}
    return instance("global", Scope.GLOBAL, phase=phase, desired=desired, **deleted)  # type: ignore[arg-type]


# name: the parent, and whether it has accepted the instance
PARENTS: dict[str, tuple[HopperInstance | None, bool]] = {
    "running": (parent(Phase.RUNNING), True),
    "running, not accepted yet": (parent(Phase.RUNNING), False),
    "paused": (parent(Phase.PAUSED, DesiredState.PAUSED), True),
    "stopped": (parent(Phase.STOPPED, DesiredState.STOPPED), True),
    "archived": (parent(Phase.ARCHIVED, DesiredState.ARCHIVED), True),
    "terminated": (parent(Phase.TERMINATED, DesiredState.TERMINATED), True),
    "created": (parent(Phase.CREATED), True),
    "failed": (parent(Phase.ERROR), True),
    "being deleted with orphans": (parent(Phase.RUNNING, finalizer=ORPHAN_FINALIZER), True),
    "being deleted, not accepted": (parent(Phase.RUNNING, finalizer=FINALIZER), False),
    "of the wrong scope": (instance("global", Scope.FEDERATED, phase=Phase.RUNNING), False),
}
ROOT, MISSING = "none at all", "missing"

CHILDREN = {
    "no children": ChildSummary(),
    "children inactive": ChildSummary(total=2, ready=2, expected=True),
    "children active": ChildSummary(total=2, ready=1, active=("a", "b"), expected=True),
}

# name: the pods; None for a logical instance
WORKLOADS: dict[str, Pods | None] = {
    "logical": None,
    "pods absent": Pods("absent"),
    "pods starting": Pods("starting"),
    "pods up": Pods("up"),
    "pods stopping": Pods("stopping"),
    "pods failed once": Pods("failed"),
    "pods failing for ever": Pods("failed", failures_left=10**6),
}


@dataclass(frozen=True)
class Situation:
    """Combination of everything that the planner observes."""

    phase: Phase | None
    desired: DesiredState
    parent_case: str
    children: str
    workload: str
    restart: bool
    acted: bool = True
    mode: RestartMode = RestartMode.ON_FAILURE
    retries: int = 0

    def observed(self) -> Observed:
        above, accepted = PARENTS.get(self.parent_case, (None, False))
        subject = instance(
            "web",
            parent=above if accepted else None if self.parent_case == ROOT else "global",
            phase=self.phase,
            desired=self.desired,
            generation=2,
            seen=1 if self.acted else 2,
            since=5,
            restarted_at=NOW if self.restart else None,
            restart_policy=policy(self.mode),
            status={"retries": self.retries} if self.phase else {},
        )
        pods = WORKLOADS[self.workload]
        seen = pods.workload() if pods else Workload()
        return observe(subject, *([above] if above else []), children=CHILDREN[self.children], workload=seen)


# Only relevant in Error: whether the user has changed the spec, the restart policy, and the retries so far.
ERROR_HISTORIES = [
    (acted, mode, retries)
    for acted, mode, retries in product([False, True], RestartMode, [0, 5])
    if retries == 0 or mode is not RestartMode.ALWAYS
]
# Possible pods by phase. Pods may be left over in phases that should have none.
PODS: dict[Phase | None, tuple[str, ...]] = {
    **dict.fromkeys((None, Phase.CREATED, Phase.ARCHIVED, Phase.TERMINATED), ("logical", "pods absent", "pods up")),
    Phase.ERROR: ("logical", "pods up", "pods failed once", "pods failing for ever"),
}


def situations(phase: Phase | None) -> Iterator[Situation]:
    """Yield every combination."""
    everywhere = [*PARENTS, ROOT, MISSING]
    if phase is Phase.ERROR:
        children = ("no children", "children active")
        for *values, past in product(
            [phase], DesiredState, everywhere, children, PODS[phase], [False, True], ERROR_HISTORIES
        ):
            yield Situation(*values, *past)
    else:
        pods = PODS.get(phase, tuple(WORKLOADS))
        for values in product([phase], DesiredState, everywhere, CHILDREN, pods, [False, True]):
            yield Situation(*values)


@dataclass
class Simulation:
    """An instance with children and pods that react to the plans."""

    o: Observed
    pods: Pods | None
    taken: list[str] = field(default_factory=list)

    def write(self, decided: Plan) -> None:
        """Write a plan to the instance; a start also replaces failed pods."""
        subject = self.o.instance
        if decided.metadata:
            change = decided.metadata
            metadata = replace(subject.metadata, owner_references=change.owner_references, finalizers=change.finalizers)
            subject = replace(subject, metadata=metadata)
        if decided.status:
            subject = replace(subject, status=decided.status)
        self.o = replace(self.o, instance=subject)
        for step in decided.transitions:
            self.taken.append(step.target)
            if self.pods:
                self.pods.on_transition(step)
        if self.o.workload.failure and Phase.STARTING in self.taken:
            self.observe_pods()

    def advance(self, decided: Plan) -> None:
        """Advance the pods and children, or else the clock to the requeue."""
        if self.pods:
            self.pods.step(self.o.phase)
            self.observe_pods()
        if self.o.children.active and self.o.effective.state in DOWN:
            self.o = replace(self.o, children=replace(self.o.children, active=self.o.children.active[1:]))
        elif decided.requeue_after:
            self.o = replace(self.o, now=self.o.now + seconds(decided.requeue_after))

    def observe_pods(self) -> None:
        self.o = replace(self.o, workload=self.pods.workload() if self.pods else Workload())


def simulation_of(situation: Situation) -> Simulation:
    pods = WORKLOADS[situation.workload]
    return Simulation(situation.observed(), replace(pods) if pods else None)


def changes_nothing(o: Observed, decided: Plan) -> bool:
    return decided.metadata is None and decided.delete is None and decided.status in (None, o.instance.status)


def check_plan(o: Observed, decided: Plan) -> InstanceStatus:
    """Assert the invariants of a plan for an instance that must not be deleted."""
    assert decided.delete is None
    phase = o.phase
    for step in decided.transitions:
        assert step.source is phase
        assert step.target in TRANSITIONS[phase]
        phase = step.target
    assert decided.status
    assert decided.status.phase is phase
    assert (decided.requeue_after or 1) > 0
    ready = decided.status.condition(ConditionType.READY)
    stalled = decided.status.condition(ConditionType.STALLED)
    reconciling = decided.status.condition(ConditionType.RECONCILING)
    assert ready
    assert {entry.observed_generation for entry in decided.status.conditions} == {o.instance.metadata.generation}
    assert {entry.reason for entry in decided.status.conditions} <= set(Reason)
    if ready.status == "True":
        assert stalled is reconciling is None
        assert phase.value == o.effective.state.value
        assert decided.status.observed_generation == o.instance.metadata.generation
        assert not o.restart_is_requested or decided.status.restarted_at == o.instance.spec.restarted_at
    else:
        assert (stalled is None) != (reconciling is None)
        assert ready.message, "a hold needs a message"
    return decided.status


def run_until_quiet(simulation: Simulation) -> InstanceStatus:
    """Plan and advance until nothing changes, or restarts follow each other at the maximum delay.

    The previous plan was written already, so the first plan here must not change anything.
    """
    for number in range(MAX_PLANS):
        decided = plan(simulation.o)
        status = check_plan(simulation.o, decided)
        quiet = changes_nothing(simulation.o, decided)
        assert quiet or number, f"second plan differs: {decided}"
        simulation.write(decided)
        waits_for_long = decided.requeue_after == simulation.o.restart_policy.max_backoff_seconds
        before = (simulation.o, simulation.pods and simulation.pods.state)
        if waits_for_long:
            return status
        simulation.advance(decided)
        if quiet and (simulation.o, simulation.pods and simulation.pods.state) == before:
            return status
    raise AssertionError(f"never comes to rest: {simulation.taken}")


def may_end_with(reason: str, situation: Situation, wanted: DesiredState) -> bool:
    """Whether this reason may permanently keep an instance from its effective state."""
    wants_started = wanted not in DOWN
    fails = situation.workload == "pods failing for ever"
    gave_up = situation.retries == 5 and not situation.acted and not situation.restart
    misplaced = situation.parent_case in ("of the wrong scope", "being deleted, not accepted", MISSING)
    match reason:
        case Reason.ALREADY_FINAL:
            return situation.phase in (Phase.ARCHIVED, Phase.TERMINATED)
        case Reason.WRONG_PARENT_SCOPE:
            return situation.parent_case == "of the wrong scope"
        case Reason.PARENT_NOT_FOUND | Reason.ORPHANED:
            return situation.parent_case == MISSING and wants_started
        case Reason.PARENT_IS_BEING_DELETED:
            return situation.parent_case == "being deleted, not accepted" and wants_started
        case Reason.PARENT_NOT_READY:
            return situation.parent_case in ("created", "failed") and wants_started
        case Reason.RESTARTS_EXHAUSTED:
            return situation.mode is RestartMode.ON_FAILURE and wants_started and (fails or gave_up)
        case Reason.RESTART_NEVER:
            failed = situation.phase is Phase.ERROR or situation.workload.startswith("pods fail")
            return situation.mode is RestartMode.NEVER and wants_started and failed
        case Reason.BACK_OFF:
            return situation.mode is RestartMode.ALWAYS and wants_started and fails and not misplaced
        case _:
            return False


@pytest.mark.parametrize("phase", [None, *Phase], ids=str)
def test_every_situation_comes_to_rest_with_legal_transitions(phase: Phase | None) -> None:
    for situation in situations(phase):
        try:
            check_situation(situation)
        except AssertionError as error:
            raise AssertionError(f"{situation}: {error}") from error


def check_situation(situation: Situation) -> None:
    simulation = simulation_of(situation)
    decided = plan(simulation.o)
    check_plan(simulation.o, decided)
    simulation.write(decided)
    status = run_until_quiet(simulation)
    wanted = simulation.o.effective.state
    ready = status.condition(ConditionType.READY)
    assert ready
    if ready.status == "True":
        assert status.phase.value == wanted.value
    else:
        assert may_end_with(ready.reason, situation, wanted), f"ends {status.phase} with {ready.reason}"
    if situation.workload != "pods failing for ever":
        assert len(simulation.taken) <= 9, f"takes detours: {simulation.taken}"
    if ready.reason in (Reason.PARENT_NOT_READY, Reason.PARENT_NOT_FOUND, Reason.ORPHANED):
        check_after_parent_runs(simulation, situation)


def check_after_parent_runs(simulation: Simulation, situation: Situation) -> None:
    """Assert that the instance reaches its goal once the parent runs, so that no earlier request is lost."""
    running_parent = parent(Phase.RUNNING)
    repaired = observe(
        simulation.o.instance,
        running_parent,
        now=simulation.o.now,
        children=simulation.o.children,
        workload=simulation.o.workload,
    )
    simulation.o = repaired
    simulation.write(plan(repaired))
    status = run_until_quiet(simulation)
    ready = status.condition(ConditionType.READY)
    assert ready
    assert ready.status == "True" or may_end_with(
        ready.reason, replace(situation, parent_case="running"), situation.desired
    )


DELETED = list(
    product(
        [None, *Phase],
        [*PARENTS, ROOT, MISSING],
        [*CHILDREN.values(), ChildSummary(total=1, active=("a",), protected=("a",))],
        [(), (FINALIZER,), (FINALIZER, ORPHAN_FINALIZER)],
    )
)


def test_only_the_finalizer_and_the_children_decide_about_a_deletion() -> None:
    """Phase, parent and desired state have no influence."""
    for phase, place, children, finalizers in DELETED:
        o = Situation(phase, DesiredState.RUNNING, place, "no children", "logical", restart=True).observed()
        metadata = replace(o.instance.metadata, deletion_timestamp=NOW, finalizers=finalizers)
        o = replace(o, instance=replace(o.instance, metadata=metadata), children=children)
        decided = plan(o)
        assert (decided.delete, decided.transitions) == (None, ())
        released = FINALIZER in finalizers and (not children.total or ORPHAN_FINALIZER in finalizers)
        assert (decided.metadata is not None) == released
        if decided.metadata:
            assert decided.metadata.owner_references == metadata.owner_references
            assert decided.metadata.finalizers == tuple(finalizer for finalizer in finalizers if finalizer != FINALIZER)
        waits = FINALIZER in finalizers and not released
        assert decided.requeue_after == (DETAILS_AFTER_SECONDS if waits else None)
        blocked = bool(children.protected) and waits
        assert (decided.status is not None) == blocked
        if decided.status:
            assert plan(o.with_status(decided.status)).status == decided.status
            assert decided.status.phase is o.phase


def test_a_parent_being_deleted_deletes_its_children_in_every_state() -> None:
    """Only protected children are spared."""
    for phase, desired, protected in product([None, *Phase], DesiredState, [False, True]):
        dying = parent(Phase.RUNNING, finalizer=FINALIZER)
        child = instance("web", parent=dying, phase=phase, desired=desired, deletion_protection=protected)
        decided = plan(observe(child, dying))
        assert decided.delete == (None if protected else Reason.PARENT_IS_BEING_DELETED)
        assert (decided.status is None) != protected


def test_leftover_conditions_do_not_affect_the_plan() -> None:
    """Even conditions written by another operator do not."""
    leftovers = (condition(ConditionType.READY, "Unknown", "Whatever"), condition(ConditionType.STALLED, "True", "Odd"))
    for situation in situations(Phase.RUNNING):
        o = situation.observed()
        before = replace(o.instance.status, conditions=leftovers, path="elsewhere", depth=9, effective_state=None)
        decided, plain = plan(o.with_status(before)), plan(o)
        assert decided.transitions == plain.transitions
        assert decided.status
        assert plain.status
        assert [replace(entry, last_transition_time=NOW) for entry in decided.status.conditions] == [
            replace(entry, last_transition_time=NOW) for entry in plain.status.conditions
        ]
