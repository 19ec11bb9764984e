"""Parents: the scope matrix, missing parents, cycles, limits, slots, inherited states and ownerReferences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.names import FINALIZER, ORPHAN_FINALIZER
from hopper.api.scopes import SCOPES, allowed_children
from hopper.domain.hierarchy import (
    ParentLink,
    desired_owner_references,
    is_hopper_reference,
    is_orphaning,
    is_owned_by,
    parent_link,
)
from hopper.domain.lifecycle import effective_state
from hopper.domain.tree import find_parent_cycle
from tests.unit.domain.sample_instances import InMemoryTree, condition, foreign_owner, from_wire, instance, owned_by

# Design section 3: scope, allowed parents, whether it may have none.
MATRIX = """
    Global
    Project       Global none
    Family        Global none
    Personal      Global Family none
    Event         Global Project Family none
    Federated     Global none
    Orchestration Project Personal Family Event
"""
PARENTS = {words[0]: set(words[1:]) for words in map(str.split, MATRIX.strip().splitlines())}
PARENTS["Global"] = {"none"}
EVERY_COUPLE = list(product(Scope, Scope))


def link_of(subject: HopperInstance, *others: HopperInstance) -> ParentLink:
    return parent_link(subject, InMemoryTree((subject, *others)))


@pytest.mark.parametrize(("child", "parent"), EVERY_COUPLE)
def test_scope_matrix(child: Scope, parent: Scope) -> None:
    above = instance("above", parent)
    link = link_of(instance("below", child, parent="above"), above)
    allowed = PARENTS[child] - {"none"}
    if parent in allowed:
        assert link == ParentLink(True, Reason.PARENT_ACCEPTED, "child of above", (above,))
        assert child in allowed_children(parent)
    else:
        assert (link.valid, link.reason, link.parent) == (False, Reason.WRONG_PARENT_SCOPE, None)
        assert link.message.startswith(f'spec.parentRef.name: "above" has scope {parent}, but scope {child} needs ')
        assert {scope for scope in Scope if scope in link.message.split(" needs ")[1]} == allowed
        assert child not in allowed_children(parent)


@pytest.mark.parametrize("scope", Scope)
def test_which_scopes_may_be_roots(scope: Scope) -> None:
    link = link_of(instance("alone", scope))
    if "none" in PARENTS[scope]:
        assert link == ParentLink(True, Reason.ROOT, "has no parent")
    else:
        assert (link.valid, link.reason) == (False, Reason.PARENT_REQUIRED)
        assert link.message == (
            "spec.parentRef.name: scope Orchestration needs a parent; name a Project or Personal or Family or Event"
        )


def test_a_global_instance_needs_no_parent() -> None:
    link = link_of(instance("global", Scope.GLOBAL, parent="web"), instance("web"))
    assert link.message == 'spec.parentRef.name: "web" has scope Project, but scope Global needs no parent'


def test_no_scope_can_be_above_itself() -> None:
    """No scope is above itself: instances that accept each other cannot form a cycle."""
    order: list[Scope] = []
    while len(order) < len(Scope):
        order += [scope for scope in Scope if scope not in order and set(SCOPES[scope].parents) <= set(order)]
    assert order[0] is Scope.GLOBAL


def worker(name: str = "worker", **fields: Any) -> HopperInstance:
    return instance(name, Scope.ORCHESTRATION, **({"parent": "web"} | fields))


def after_refusal(reason: Reason) -> dict[str, Any]:
    message = 'parent "web" is away'
    return {"conditions": (condition(ConditionType.HIERARCHY_VALID, "False", reason, message=message),)}


# name: the child of a parent that does not exist, and the reason
MISSING_PARENT: dict[str, tuple[HopperInstance, Reason]] = {
    "new": (worker(), Reason.PARENT_NOT_FOUND),
    "new, with a status": (worker(phase=Phase.CREATED), Reason.PARENT_NOT_FOUND),
    "stopped before its parent existed": (
        worker(phase=Phase.STOPPED, status=after_refusal(Reason.PARENT_NOT_FOUND)),
        Reason.PARENT_NOT_FOUND,
    ),
    "running": (worker(phase=Phase.RUNNING), Reason.ORPHANED),
    "stopped": (worker(phase=Phase.STOPPED), Reason.ORPHANED),
    "orphaned before": (worker(phase=Phase.STOPPED, status=after_refusal(Reason.ORPHANED)), Reason.ORPHANED),
    "its parent was being deleted": (
        worker(phase=Phase.RUNNING, status=after_refusal(Reason.PARENT_IS_BEING_DELETED)),
        Reason.ORPHANED,
    ),
    "status.path names the parent": (worker(phase=Phase.RUNNING, status={"path": "web/worker"}), Reason.ORPHANED),
    "an ownerReference names the parent": (
        worker(phase=Phase.RUNNING, owners=(owned_by(instance("web")),), status={"path": "worker"}),
        Reason.ORPHANED,
    ),
    "moved from another parent": (
        worker(phase=Phase.RUNNING, status={"path": "mail/worker"}),
        Reason.PARENT_NOT_FOUND,
    ),
    "moved before, still waiting": (
        worker(phase=Phase.RUNNING, status={"path": "worker"} | after_refusal(Reason.PARENT_NOT_FOUND)),
        Reason.PARENT_NOT_FOUND,
    ),
    "orphaned by another parent, then moved": (
        worker(
            phase=Phase.RUNNING,
            status={
                "path": "worker",
                "conditions": (
                    condition(ConditionType.HIERARCHY_VALID, "False", Reason.ORPHANED, message='parent "mail" is away'),
                ),
            },
        ),
        Reason.PARENT_NOT_FOUND,
    ),
}


@pytest.mark.parametrize("case", MISSING_PARENT.values(), ids=MISSING_PARENT)
def test_a_missing_parent_is_not_found_or_has_orphaned_the_instance(case: tuple[HopperInstance, Reason]) -> None:
    subject, reason = case
    link = link_of(subject)
    assert (link.valid, link.reason, link.ancestors) == (False, reason, ())
    assert 'parent "web"' in link.message
    assert "spec.parentRef.name" in link.message


def test_a_parent_being_deleted_keeps_its_children_and_accepts_no_others() -> None:
    dying = instance("web", phase=Phase.RUNNING, deleted=True, finalizers=(FINALIZER,))
    assert link_of(worker(parent=dying), dying).valid
    for stranger in (worker(), worker(owners=(owned_by(dying, uid="uid-before"),))):
        assert link_of(stranger, dying).reason is Reason.PARENT_IS_BEING_DELETED


def test_ancestors_are_nearest_first() -> None:
    top = instance("global", Scope.GLOBAL)
    family = instance("smith", Scope.FAMILY, parent="global")
    person = instance("ann", Scope.PERSONAL, parent="smith")
    assert link_of(worker(parent="ann"), top, family, person).ancestors == (person, family, top)


def test_an_invalid_parent_is_accepted_but_ends_the_list_of_ancestors() -> None:
    """The problem is reported by the instance that has it, not by its descendants."""
    misplaced = instance("party", Scope.EVENT, parent="cloud")
    cloud = instance("cloud", Scope.FEDERATED)
    link = link_of(worker(parent="party"), misplaced, cloud)
    assert link == ParentLink(True, Reason.PARENT_ACCEPTED, "child of party", (misplaced,))
    waiting = instance("party", Scope.EVENT, parent="nowhere")
    assert link_of(worker(parent="party"), waiting).ancestors == (waiting,)


def cycle(*names: str) -> list[HopperInstance]:
    """Build instances that each name the next one as parent, and the last one the first."""
    return [
        instance(name, Scope.PERSONAL, parent=above) for name, above in zip(names, (*names[1:], names[0]), strict=True)
    ]


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c", "d")])
def test_every_instance_on_a_cycle_reports_it(names: tuple[str, ...]) -> None:
    members = cycle(*names)
    for start, member in enumerate(members):
        link = link_of(member, *members)
        assert (link.valid, link.reason) == (False, Reason.PARENT_CYCLE)
        around = (*names[start:], *names[:start], names[start])
        assert find_parent_cycle(member, InMemoryTree(members)) == around
        assert " → ".join(around) in link.message
        assert link.message.startswith("spec.parentRef.name ")
        assert link.message.endswith("; change one of them")


def test_an_instance_below_a_cycle_is_not_part_of_it() -> None:
    members = cycle("a", "b")
    guest = worker(parent="a")
    assert find_parent_cycle(guest, InMemoryTree((guest, *members))) is None
    assert link_of(guest, *members) == ParentLink(True, Reason.PARENT_ACCEPTED, "child of a", (members[0],))
    further = instance("further", Scope.PERSONAL, parent="guest-of-a")
    between = instance("guest-of-a", Scope.FAMILY, parent="a")
    assert link_of(further, between, *members).valid


def test_a_missing_ancestor_is_no_cycle() -> None:
    assert find_parent_cycle(worker(), InMemoryTree()) is None
    assert find_parent_cycle(instance(), InMemoryTree()) is None


def limited(**limits: int) -> dict[str, Any]:
    return from_wire({"scope": "Global", "config": {"limits": limits}}).spec.config  # type: ignore[return-value]


DEPTH_LIMITS = [
    # limit of global, limit of web, accepted
    (None, None, True),
    (2, None, True),
    (1, None, False),
    (9, 1, False),
    (1, 9, False),
    (None, 2, True),
]


@pytest.mark.parametrize(("on_global", "on_web", "accepted"), DEPTH_LIMITS)
def test_the_smallest_depth_limit_of_the_ancestors_applies(
    on_global: int | None, on_web: int | None, accepted: bool
) -> None:
    top = instance("global", Scope.GLOBAL, config=limited(maxDepth=on_global) if on_global is not None else None)
    web = instance("web", parent="global", config=limited(maxDepth=on_web) if on_web is not None else None)
    link = link_of(worker(), web, top)
    assert (link.valid, link.reason) == (accepted, Reason.PARENT_ACCEPTED if accepted else Reason.TOO_DEEP)
    if not accepted:
        limit = min(limit for limit in (on_global, on_web) if limit is not None)
        culprit = "web" if on_web == limit else "global"
        assert link.message == (
            f'depth 2 is over the limit of {limit} (config.limits.maxDepth of "{culprit}"); '
            "choose a spec.parentRef.name further up, or raise the limit"
        )


def test_a_depth_limit_refuses_only_the_instance_that_exceeds_it() -> None:
    top = instance("global", Scope.GLOBAL, config=limited(maxDepth=0))
    web = instance("web", parent="global")
    assert link_of(web, top).reason is Reason.TOO_DEEP
    assert link_of(worker(), web, top).ancestors == (web,)


def accepted(parent: HopperInstance, *children: HopperInstance) -> dict[str, bool]:
    """Return by name whether each child is accepted."""
    return {child.name: link_of(child, parent, *children).valid for child in children}


NARROW = instance("web", phase=Phase.RUNNING, config=limited(maxChildInstances=2))


def test_the_oldest_children_get_the_slots() -> None:
    children = [worker("c", age=10), worker("b", age=30), worker("a", age=20)]
    assert accepted(NARROW, *children) == {"c": False, "b": True, "a": True}


def test_names_decide_between_children_of_the_same_age() -> None:
    assert accepted(NARROW, worker("b"), worker("c"), worker("a")) == {"a": True, "b": True, "c": False}


def test_a_new_child_displaces_no_accepted_child() -> None:
    """Age does not matter: the new child is older."""
    moving = worker("a", age=9999)
    assert accepted(NARROW, moving, worker("b", parent=NARROW), worker("c", parent=NARROW)) == {
        "a": False,
        "b": True,
        "c": True,
    }


@pytest.mark.parametrize("reason", [Reason.PARENT_ACCEPTED, Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP])
def test_a_child_keeps_its_slot_without_an_owner_reference(reason: Reason) -> None:
    """A user removed the reference, and a limit was lowered meanwhile. The reference comes back."""
    before = (condition(ConditionType.HIERARCHY_VALID, "True", reason),)
    stripped = worker("a", age=5, phase=Phase.RUNNING, status={"path": "web/a", "conditions": before})
    full = replace(NARROW, spec=replace(NARROW.spec, config=limited(maxChildInstances=1)))
    assert accepted(NARROW, stripped, worker("b", age=30), worker("c", age=20)) == {"a": True, "b": True, "c": False}
    link = link_of(stripped, full, worker("b", parent=full, age=30))
    assert (link.valid, link.ancestors) == (False, (full,))
    assert desired_owner_references(stripped, link) == (owned_by(full),)


@pytest.mark.parametrize(
    "status",
    [
        {"path": "a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "False", Reason.TOO_MANY_CHILDREN),)},
        {"path": "web/a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "False", Reason.ORPHANED),)},
        {"path": "mail/a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "True", Reason.PARENT_ACCEPTED),)},
        {"path": "web/a"},
    ],
    ids=["refused before", "orphaned", "accepted by another parent", "without conditions"],
)
def test_a_status_that_does_not_prove_acceptance_gives_no_slot(status: dict[str, Any]) -> None:
    newcomer = worker("a", age=5, phase=Phase.RUNNING, status=status)
    assert accepted(NARROW, newcomer, worker("b", age=30), worker("c", age=20)) == {"a": False, "b": True, "c": True}


def test_the_message_about_a_long_cycle_leaves_out_the_middle() -> None:
    names = [f"n{number:02}" for number in range(40)]
    cycle = [instance(name, Scope.PERSONAL, parent=names[n - 1]) for n, name in enumerate(names)]
    link = link_of(cycle[0], *cycle)
    assert link.message == (
        "spec.parentRef.name forms a cycle: n00 → n39 → n38 → n37 → … → n03 → n02 → n01 → n00; change one of them"
    )


def test_children_of_a_wrong_scope_take_no_slot() -> None:
    party = instance("party", Scope.EVENT, parent="web", age=40)
    wrong = instance("wrong", Scope.FAMILY, parent="web", age=50)
    assert accepted(NARROW, wrong, party, worker("a", age=20), worker("b", age=10)) == {
        "wrong": False,
        "party": True,
        "a": True,
        "b": False,
    }


def test_the_child_limit_is_inclusive() -> None:
    children = [worker("a"), worker("b")]
    assert all(accepted(NARROW, *children).values())
    childless = replace(NARROW, spec=replace(NARROW.spec, config=limited(maxChildInstances=0)))
    link = link_of(worker(), childless)
    assert (link.valid, link.reason) == (False, Reason.TOO_MANY_CHILDREN)
    assert link.message == (
        'parent "web" allows at most 0 children (config.limits.maxChildInstances), but 1 name it; '
        "choose another spec.parentRef.name, remove a sibling, or raise the limit"
    )


def test_a_global_instance_has_a_hundred_children_by_default() -> None:
    top = instance("global", Scope.GLOBAL)
    children = [instance(f"p{number:03}", parent="global") for number in range(101)]
    forest = InMemoryTree((top, *children))
    refused = [child.name for child in children if not parent_link(child, forest).valid]
    assert refused == ["p100"]


DESIRED_STATES = list(product(DesiredState, DesiredState, DesiredState))


@pytest.mark.parametrize(("own", "of_parent", "of_global"), DESIRED_STATES)
def test_the_most_restrictive_desired_state_is_effective(
    own: DesiredState, of_parent: DesiredState, of_global: DesiredState
) -> None:
    top = instance("global", Scope.GLOBAL, desired=of_global)
    web = instance("web", parent="global", desired=of_parent)
    found = effective_state(worker(desired=own), (web, top))
    order = ["Running", "Paused", "Stopped", "Archived", "Terminated"]
    passed_down = {"Archived": "Stopped"}
    states = [own, *(passed_down.get(state, state) for state in (of_parent, of_global))]
    strictest = max(states, key=order.index)
    assert found.state == strictest
    assert found.source == (None, web, top)[states.index(strictest)], (
        "the own desired state wins, then the nearest ancestor"
    )


def test_a_final_phase_of_an_ancestor_counts_like_its_desired_state() -> None:
    """A Project that its parent terminated stays terminated after it moves away, and so do its children."""
    ended = instance("web", phase=Phase.TERMINATED)
    assert effective_state(worker(), (ended,)).state is DesiredState.TERMINATED
    archived = instance("web", phase=Phase.ARCHIVED)
    assert effective_state(worker(), (archived,)).state is DesiredState.STOPPED
    both = instance("web", phase=Phase.ARCHIVED, desired=DesiredState.TERMINATED)
    assert effective_state(worker(), (both,)).state is DesiredState.TERMINATED


def test_which_owner_references_point_at_instances() -> None:
    web = instance("web")
    assert is_hopper_reference(owned_by(web))
    assert is_hopper_reference(replace(owned_by(web), api_version="hopper.dev/v2"))
    assert not is_hopper_reference(replace(owned_by(web), kind="HopperTemplate"))
    assert not is_hopper_reference(foreign_owner())


def test_the_uid_in_the_owner_references_decides_about_ownership() -> None:
    web = instance("web")
    assert is_owned_by(worker(parent=web), web)
    assert not is_owned_by(worker(parent="web"), web)
    assert not is_owned_by(worker(owners=(owned_by(web, uid="other"),)), web)


def test_the_orphan_finalizer_marks_an_orphaning_deletion() -> None:
    assert is_orphaning(instance(finalizers=(FINALIZER, ORPHAN_FINALIZER)))
    assert not is_orphaning(instance(finalizers=(FINALIZER, "foregroundDeletion")))
