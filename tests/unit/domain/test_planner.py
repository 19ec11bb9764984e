"""The planner's precedence, from deletion down: who is deleted, who waits, and what the object's metadata becomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, RestartMode, Scope
from hopper.api.instance import ChildCounts, HopperInstance
from hopper.api.model import OwnerReference
from hopper.api.names import FINALIZER, ORPHAN_FINALIZER
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.observed import ChildSummary
from hopper.domain.plan import HierarchyEvent, MetadataChange, Plan
from hopper.domain.planner import FIRST_STATUS_DELAY_SECONDS, plan
from tests.unit.domain.sample_instances import (
    NOW,
    condition,
    foreign_owner,
    instance,
    observe,
    owned_by,
    phases,
    policy,
    seconds,
)

GUARDED = (FINALIZER,)
OTHER = "example.org/backup"


def worker(**fields: Any) -> HopperInstance:
    return instance("worker", Scope.ORCHESTRATION, **fields)


# name: the instance being deleted, its children, the finalizers it is to have (None: left as it is)
DELETIONS: dict[str, tuple[dict[str, Any], ChildSummary, tuple[str, ...] | None]] = {
    "no finalizer, nothing to do": ({}, ChildSummary(total=1, active=("a",)), None),
    "somebody else's finalizer is left alone": ({"finalizers": (OTHER,)}, ChildSummary(), None),
    "children first": ({"finalizers": GUARDED}, ChildSummary(total=1), None),
    "children first, stopped or not": ({"finalizers": GUARDED}, ChildSummary(total=1, active=("a",)), None),
    "none left": ({"finalizers": GUARDED}, ChildSummary(), ()),
    "none left, others' finalizers stay": ({"finalizers": (OTHER, FINALIZER, "z")}, ChildSummary(), (OTHER, "z")),
    "those not accepted do not count": ({"finalizers": GUARDED}, ChildSummary(expected=True), ()),
    "orphans are let go": (
        *({"finalizers": (ORPHAN_FINALIZER, FINALIZER)}, ChildSummary(total=2, active=("a", "b"), expected=True)),
        (ORPHAN_FINALIZER,),
    ),
    "protected orphans too": (
        *({"finalizers": (ORPHAN_FINALIZER, FINALIZER)}, ChildSummary(total=1, protected=("a",))),
        (ORPHAN_FINALIZER,),
    ),
    "foreground deletion waits all the same": (
        *({"finalizers": ("foregroundDeletion", FINALIZER)}, ChildSummary(total=1)),
        None,
    ),
}


@pytest.mark.parametrize("case", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.parametrize("phase", [None, *Phase])
def test_deletion(phase: Phase | None, case: tuple[dict[str, Any], ChildSummary, tuple[str, ...] | None]) -> None:
    fields, children, finalizers = case
    deleted = instance(phase=phase, deleted=True, owners=(foreign_owner(),), **fields)
    expected = None if finalizers is None else MetadataChange((foreign_owner(),), finalizers)
    waits = FINALIZER in deleted.metadata.finalizers and expected is None
    requeue = DETAILS_AFTER_SECONDS if waits else None
    assert plan(observe(deleted, children=children)) == Plan(metadata=expected, requeue_after=requeue)


def test_deletion_needs_neither_parent_nor_a_valid_place() -> None:
    lost = worker(parent="gone", phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    assert plan(observe(lost)) == Plan(metadata=MetadataChange((), ()))
    broken = observe(lost, config_problems=("spec.config.x is wrong",), refusal="403: no")
    assert plan(broken) == Plan(metadata=MetadataChange((), ()))


def test_deletion_that_protected_children_block_is_reported() -> None:
    names = tuple(f"child-{number}" for number in range(7))
    deleted = instance(phase=Phase.RUNNING, generation=4, seen=3, deleted=True, finalizers=GUARDED)
    o = observe(deleted, children=ChildSummary(total=9, protected=names))
    decided = plan(o)
    assert decided == Plan(status=decided.status, requeue_after=DETAILS_AFTER_SECONDS)
    assert decided.status
    assert decided.status.phase is Phase.RUNNING
    assert decided.status.observed_generation == 4
    ready, stalled = decided.status.conditions
    assert (ready.type, ready.status, ready.reason) == (ConditionType.READY, "False", Reason.DELETION_BLOCKED)
    assert (stalled.type, stalled.status, stalled.reason) == (ConditionType.STALLED, "True", Reason.DELETION_BLOCKED)
    assert ready.message == (
        "deletion waits for child-0, child-1, child-2, child-3, child-4 and 2 more: "
        "set spec.deletionProtection to false there, or move them to another parent"
    )
    assert plan(o.with_status(decided.status)).status == decided.status


def test_a_deletion_that_waits_for_somebody_further_down_says_where_to_look() -> None:
    """The child is not protected itself: it would be wrong to send anybody there to lift that."""
    dying = instance("global", Scope.GLOBAL, phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    status = plan(observe(dying, children=ChildSummary(total=1, ready=1, blocked=("web",)))).status
    assert status
    assert status.conditions[0].message == "deletion waits for web, whose own deletion is blocked: see there"
    assert status.children == ChildCounts(total=1, ready=1)


def test_what_blocked_a_deletion_is_taken_back_once_it_does_not() -> None:
    dying = instance(phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    blocked = plan(observe(dying, children=ChildSummary(total=1, protected=("a",)))).status
    assert blocked
    released = plan(observe(dying, children=ChildSummary(total=1)).with_status(blocked)).status
    assert released
    assert [(it.type, it.status, it.reason) for it in released.conditions] == [
        (ConditionType.READY, "False", Reason.DELETION_BLOCKED),
        (ConditionType.RECONCILING, "True", Reason.DELETION_BLOCKED),
    ]
    assert released.conditions[0].message == "deletion waits for its children, which are being deleted"


def test_a_deletion_that_takes_long_says_for_what_it_waits() -> None:
    dying = instance(phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    o = observe(dying, children=ChildSummary(total=2, held=("a (finalizer example.com/hold)",)))
    assert plan(o) == Plan(requeue_after=DETAILS_AFTER_SECONDS)
    later = plan(replace(o, now=NOW + seconds(DETAILS_AFTER_SECONDS)))
    assert later == Plan(status=later.status)
    assert later.status
    said = "deletion waits for a (finalizer example.com/hold): the controller of the finalizer must remove it"
    assert later.status.condition(ConditionType.READY) == condition(
        ConditionType.READY, "False", Reason.DELETION_BLOCKED, message=said, since=-DETAILS_AFTER_SECONDS
    )
    assert later.status.condition(ConditionType.STALLED) is None


@pytest.mark.parametrize("phase", Phase)
def test_what_the_api_server_does_not_let_us_delete_lives_on_and_says_so(phase: Phase) -> None:
    """Its parent is being deleted, its time is over: it stops where it is to stop, and is Stalled."""
    child = worker(parent=DYING, phase=phase, desired=DesiredState.STOPPED, ttl_seconds_after_finished=0)
    decided = plan(observe(child, DYING, refusal="deletion (TTLExpired): 403: no"))
    assert decided.delete is None
    assert decided.status
    stalled = decided.status.condition(ConditionType.STALLED)
    assert stalled
    assert stalled.message == "the API server rejects a change to this instance: deletion (TTLExpired): 403: no"
    assert not decided.status.is_ready
    if phase is Phase.RUNNING:
        assert decided.status.phase is Phase.STOPPED


DYING = instance("web", phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
LETTING_GO = replace(DYING, metadata=replace(DYING.metadata, finalizers=(ORPHAN_FINALIZER,)))
TAKEN_ALONG = Plan(delete=Reason.PARENT_IS_BEING_DELETED)


@pytest.mark.parametrize("phase", [None, *Phase])
def test_a_parent_takes_its_children_along(phase: Phase | None) -> None:
    assert plan(observe(worker(parent=DYING, phase=phase), DYING)) == TAKEN_ALONG


def test_a_parent_being_deleted_takes_along_only_what_is_its_own() -> None:
    for spared in (
        worker(parent=DYING, phase=Phase.RUNNING, deletion_protection=True),
        worker(parent="web", phase=Phase.RUNNING),
        worker(parent="web", phase=Phase.RUNNING, owners=(owned_by(DYING, uid="uid-of-an-earlier-web"),)),
    ):
        decided = plan(observe(spared, DYING))
        assert decided.delete is None
        assert decided.status
        assert decided.status.phase is Phase.RUNNING
    assert plan(observe(worker(parent=LETTING_GO, phase=Phase.RUNNING), LETTING_GO)).delete is None


def test_who_moves_away_in_time_is_spared() -> None:
    other = instance("other", phase=Phase.RUNNING)
    moved = worker(parent="other", phase=Phase.RUNNING, owners=(owned_by(DYING),))
    decided = plan(observe(moved, DYING, other))
    assert decided.delete is None
    assert decided.metadata == MetadataChange((owned_by(other),), ())


def test_a_newcomer_below_a_parent_being_deleted_waits() -> None:
    decided = plan(observe(worker(parent="web"), DYING))
    assert decided.delete is None
    assert decided.metadata is None
    assert decided.status
    assert decided.status.phase is Phase.CREATED
    ready = decided.status.condition(ConditionType.READY)
    assert ready
    assert ready.reason == Reason.PARENT_IS_BEING_DELETED
    assert ready.message == 'parent "web" is being deleted; choose another spec.parentRef.name'


# name: the instance, and the seconds left of a time to live of 100 s; None where it is not to be deleted at all
ENDS: dict[str, tuple[dict[str, Any], float | None]] = {
    "stopped": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 60}, 40),
    "to the second": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 100}, 0),
    "long over": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 1000}, 0),
    "terminated": ({"phase": Phase.TERMINATED, "desired": DesiredState.TERMINATED, "since": 1000}, 0),
    "terminated by an ancestor": ({"phase": Phase.TERMINATED, "since": 1000}, 0),
    "given up": ({"phase": Phase.ERROR, "status": {"retries": 5}, "since": 1000}, 0),
    "never restarted": ({"phase": Phase.ERROR, "restart_policy": policy(RestartMode.NEVER), "since": 1000}, 0),
    "restarted for ever": (
        {"phase": Phase.ERROR, "restart_policy": policy(RestartMode.ALWAYS), "status": {"retries": 9}, "since": 1000},
        None,
    ),
    "tried again": ({"phase": Phase.ERROR, "status": {"retries": 4}, "since": 1000}, None),
    "mended": ({"phase": Phase.ERROR, "status": {"retries": 5}, "generation": 2, "seen": 1, "since": 1000}, None),
    "held at Stopped by an ancestor": ({"phase": Phase.STOPPED, "since": 1000}, None),
    "to run again": ({"phase": Phase.STOPPED, "generation": 2, "seen": 1, "since": 1000}, None),
    "archived": ({"phase": Phase.ARCHIVED, "desired": DesiredState.ARCHIVED, "since": 1000}, None),
    "running": ({"phase": Phase.RUNNING, "since": 1000}, None),
    "protected": (
        {"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "deletion_protection": True, "since": 1000},
        None,
    ),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_time_to_live(case: tuple[dict[str, Any], float | None]) -> None:
    fields, left = case
    decided = plan(observe(instance(ttl_seconds_after_finished=100, **fields)))
    if left == 0:
        assert decided == Plan(delete=Reason.TTL_EXPIRED)
    else:
        assert decided.delete is None
        assert decided.requeue_after == left
    assert plan(observe(instance(**fields))).delete is None, "without a time to live nothing ends"


def test_time_to_live_begins_with_the_end() -> None:
    ending = instance(phase=Phase.RUNNING, desired=DesiredState.STOPPED, ttl_seconds_after_finished=100, since=1000)
    assert plan(observe(ending)).requeue_after == 100
    at_once = replace(ending, spec=replace(ending.spec, ttl_seconds_after_finished=0))
    o = observe(at_once)
    decided = plan(o)
    assert (phases(decided), decided.requeue_after) == ("Running Stopping Stopped", 0)
    assert decided.status
    assert plan(o.with_status(decided.status)) == Plan(delete=Reason.TTL_EXPIRED)


def test_time_to_live_begins_with_the_own_wish_to_be_stopped() -> None:
    """However long an ancestor has held the instance before."""
    held = (condition(ConditionType.READY, "True", Reason.INHERITED_FROM),)
    stopped = instance(
        phase=Phase.STOPPED,
        desired=DesiredState.STOPPED,
        ttl_seconds_after_finished=100,
        since=1000,
        status={"conditions": held, "stopped_at": NOW - seconds(1000)},
    )
    o = observe(stopped)
    decided = plan(o)
    assert (decided.delete, decided.requeue_after) == (None, 100)
    assert decided.status
    assert decided.status.stopped_at == NOW
    assert decided.status.last_transition_time == NOW - seconds(1000)
    for passed, left in ((99, 1), (100, None)):
        later = plan(replace(o.with_status(decided.status), now=NOW + seconds(passed)))
        assert (later.delete, later.requeue_after) == ((None, left) if left else (Reason.TTL_EXPIRED, None))


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.TERMINATED, Phase.ERROR])
def test_a_time_to_come_that_somebody_has_written_counts_as_now(phase: Phase) -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    state = {Phase.STOPPED: DesiredState.STOPPED, Phase.TERMINATED: DesiredState.TERMINATED}
    odd = instance(
        phase=phase,
        desired=state.get(phase, DesiredState.RUNNING),
        ttl_seconds_after_finished=100,
        status={"last_transition_time": far, "stopped_at": far},
    )
    decided = plan(observe(odd))
    assert decided.delete is None
    assert decided.requeue_after == (10 if phase is Phase.ERROR else 100)


def test_a_status_without_times_has_no_end() -> None:
    odd = instance(phase=Phase.STOPPED, desired=DesiredState.STOPPED, ttl_seconds_after_finished=1)
    decided = plan(observe(replace(odd, status=replace(odd.status, last_transition_time=None))))
    assert (decided.delete, decided.requeue_after) == (None, None)


def test_the_nearer_moment_counts() -> None:
    """The last restart of the policy lies ahead, then its time to live."""
    before = instance(phase=Phase.ERROR, since=3, ttl_seconds_after_finished=2)
    assert plan(observe(before)).requeue_after == 7


FRESH = {"age": 0.5}


def test_a_newcomer_is_given_a_moment_for_its_parent_to_come_along() -> None:
    for tree in ((), (instance("web", phase=Phase.STARTING),), (instance("web"),)):
        o = observe(worker(parent="web", **FRESH), *tree)
        decided = plan(o)
        assert (decided.status, decided.transitions) == (None, ())
        assert decided.requeue_after == FIRST_STATUS_DELAY_SECONDS - 0.5
        late = plan(replace(o, now=NOW + seconds(FIRST_STATUS_DELAY_SECONDS)))
        assert late.status
        assert late.requeue_after is None


def test_its_place_is_taken_meanwhile() -> None:
    parent = instance("web", phase=Phase.STARTING)
    decided = plan(observe(worker(parent="web", **FRESH), parent))
    assert decided.metadata == MetadataChange((owned_by(parent),), ())
    assert decided.hierarchy_events == (HierarchyEvent("web", Reason.CHILD_ADDED, "worker is now a child"),)


def test_the_loss_of_the_parent_is_announced_once() -> None:
    orphan = worker(phase=Phase.RUNNING, parent="web")
    o = observe(orphan)
    decided = plan(o)
    said = o.link.message
    assert decided.hierarchy_events == (HierarchyEvent("worker", Reason.ORPHANED, said, warning=True),)
    assert decided.status
    assert plan(o.with_status(decided.status)).hierarchy_events == ()


def test_who_goes_with_the_parent_is_no_orphan() -> None:
    """Garbage collection finds it by the reference that is still there."""
    doomed = worker(phase=Phase.RUNNING, parent="web", owners=(owned_by(instance("web")),))
    assert plan(observe(doomed)).hierarchy_events == ()


def test_only_waiting_for_the_parent_is_kept_back() -> None:
    assert plan(observe(worker(**FRESH))).status, "a refusal is told at once"
    assert plan(observe(worker(parent="web", phase=Phase.CREATED, **FRESH))).status, "what was said once, is said again"
    assert plan(observe(instance(**FRESH))).status
    stopped = plan(observe(worker(parent="web", desired=DesiredState.STOPPED, **FRESH))).status
    assert stopped
    assert stopped.phase is Phase.STOPPED


EXPECTING = ChildSummary(expected=True)
# name: children, finalizers before, finalizers after
GUARDS: dict[str, tuple[ChildSummary, tuple[str, ...], tuple[str, ...]]] = {
    "no children, no finalizer": (ChildSummary(), (), ()),
    "a child that names it": (EXPECTING, (), (FINALIZER,)),
    "children accepted": (ChildSummary(total=1), (), (FINALIZER,)),
    "after those of others": (EXPECTING, (OTHER,), (OTHER, FINALIZER)),
    "where it is, it stays": (EXPECTING, (FINALIZER, OTHER), (FINALIZER, OTHER)),
    "the last child has left": (ChildSummary(), (OTHER, FINALIZER), (OTHER,)),
}


@pytest.mark.parametrize("case", GUARDS.values(), ids=GUARDS)
def test_a_finalizer_guards_those_with_children(case: tuple[ChildSummary, tuple[str, ...], tuple[str, ...]]) -> None:
    children, before, after = case
    change = plan(observe(instance(phase=Phase.RUNNING, finalizers=before), children=children)).metadata
    assert change == (None if before == after else MetadataChange((), after))


GLOBAL = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
WEB, SHOP = instance("web", phase=Phase.RUNNING), instance("shop", phase=Phase.RUNNING)
ADDED = {name: HierarchyEvent(name, Reason.CHILD_ADDED, "worker is now a child") for name in ("web", "shop")}
REMOVED = {name: HierarchyEvent(name, Reason.CHILD_REMOVED, "worker is no longer a child") for name in ("web", "shop")}


def moved(before: str, after: str) -> HierarchyEvent:
    return HierarchyEvent("worker", Reason.PARENT_CHANGED, f"parent changed from {before} to {after}")


# name: the parent it names, owners before, owners after (None: left as they are), what is announced
PLACES: dict[
    str, tuple[str | None, tuple[OwnerReference, ...], tuple[OwnerReference, ...] | None, tuple[HierarchyEvent, ...]]
] = {
    "accepted": ("web", (), (owned_by(WEB),), (ADDED["web"],)),
    "in place": ("web", (owned_by(WEB),), None, ()),
    "stripped by hand": ("web", (), (owned_by(WEB),), (ADDED["web"],)),
    "re-parented": (
        *("web", (owned_by(SHOP),), (owned_by(WEB),)),
        (REMOVED["shop"], ADDED["web"], moved("shop", "web")),
    ),
    "the parent was created again": ("web", (owned_by(WEB, uid="uid-before"),), (owned_by(WEB),), ()),
    "wrong flags are put right": (
        *("web", (replace(owned_by(WEB), controller=False, block_owner_deletion=None),), (owned_by(WEB),)),
        (),
    ),
    "an older version of the API is put right": (
        *("web", (replace(owned_by(WEB), api_version="hopper.dev/v1beta1"),), (owned_by(WEB),)),
        (),
    ),
    "a second parent is taken away": ("web", (owned_by(WEB), owned_by(SHOP)), (owned_by(WEB),), ()),
    "others' owners stay": (
        *("web", (foreign_owner(),), (foreign_owner(), owned_by(WEB))),
        (ADDED["web"],),
    ),
    "an object has one controller": (
        *("web", (foreign_owner(controller=True),)),
        *((foreign_owner(controller=True), replace(owned_by(WEB), controller=False)), (ADDED["web"],)),
    ),
    "missing: garbage collection must find it": ("gone", (owned_by(instance("gone")),), None, ()),
    "missing: not what belongs to another": (
        *("gone", (foreign_owner(), owned_by(WEB)), (foreign_owner(),)),
        (REMOVED["web"], moved("web", "none")),
    ),
    "refused: out of the cascade": (
        *("global", (owned_by(WEB),), ()),
        (REMOVED["web"], moved("web", "none")),
    ),
    "no parent at all": (None, (owned_by(WEB),), (), (REMOVED["web"], moved("web", "none"))),
}


@pytest.mark.parametrize("case", PLACES.values(), ids=PLACES)
def test_owner_references_follow_the_parent(
    case: tuple[str | None, tuple[OwnerReference, ...], tuple[OwnerReference, ...] | None, tuple[HierarchyEvent, ...]],
) -> None:
    parent, before, after, announced = case
    child = worker(parent=parent, phase=Phase.RUNNING, owners=before, finalizers=(OTHER,))
    decided = plan(observe(child, GLOBAL, WEB, SHOP))
    assert decided.metadata == (None if after is None else MetadataChange(after, (OTHER,)))
    assert decided.hierarchy_events == announced


def test_precedence() -> None:
    """Each rule is true at once; each is taken away in turn, and the next one shows."""
    everything = worker(
        parent=DYING,
        phase=Phase.STOPPED,
        desired=DesiredState.STOPPED,
        ttl_seconds_after_finished=10,
        deleted=True,
        finalizers=GUARDED,
    )
    assert plan(observe(everything, DYING)) == Plan(metadata=MetadataChange((owned_by(DYING),), ()))
    alive = replace(everything, metadata=replace(everything.metadata, deletion_timestamp=None, finalizers=()))
    assert plan(observe(alive, DYING)) == TAKEN_ALONG
    assert plan(observe(alive, replace(WEB))) == Plan(delete=Reason.TTL_EXPIRED)
    lasting = replace(alive, spec=replace(alive.spec, ttl_seconds_after_finished=None))
    misplaced = replace(lasting, spec=replace(lasting.spec, parent_ref=None, desired_state=DesiredState.RUNNING))
    paused = instance("web", phase=Phase.PAUSED, desired=DesiredState.PAUSED)
    placed = replace(misplaced, spec=replace(misplaced.spec, parent_ref=lasting.spec.parent_ref))
    found = []
    for o in (observe(misplaced, paused), observe(placed, paused), observe(placed, WEB)):
        decided = plan(o)
        assert decided.status
        found.append((decided.status.phase, decided.status.conditions[0].reason))
    assert found == [
        (Phase.STOPPED, Reason.PARENT_REQUIRED),
        (Phase.PAUSED, Reason.INHERITED_FROM),
        (Phase.RUNNING, Reason.RUNNING),
    ]
