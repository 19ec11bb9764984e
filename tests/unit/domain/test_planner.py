"""Deletions, time to live, delayed first status, ownerReferences and finalizers in the plan of an instance."""

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


# name: the instance being deleted, its children, its finalizers afterwards (None: unchanged)
DELETIONS: dict[str, tuple[dict[str, Any], ChildSummary, tuple[str, ...] | None]] = {
    "without our finalizer, nothing changes": ({}, ChildSummary(total=1, active=("a",)), None),
    "the finalizer of another controller stays": ({"finalizers": (OTHER,)}, ChildSummary(), None),
    "the finalizer waits for children": ({"finalizers": GUARDED}, ChildSummary(total=1), None),
    "the finalizer waits for active children too": (
        {"finalizers": GUARDED},
        ChildSummary(total=1, active=("a",)),
        None,
    ),
    "without children, the finalizer is removed": ({"finalizers": GUARDED}, ChildSummary(), ()),
    "without children, other finalizers stay": ({"finalizers": (OTHER, FINALIZER, "z")}, ChildSummary(), (OTHER, "z")),
    "children that are not accepted do not count": ({"finalizers": GUARDED}, ChildSummary(expected=True), ()),
    "an orphaning deletion does not wait": (
        *({"finalizers": (ORPHAN_FINALIZER, FINALIZER)}, ChildSummary(total=2, active=("a", "b"), expected=True)),
        (ORPHAN_FINALIZER,),
    ),
    "an orphaning deletion ignores protection": (
        *({"finalizers": (ORPHAN_FINALIZER, FINALIZER)}, ChildSummary(total=1, protected=("a",))),
        (ORPHAN_FINALIZER,),
    ),
    "a foreground deletion waits too": (
        *({"finalizers": ("foregroundDeletion", FINALIZER)}, ChildSummary(total=1)),
        None,
    ),
}


@pytest.mark.parametrize("case", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.parametrize("phase", [None, *Phase])
def test_the_finalizer_is_released_once_the_children_are_gone(
    phase: Phase | None, case: tuple[dict[str, Any], ChildSummary, tuple[str, ...] | None]
) -> None:
    fields, children, finalizers = case
    deleted = instance(phase=phase, deleted=True, owners=(foreign_owner(),), **fields)
    expected = None if finalizers is None else MetadataChange((foreign_owner(),), finalizers)
    waits = FINALIZER in deleted.metadata.finalizers and expected is None
    requeue = DETAILS_AFTER_SECONDS if waits else None
    assert plan(observe(deleted, children=children)) == Plan(metadata=expected, requeue_after=requeue)


def test_deletion_needs_neither_a_parent_nor_a_valid_instance() -> None:
    lost = worker(parent="gone", phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    assert plan(observe(lost)) == Plan(metadata=MetadataChange((), ()))
    broken = observe(lost, config_problems=("spec.config.x is wrong",), refusal="403: no")
    assert plan(broken) == Plan(metadata=MetadataChange((), ()))


def test_a_deletion_blocked_by_protected_children_is_reported() -> None:
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


def test_a_deletion_blocked_further_down_names_the_blocked_child() -> None:
    """The child itself is not protected, so the message must not ask to lift its protection."""
    dying = instance("global", Scope.GLOBAL, phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    status = plan(observe(dying, children=ChildSummary(total=1, ready=1, blocked=("web",)))).status
    assert status
    assert (
        status.conditions[0].message
        == "deletion waits for web, whose own deletion is blocked; see the Ready condition there"
    )
    assert status.children == ChildCounts(total=1, ready=1)


def test_a_deletion_is_no_longer_stalled_once_the_protection_is_lifted() -> None:
    dying = instance(phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    blocked = plan(observe(dying, children=ChildSummary(total=1, protected=("a",)))).status
    assert blocked
    released = plan(observe(dying, children=ChildSummary(total=1)).with_status(blocked)).status
    assert released
    assert [(entry.type, entry.status, entry.reason) for entry in released.conditions] == [
        (ConditionType.READY, "False", Reason.DELETION_BLOCKED),
        (ConditionType.RECONCILING, "True", Reason.DELETION_BLOCKED),
    ]
    assert released.conditions[0].message == "deletion waits for its children, which are being deleted"


def test_a_long_deletion_names_the_finalizers_of_other_controllers() -> None:
    dying = instance(phase=Phase.RUNNING, deleted=True, finalizers=GUARDED)
    o = observe(dying, children=ChildSummary(total=2, held=("a (finalizer example.com/hold)",)))
    assert plan(o) == Plan(requeue_after=DETAILS_AFTER_SECONDS)
    later = plan(replace(o, now=NOW + seconds(DETAILS_AFTER_SECONDS)))
    assert later == Plan(status=later.status)
    assert later.status
    message = "deletion waits for a (finalizer example.com/hold): the controller of the finalizer must remove it"
    assert later.status.condition(ConditionType.READY) == condition(
        ConditionType.READY, "False", Reason.DELETION_BLOCKED, message=message, since=-DETAILS_AFTER_SECONDS
    )
    assert later.status.condition(ConditionType.STALLED) is None


@pytest.mark.parametrize("phase", Phase)
def test_an_instance_whose_deletion_was_rejected_lives_on_and_is_stalled(phase: Phase) -> None:
    """Although its parent is being deleted and its TTL has passed, it still follows its desired state."""
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
ORPHANING = replace(DYING, metadata=replace(DYING.metadata, finalizers=(ORPHAN_FINALIZER,)))
DELETED_WITH_PARENT = Plan(delete=Reason.PARENT_IS_BEING_DELETED)


@pytest.mark.parametrize("phase", [None, *Phase])
def test_the_deletion_of_a_parent_deletes_its_children(phase: Phase | None) -> None:
    assert plan(observe(worker(parent=DYING, phase=phase), DYING)) == DELETED_WITH_PARENT


def test_the_deletion_of_a_parent_spares_protected_and_unaccepted_children() -> None:
    for spared in (
        worker(parent=DYING, phase=Phase.RUNNING, deletion_protection=True),
        worker(parent="web", phase=Phase.RUNNING),
        worker(parent="web", phase=Phase.RUNNING, owners=(owned_by(DYING, uid="uid-of-an-earlier-web"),)),
    ):
        decided = plan(observe(spared, DYING))
        assert decided.delete is None
        assert decided.status
        assert decided.status.phase is Phase.RUNNING
    assert plan(observe(worker(parent=ORPHANING, phase=Phase.RUNNING), ORPHANING)).delete is None


def test_a_child_that_moves_to_another_parent_in_time_is_spared() -> None:
    other = instance("other", phase=Phase.RUNNING)
    moved = worker(parent="other", phase=Phase.RUNNING, owners=(owned_by(DYING),))
    decided = plan(observe(moved, DYING, other))
    assert decided.delete is None
    assert decided.metadata == MetadataChange((owned_by(other),), ())


def test_a_new_child_of_a_parent_being_deleted_waits() -> None:
    decided = plan(observe(worker(parent="web"), DYING))
    assert decided.delete is None
    assert decided.metadata is None
    assert decided.status
    assert decided.status.phase is Phase.CREATED
    ready = decided.status.condition(ConditionType.READY)
    assert ready
    assert ready.reason == Reason.PARENT_IS_BEING_DELETED
    assert ready.message == 'parent "web" is being deleted; choose another spec.parentRef.name'


# name: the instance, and the seconds left of a TTL of 100 s; None if the instance is not finished
TTL_CASES: dict[str, tuple[dict[str, Any], float | None]] = {
    "stopped": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 60}, 40),
    "exactly over": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 100}, 0),
    "long over": ({"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "since": 1000}, 0),
    "terminated": ({"phase": Phase.TERMINATED, "desired": DesiredState.TERMINATED, "since": 1000}, 0),
    "terminated by an ancestor": ({"phase": Phase.TERMINATED, "since": 1000}, 0),
    "given up": ({"phase": Phase.ERROR, "status": {"retries": 5}, "since": 1000}, 0),
    "never restarted": ({"phase": Phase.ERROR, "restart_policy": policy(RestartMode.NEVER), "since": 1000}, 0),
    "restarted without limit": (
        {"phase": Phase.ERROR, "restart_policy": policy(RestartMode.ALWAYS), "status": {"retries": 9}, "since": 1000},
        None,
    ),
    "with a restart left": ({"phase": Phase.ERROR, "status": {"retries": 4}, "since": 1000}, None),
    "given up, then changed by the user": (
        {"phase": Phase.ERROR, "status": {"retries": 5}, "generation": 2, "seen": 1, "since": 1000},
        None,
    ),
    "held at Stopped by an ancestor": ({"phase": Phase.STOPPED, "since": 1000}, None),
    "stopped, then started by the user": ({"phase": Phase.STOPPED, "generation": 2, "seen": 1, "since": 1000}, None),
    "archived": ({"phase": Phase.ARCHIVED, "desired": DesiredState.ARCHIVED, "since": 1000}, None),
    "running": ({"phase": Phase.RUNNING, "since": 1000}, None),
    "protected": (
        {"phase": Phase.STOPPED, "desired": DesiredState.STOPPED, "deletion_protection": True, "since": 1000},
        None,
    ),
}


@pytest.mark.parametrize("case", TTL_CASES.values(), ids=TTL_CASES)
def test_a_finished_instance_is_deleted_after_its_ttl(case: tuple[dict[str, Any], float | None]) -> None:
    fields, left = case
    decided = plan(observe(instance(ttl_seconds_after_finished=100, **fields)))
    if left == 0:
        assert decided == Plan(delete=Reason.TTL_EXPIRED)
    else:
        assert decided.delete is None
        assert decided.requeue_after == left
    assert plan(observe(instance(**fields))).delete is None, "without a TTL nothing is deleted"


def test_the_ttl_starts_when_the_instance_finishes() -> None:
    ending = instance(phase=Phase.RUNNING, desired=DesiredState.STOPPED, ttl_seconds_after_finished=100, since=1000)
    assert plan(observe(ending)).requeue_after == 100
    at_once = replace(ending, spec=replace(ending.spec, ttl_seconds_after_finished=0))
    o = observe(at_once)
    decided = plan(o)
    assert (phases(decided), decided.requeue_after) == ("Running Stopping Stopped", 0)
    assert decided.status
    assert plan(o.with_status(decided.status)) == Plan(delete=Reason.TTL_EXPIRED)


def test_the_ttl_starts_when_the_instance_is_stopped_by_its_own_spec() -> None:
    """The time during which an ancestor held the instance does not count."""
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
def test_a_timestamp_in_the_future_counts_as_now(phase: Phase) -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    state = {Phase.STOPPED: DesiredState.STOPPED, Phase.TERMINATED: DesiredState.TERMINATED}
    subject = instance(
        phase=phase,
        desired=state.get(phase, DesiredState.RUNNING),
        ttl_seconds_after_finished=100,
        status={"last_transition_time": far, "stopped_at": far},
    )
    decided = plan(observe(subject))
    assert decided.delete is None
    assert decided.requeue_after == (10 if phase is Phase.ERROR else 100)


def test_a_status_without_timestamps_never_expires() -> None:
    subject = instance(phase=Phase.STOPPED, desired=DesiredState.STOPPED, ttl_seconds_after_finished=1)
    decided = plan(observe(replace(subject, status=replace(subject.status, last_transition_time=None))))
    assert (decided.delete, decided.requeue_after) == (None, None)


def test_the_earliest_time_determines_the_requeue() -> None:
    """A restart is due before the TTL could start."""
    before = instance(phase=Phase.ERROR, since=3, ttl_seconds_after_finished=2)
    assert plan(observe(before)).requeue_after == 7


FRESH = {"age": 0.5}


def test_the_first_status_is_delayed_while_the_parent_is_not_ready() -> None:
    for tree in ((), (instance("web", phase=Phase.STARTING),), (instance("web"),)):
        o = observe(worker(parent="web", **FRESH), *tree)
        decided = plan(o)
        assert (decided.status, decided.transitions) == (None, ())
        assert decided.requeue_after == FIRST_STATUS_DELAY_SECONDS - 0.5
        late = plan(replace(o, now=NOW + seconds(FIRST_STATUS_DELAY_SECONDS)))
        assert late.status
        assert late.requeue_after is None


def test_metadata_is_written_during_the_delay() -> None:
    parent = instance("web", phase=Phase.STARTING)
    decided = plan(observe(worker(parent="web", **FRESH), parent))
    assert decided.metadata == MetadataChange((owned_by(parent),), ())
    assert decided.hierarchy_events == (HierarchyEvent("web", Reason.CHILD_ADDED, "worker is now a child"),)


def test_an_orphan_is_announced_once() -> None:
    orphan = worker(phase=Phase.RUNNING, parent="web")
    o = observe(orphan)
    decided = plan(o)
    message = o.link.message
    assert decided.hierarchy_events == (HierarchyEvent("worker", Reason.ORPHANED, message, warning=True),)
    assert decided.status
    assert plan(o.with_status(decided.status)).hierarchy_events == ()


def test_a_child_that_garbage_collection_will_delete_is_not_announced_as_orphan() -> None:
    """Its ownerReference to the deleted parent is still there."""
    child = worker(phase=Phase.RUNNING, parent="web", owners=(owned_by(instance("web")),))
    assert plan(observe(child)).hierarchy_events == ()


def test_only_a_first_status_about_waiting_is_delayed() -> None:
    assert plan(observe(worker(**FRESH))).status, "an invalid parent is reported at once"
    assert plan(observe(worker(parent="web", phase=Phase.CREATED, **FRESH))).status, "only the first status is delayed"
    assert plan(observe(instance(**FRESH))).status
    stopped = plan(observe(worker(parent="web", desired=DesiredState.STOPPED, **FRESH))).status
    assert stopped
    assert stopped.phase is Phase.STOPPED


EXPECTING = ChildSummary(expected=True)
# name: children, finalizers before, finalizers after
FINALIZER_CASES: dict[str, tuple[ChildSummary, tuple[str, ...], tuple[str, ...]]] = {
    "no children, no finalizer": (ChildSummary(), (), ()),
    "an instance names it as parent": (EXPECTING, (), (FINALIZER,)),
    "an accepted child": (ChildSummary(total=1), (), (FINALIZER,)),
    "added after other finalizers": (EXPECTING, (OTHER,), (OTHER, FINALIZER)),
    "present already, order kept": (EXPECTING, (FINALIZER, OTHER), (FINALIZER, OTHER)),
    "removed with the last child": (ChildSummary(), (OTHER, FINALIZER), (OTHER,)),
}


@pytest.mark.parametrize("case", FINALIZER_CASES.values(), ids=FINALIZER_CASES)
def test_the_finalizer_is_present_while_there_are_children(
    case: tuple[ChildSummary, tuple[str, ...], tuple[str, ...]],
) -> None:
    children, before, after = case
    change = plan(observe(instance(phase=Phase.RUNNING, finalizers=before), children=children)).metadata
    assert change == (None if before == after else MetadataChange((), after))


GLOBAL = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
WEB, SHOP = instance("web", phase=Phase.RUNNING), instance("shop", phase=Phase.RUNNING)
ADDED = {name: HierarchyEvent(name, Reason.CHILD_ADDED, "worker is now a child") for name in ("web", "shop")}
REMOVED = {name: HierarchyEvent(name, Reason.CHILD_REMOVED, "worker is no longer a child") for name in ("web", "shop")}


def moved(before: str, after: str) -> HierarchyEvent:
    return HierarchyEvent("worker", Reason.PARENT_CHANGED, f"parent changed from {before} to {after}")


# name: the parent it names, owners before, owners after (None: unchanged), Events
OWNER_REFERENCE_CASES: dict[
    str, tuple[str | None, tuple[OwnerReference, ...], tuple[OwnerReference, ...] | None, tuple[HierarchyEvent, ...]]
] = {
    "accepted": ("web", (), (owned_by(WEB),), (ADDED["web"],)),
    "in place": ("web", (owned_by(WEB),), None, ()),
    "ownerReference removed by a user": ("web", (), (owned_by(WEB),), (ADDED["web"],)),
    "re-parented": (
        *("web", (owned_by(SHOP),), (owned_by(WEB),)),
        (REMOVED["shop"], ADDED["web"], moved("shop", "web")),
    ),
    "the parent was created again": ("web", (owned_by(WEB, uid="uid-before"),), (owned_by(WEB),), ()),
    "wrong flags are corrected": (
        *("web", (replace(owned_by(WEB), controller=False, block_owner_deletion=None),), (owned_by(WEB),)),
        (),
    ),
    "an older API version is corrected": (
        *("web", (replace(owned_by(WEB), api_version="hopper.dev/v1beta1"),), (owned_by(WEB),)),
        (),
    ),
    "a second parent is removed": ("web", (owned_by(WEB), owned_by(SHOP)), (owned_by(WEB),), ()),
    "owners of other kinds stay": (
        *("web", (foreign_owner(),), (foreign_owner(), owned_by(WEB))),
        (ADDED["web"],),
    ),
    "another controller stays the only one": (
        *("web", (foreign_owner(controller=True),)),
        *((foreign_owner(controller=True), replace(owned_by(WEB), controller=False)), (ADDED["web"],)),
    ),
    "missing parent: its reference stays for garbage collection": ("gone", (owned_by(instance("gone")),), None, ()),
    "missing parent: the reference to another is removed": (
        *("gone", (foreign_owner(), owned_by(WEB)), (foreign_owner(),)),
        (REMOVED["web"], moved("web", "none")),
    ),
    "invalid parent": (
        *("global", (owned_by(WEB),), ()),
        (REMOVED["web"], moved("web", "none")),
    ),
    "no parent at all": (None, (owned_by(WEB),), (), (REMOVED["web"], moved("web", "none"))),
}


@pytest.mark.parametrize("case", OWNER_REFERENCE_CASES.values(), ids=OWNER_REFERENCE_CASES)
def test_owner_references_follow_parent_ref(
    case: tuple[str | None, tuple[OwnerReference, ...], tuple[OwnerReference, ...] | None, tuple[HierarchyEvent, ...]],
) -> None:
    parent, before, after, announced = case
    child = worker(parent=parent, phase=Phase.RUNNING, owners=before, finalizers=(OTHER,))
    decided = plan(observe(child, GLOBAL, WEB, SHOP))
    assert decided.metadata == (None if after is None else MetadataChange(after, (OTHER,)))
    assert decided.hierarchy_events == announced


def test_each_rule_of_the_planner_hides_the_next() -> None:
    """All rules apply at first. Each is removed in turn, and the next one decides."""
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
    assert plan(observe(alive, DYING)) == DELETED_WITH_PARENT
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
