"""Every situation that the planner may meet: no illegal step, no second thought, no dead end, no going in circles.

Phase, wish, place, children, workload, restart asked for, and what the restart policy has been through: some 28,000
combinations. Each is planned, planned again, and then lived through in a fair world, in which children stop when they
are told, workloads come and go, and time passes.
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

LONGEST_LIFE = 60  # plans; five restarts in a row take about twenty
DOWN = (DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED)


def parent(phase: Phase, desired: DesiredState = DesiredState.RUNNING, finalizer: str = "") -> HopperInstance:
    deleted = {"deleted": True, "finalizers": (finalizer,)} if finalizer else {}
    return instance("global", Scope.GLOBAL, phase=phase, desired=desired, **deleted)  # type: ignore[arg-type]


# name: the parent, and whether the instance is accepted below it
PLACES: dict[str, tuple[HopperInstance | None, bool]] = {
    "running": (parent(Phase.RUNNING), True),
    "running, not accepted yet": (parent(Phase.RUNNING), False),
    "paused": (parent(Phase.PAUSED, DesiredState.PAUSED), True),
    "stopped": (parent(Phase.STOPPED, DesiredState.STOPPED), True),
    "archived": (parent(Phase.ARCHIVED, DesiredState.ARCHIVED), True),
    "terminated": (parent(Phase.TERMINATED, DesiredState.TERMINATED), True),
    "created": (parent(Phase.CREATED), True),
    "failed": (parent(Phase.ERROR), True),
    "letting go": (parent(Phase.RUNNING, finalizer=ORPHAN_FINALIZER), True),
    "dying, not accepted": (parent(Phase.RUNNING, finalizer=FINALIZER), False),
    "of the wrong scope": (instance("global", Scope.FEDERATED, phase=Phase.RUNNING), False),
}
ROOT, MISSING = "none at all", "missing"

CHILDREN = {
    "no children": ChildSummary(),
    "children down": ChildSummary(total=2, ready=2, expected=True),
    "children up": ChildSummary(total=2, ready=1, active=("a", "b"), expected=True),
}

# name: the pods as they are, None for a logical instance
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
    """One combination."""

    phase: Phase | None
    desired: DesiredState
    place: str
    children: str
    workload: str
    restart: bool
    acted: bool = True
    mode: RestartMode = RestartMode.ON_FAILURE
    retries: int = 0

    def observed(self) -> Observed:
        home, accepted = PLACES.get(self.place, (None, False))
        subject = instance(
            "web",
            parent=home if accepted else None if self.place == ROOT else "global",
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
        seen = pods.seen() if pods else Workload()
        return observe(subject, *([home] if home else []), children=CHILDREN[self.children], workload=seen)


# What happened before, and only matters in Error: user acted or not, restart policy, restarts in a row.
PASTS = [
    (acted, mode, retries)
    for acted, mode, retries in product([False, True], RestartMode, [0, 5])
    if retries == 0 or mode is not RestartMode.ALWAYS
]
# Pods as they may be in a phase; where nothing ought to run, something may have been left.
PODS: dict[Phase | None, tuple[str, ...]] = {
    **dict.fromkeys((None, Phase.CREATED, Phase.ARCHIVED, Phase.TERMINATED), ("logical", "pods absent", "pods up")),
    Phase.ERROR: ("logical", "pods up", "pods failed once", "pods failing for ever"),
}


def situations(phase: Phase | None) -> Iterator[Situation]:
    """Yield every combination."""
    everywhere = [*PLACES, ROOT, MISSING]
    if phase is Phase.ERROR:
        children = ("no children", "children up")
        for *values, past in product([phase], DesiredState, everywhere, children, PODS[phase], [False, True], PASTS):
            yield Situation(*values, *past)
    else:
        pods = PODS.get(phase, tuple(WORKLOADS))
        for values in product([phase], DesiredState, everywhere, CHILDREN, pods, [False, True]):
            yield Situation(*values)


@dataclass
class Life:
    """One instance and its surroundings, which react to what is planned."""

    o: Observed
    pods: Pods | None
    taken: list[str] = field(default_factory=list)

    def write(self, decided: Plan) -> None:
        """Carry a plan out; nothing but the object changes, except that a start leaves behind what failed before."""
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
                self.pods.told(step)
        if self.o.workload.failure and Phase.STARTING in self.taken:
            self.look_at_the_pods()

    def go_on(self, decided: Plan) -> None:
        """Let the surroundings do what they were told, and time pass where the plan asks for it."""
        if self.pods:
            self.pods.work(self.o.phase)
            self.look_at_the_pods()
        if self.o.children.active and self.o.effective.state in DOWN:
            self.o = replace(self.o, children=replace(self.o.children, active=self.o.children.active[1:]))
        elif decided.requeue_after:
            self.o = replace(self.o, now=self.o.now + seconds(decided.requeue_after))

    def look_at_the_pods(self) -> None:
        self.o = replace(self.o, workload=self.pods.seen() if self.pods else Workload())


def begin(situation: Situation) -> Life:
    pods = WORKLOADS[situation.workload]
    return Life(situation.observed(), replace(pods) if pods else None)


def says_nothing_new(o: Observed, decided: Plan) -> bool:
    return decided.metadata is None and decided.delete is None and decided.status in (None, o.instance.status)


def check_plan(o: Observed, decided: Plan) -> InstanceStatus:
    """Check what holds for every plan about an instance that is to live."""
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
    assert {it.observed_generation for it in decided.status.conditions} == {o.instance.metadata.generation}
    assert {it.reason for it in decided.status.conditions} <= set(Reason)
    if ready.status == "True":
        assert stalled is reconciling is None
        assert phase.value == o.effective.state.value
        assert decided.status.observed_generation == o.instance.metadata.generation
        assert not o.restart_is_requested or decided.status.restarted_at == o.instance.spec.restarted_at
    else:
        assert (stalled is None) != (reconciling is None)
        assert ready.message, "a reason that people can read"
    return decided.status


def live(life: Life) -> InstanceStatus:
    """Go on until nothing is left to do, or restarts follow each other at the longest distance.

    What was planned last is written, so that the first plan has nothing to add.
    """
    for number in range(LONGEST_LIFE):
        decided = plan(life.o)
        status = check_plan(life.o, decided)
        quiet = says_nothing_new(life.o, decided)
        assert quiet or number, f"has second thoughts: {decided}"
        life.write(decided)
        waits_for_long = decided.requeue_after == life.o.restart_policy.max_backoff_seconds
        before = (life.o, life.pods and life.pods.are)
        if waits_for_long:
            return status
        life.go_on(decided)
        if quiet and (life.o, life.pods and life.pods.are) == before:
            return status
    raise AssertionError(f"goes on and on: {life.taken}")


# What may keep an instance from its effective state for good, and in which situations.
def may_end_with(reason: str, situation: Situation, wanted: DesiredState) -> bool:
    wants_started = wanted not in DOWN
    fails = situation.workload == "pods failing for ever"
    gave_up = situation.retries == 5 and not situation.acted and not situation.restart
    misplaced = situation.place in ("of the wrong scope", "dying, not accepted", MISSING)
    match reason:
        case Reason.ALREADY_FINAL:
            return situation.phase in (Phase.ARCHIVED, Phase.TERMINATED)
        case Reason.WRONG_PARENT_SCOPE:
            return situation.place == "of the wrong scope"
        case Reason.PARENT_NOT_FOUND | Reason.ORPHANED:
            return situation.place == MISSING and wants_started
        case Reason.PARENT_IS_BEING_DELETED:
            return situation.place == "dying, not accepted" and wants_started
        case Reason.PARENT_NOT_READY:
            return situation.place in ("created", "failed") and wants_started
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
def test_every_situation(phase: Phase | None) -> None:
    for situation in situations(phase):
        try:
            live_through(situation)
        except AssertionError as error:
            raise AssertionError(f"{situation}: {error}") from error


def live_through(situation: Situation) -> None:
    life = begin(situation)
    decided = plan(life.o)
    check_plan(life.o, decided)
    life.write(decided)
    status = live(life)
    wanted = life.o.effective.state
    ready = status.condition(ConditionType.READY)
    assert ready
    if ready.status == "True":
        assert status.phase.value == wanted.value
    else:
        assert may_end_with(ready.reason, situation, wanted), f"ends {status.phase} with {ready.reason}"
    if situation.workload != "pods failing for ever":
        assert len(life.taken) <= 9, f"takes detours: {life.taken}"
    if ready.reason in (Reason.PARENT_NOT_READY, Reason.PARENT_NOT_FOUND, Reason.ORPHANED):
        mend_the_parent(life, situation)


def mend_the_parent(life: Life, situation: Situation) -> None:
    """Once the parent is there and runs, nothing of what was asked for before is forgotten."""
    better = parent(Phase.RUNNING)
    mended = observe(life.o.instance, better, now=life.o.now, children=life.o.children, workload=life.o.workload)
    life.o = mended
    life.write(plan(mended))
    status = live(life)
    ready = status.condition(ConditionType.READY)
    assert ready
    assert ready.status == "True" or may_end_with(ready.reason, replace(situation, place="running"), situation.desired)


DELETED = list(
    product(
        [None, *Phase],
        [*PLACES, ROOT, MISSING],
        [*CHILDREN.values(), ChildSummary(total=1, active=("a",), protected=("a",))],
        [(), (FINALIZER,), (FINALIZER, ORPHAN_FINALIZER)],
    )
)


def test_every_deletion() -> None:
    """Nothing but the finalizer decides, and only on the children: neither phase nor place nor wish has a say."""
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
            assert decided.metadata.finalizers == tuple(it for it in finalizers if it != FINALIZER)
        waits = FINALIZER in finalizers and not released
        assert decided.requeue_after == (DETAILS_AFTER_SECONDS if waits else None)
        blocked = bool(children.protected) and waits
        assert (decided.status is not None) == blocked
        if decided.status:
            assert plan(o.with_status(decided.status)).status == decided.status
            assert decided.status.phase is o.phase


def test_every_cascade() -> None:
    """A parent being deleted takes along what is its own, in whatever state."""
    for phase, desired, protected in product([None, *Phase], DesiredState, [False, True]):
        dying = parent(Phase.RUNNING, finalizer=FINALIZER)
        child = instance("web", parent=dying, phase=phase, desired=desired, deletion_protection=protected)
        decided = plan(observe(child, dying))
        assert decided.delete == (None if protected else Reason.PARENT_IS_BEING_DELETED)
        assert (decided.status is None) != protected


def test_what_was_said_before_changes_nothing() -> None:
    """Leftovers of any status, even of another operator, do not lead the planner astray."""
    odd = (condition(ConditionType.READY, "Unknown", "Whatever"), condition(ConditionType.STALLED, "True", "Odd"))
    for situation in situations(Phase.RUNNING):
        o = situation.observed()
        before = replace(o.instance.status, conditions=odd, path="elsewhere", depth=9, effective_state=None)
        decided, plain = plan(o.with_status(before)), plan(o)
        assert decided.transitions == plain.transitions
        assert decided.status
        assert plain.status
        assert [replace(it, last_transition_time=NOW) for it in decided.status.conditions] == [
            replace(it, last_transition_time=NOW) for it in plain.status.conditions
        ]
