"""The place of an instance: the scope matrix, parents that are away, circles, limits, and the state from above."""

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
    is_hopper_reference,
    is_orphaning,
    is_owned_by,
    parent_link,
    wanted_references,
)
from hopper.domain.lifecycle import effective_state
from hopper.domain.tree import find_parent_cycle
from tests.unit.domain.sample_instances import Forest, condition, foreign_owner, from_wire, instance, owned_by

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


def place(subject: HopperInstance, *others: HopperInstance) -> ParentLink:
    return parent_link(subject, Forest((subject, *others)))


@pytest.mark.parametrize(("child", "parent"), EVERY_COUPLE)
def test_scope_matrix(child: Scope, parent: Scope) -> None:
    above = instance("above", parent)
    link = place(instance("below", child, parent="above"), above)
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
def test_who_may_have_no_parent(scope: Scope) -> None:
    link = place(instance("alone", scope))
    if "none" in PARENTS[scope]:
        assert link == ParentLink(True, Reason.ROOT, "has no parent")
    else:
        assert (link.valid, link.reason) == (False, Reason.PARENT_REQUIRED)
        assert link.message == (
            "spec.parentRef.name: scope Orchestration needs a parent; name a Project or Personal or Family or Event"
        )


def test_a_global_instance_needs_no_parent() -> None:
    link = place(instance("global", Scope.GLOBAL, parent="web"), instance("web"))
    assert link.message == 'spec.parentRef.name: "web" has scope Project, but scope Global needs no parent'


def test_scopes_order_the_hierarchy() -> None:
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


# name: the child of a parent that does not exist, and what is said
AWAY: dict[str, tuple[HopperInstance, Reason]] = {
    "a newcomer": (worker(), Reason.PARENT_NOT_FOUND),
    "that has been told already": (worker(phase=Phase.CREATED), Reason.PARENT_NOT_FOUND),
    "or was stopped from the start": (
        worker(phase=Phase.STOPPED, status=after_refusal(Reason.PARENT_NOT_FOUND)),
        Reason.PARENT_NOT_FOUND,
    ),
    "one that ran": (worker(phase=Phase.RUNNING), Reason.ORPHANED),
    "one that was stopped": (worker(phase=Phase.STOPPED), Reason.ORPHANED),
    "and remains so": (worker(phase=Phase.STOPPED, status=after_refusal(Reason.ORPHANED)), Reason.ORPHANED),
    "one whose parent was being deleted": (
        worker(phase=Phase.RUNNING, status=after_refusal(Reason.PARENT_IS_BEING_DELETED)),
        Reason.ORPHANED,
    ),
    "one that was below it": (worker(phase=Phase.RUNNING, status={"path": "web/worker"}), Reason.ORPHANED),
    "one that still names it": (
        worker(phase=Phase.RUNNING, owners=(owned_by(instance("web")),), status={"path": "worker"}),
        Reason.ORPHANED,
    ),
    "one that has moved there from another": (
        worker(phase=Phase.RUNNING, status={"path": "mail/worker"}),
        Reason.PARENT_NOT_FOUND,
    ),
    "and goes on to wait there": (
        worker(phase=Phase.RUNNING, status={"path": "worker"} | after_refusal(Reason.PARENT_NOT_FOUND)),
        Reason.PARENT_NOT_FOUND,
    ),
    "an orphan that has moved there": (
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


@pytest.mark.parametrize("case", AWAY.values(), ids=AWAY)
def test_missing_parent(case: tuple[HopperInstance, Reason]) -> None:
    subject, reason = case
    link = place(subject)
    assert (link.valid, link.reason, link.ancestors) == (False, reason, ())
    assert 'parent "web"' in link.message
    assert "spec.parentRef.name" in link.message


def test_a_parent_being_deleted_keeps_its_own_and_takes_no_others() -> None:
    dying = instance("web", phase=Phase.RUNNING, deleted=True, finalizers=(FINALIZER,))
    assert place(worker(parent=dying), dying).valid
    for stranger in (worker(), worker(owners=(owned_by(dying, uid="uid-before"),))):
        assert place(stranger, dying).reason is Reason.PARENT_IS_BEING_DELETED


def test_ancestors_are_nearest_first() -> None:
    top = instance("global", Scope.GLOBAL)
    family = instance("smith", Scope.FAMILY, parent="global")
    person = instance("ann", Scope.PERSONAL, parent="smith")
    assert place(worker(parent="ann"), top, family, person).ancestors == (person, family, top)


def test_below_a_refused_parent_the_line_ends_there() -> None:
    """Whatever is wrong further up is said there; it is nothing against this one."""
    misplaced = instance("party", Scope.EVENT, parent="cloud")
    cloud = instance("cloud", Scope.FEDERATED)
    link = place(worker(parent="party"), misplaced, cloud)
    assert link == ParentLink(True, Reason.PARENT_ACCEPTED, "child of party", (misplaced,))
    waiting = instance("party", Scope.EVENT, parent="nowhere")
    assert place(worker(parent="party"), waiting).ancestors == (waiting,)


def cycle(*names: str) -> list[HopperInstance]:
    """Build instances of which each names the next as its parent, the last one the first."""
    return [
        instance(name, Scope.PERSONAL, parent=above) for name, above in zip(names, (*names[1:], names[0]), strict=True)
    ]


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c", "d")])
def test_circle(names: tuple[str, ...]) -> None:
    members = cycle(*names)
    for start, member in enumerate(members):
        link = place(member, *members)
        assert (link.valid, link.reason) == (False, Reason.PARENT_CYCLE)
        around = (*names[start:], *names[:start], names[start])
        assert find_parent_cycle(member, Forest(members)) == around
        assert " → ".join(around) in link.message
        assert link.message.startswith("spec.parentRef.name ")
        assert link.message.endswith("; change one of them")


def test_who_leads_into_a_circle_is_not_part_of_it() -> None:
    members = cycle("a", "b")
    guest = worker(parent="a")
    assert find_parent_cycle(guest, Forest((guest, *members))) is None
    assert place(guest, *members) == ParentLink(True, Reason.PARENT_ACCEPTED, "child of a", (members[0],))
    further = instance("further", Scope.PERSONAL, parent="guest-of-a")
    between = instance("guest-of-a", Scope.FAMILY, parent="a")
    assert place(further, between, *members).valid


def test_a_line_that_ends_nowhere_is_no_circle() -> None:
    assert find_parent_cycle(worker(), Forest()) is None
    assert find_parent_cycle(instance(), Forest()) is None


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
def test_depth(on_global: int | None, on_web: int | None, accepted: bool) -> None:
    top = instance("global", Scope.GLOBAL, config=limited(maxDepth=on_global) if on_global is not None else None)
    web = instance("web", parent="global", config=limited(maxDepth=on_web) if on_web is not None else None)
    link = place(worker(), web, top)
    assert (link.valid, link.reason) == (accepted, Reason.PARENT_ACCEPTED if accepted else Reason.TOO_DEEP)
    if not accepted:
        limit = min(it for it in (on_global, on_web) if it is not None)
        culprit = "web" if on_web == limit else "global"
        assert link.message == (
            f'depth 2 is over the limit of {limit} (config.limits.maxDepth of "{culprit}"); '
            "choose a spec.parentRef.name further up, or raise the limit"
        )


def test_a_limit_strikes_where_it_is_passed() -> None:
    top = instance("global", Scope.GLOBAL, config=limited(maxDepth=0))
    web = instance("web", parent="global")
    assert place(web, top).reason is Reason.TOO_DEEP
    assert place(worker(), web, top).ancestors == (web,)


def seats(parent: HopperInstance, *children: HopperInstance) -> dict[str, bool]:
    """Tell who is accepted below a parent."""
    return {child.name: place(child, parent, *children).valid for child in children}


NARROW = instance("web", phase=Phase.RUNNING, config=limited(maxChildInstances=2))


def test_the_oldest_find_a_seat() -> None:
    children = [worker("c", age=10), worker("b", age=30), worker("a", age=20)]
    assert seats(NARROW, *children) == {"c": False, "b": True, "a": True}


def test_names_decide_between_those_of_the_same_age() -> None:
    assert seats(NARROW, worker("b"), worker("c"), worker("a")) == {"a": True, "b": True, "c": False}


def test_a_newcomer_displaces_nobody() -> None:
    """Not even an older one that moves here."""
    moving = worker("a", age=9999)
    assert seats(NARROW, moving, worker("b", parent=NARROW), worker("c", parent=NARROW)) == {
        "a": False,
        "b": True,
        "c": True,
    }


@pytest.mark.parametrize("reason", [Reason.PARENT_ACCEPTED, Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP])
def test_who_had_a_seat_keeps_it_without_a_reference(reason: Reason) -> None:
    """Somebody has stripped it, and a limit was lowered meanwhile: it is still below its parent, and gets it back."""
    told = (condition(ConditionType.HIERARCHY_VALID, "True", reason),)
    stripped = worker("a", age=5, phase=Phase.RUNNING, status={"path": "web/a", "conditions": told})
    full = replace(NARROW, spec=replace(NARROW.spec, config=limited(maxChildInstances=1)))
    assert seats(NARROW, stripped, worker("b", age=30), worker("c", age=20)) == {"a": True, "b": True, "c": False}
    link = place(stripped, full, worker("b", parent=full, age=30))
    assert (link.valid, link.ancestors) == (False, (full,))
    assert wanted_references(stripped, link) == (owned_by(full),)


@pytest.mark.parametrize(
    "status",
    [
        {"path": "a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "False", Reason.TOO_MANY_CHILDREN),)},
        {"path": "web/a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "False", Reason.ORPHANED),)},
        {"path": "mail/a", "conditions": (condition(ConditionType.HIERARCHY_VALID, "True", Reason.PARENT_ACCEPTED),)},
        {"path": "web/a"},
    ],
    ids=["a newcomer", "an orphan", "one that moves in", "nothing was said"],
)
def test_who_had_none_is_given_none_for_what_the_status_says(status: dict[str, Any]) -> None:
    newcomer = worker("a", age=5, phase=Phase.RUNNING, status=status)
    assert seats(NARROW, newcomer, worker("b", age=30), worker("c", age=20)) == {"a": False, "b": True, "c": True}


def test_a_long_circle_is_told_in_short() -> None:
    names = [f"n{number:02}" for number in range(40)]
    cycle = [instance(it, Scope.PERSONAL, parent=names[n - 1]) for n, it in enumerate(names)]
    link = place(cycle[0], *cycle)
    assert link.message == (
        "spec.parentRef.name forms a cycle: n00 → n39 → n38 → n37 → … → n03 → n02 → n01 → n00; change one of them"
    )


def test_the_misplaced_take_no_seat() -> None:
    party = instance("party", Scope.EVENT, parent="web", age=40)
    wrong = instance("wrong", Scope.FAMILY, parent="web", age=50)
    assert seats(NARROW, wrong, party, worker("a", age=20), worker("b", age=10)) == {
        "wrong": False,
        "party": True,
        "a": True,
        "b": False,
    }


def test_as_many_as_allowed() -> None:
    children = [worker("a"), worker("b")]
    assert all(seats(NARROW, *children).values())
    nobody = replace(NARROW, spec=replace(NARROW.spec, config=limited(maxChildInstances=0)))
    link = place(worker(), nobody)
    assert (link.valid, link.reason) == (False, Reason.TOO_MANY_CHILDREN)
    assert link.message == (
        'parent "web" allows at most 0 children (config.limits.maxChildInstances), but 1 name it; '
        "choose another spec.parentRef.name, remove a sibling, or raise the limit"
    )


def test_a_global_instance_has_a_hundred_children_by_default() -> None:
    top = instance("global", Scope.GLOBAL)
    children = [instance(f"p{number:03}", parent="global") for number in range(101)]
    forest = Forest((top, *children))
    refused = [child.name for child in children if not parent_link(child, forest).valid]
    assert refused == ["p100"]


WISHES = list(product(DesiredState, DesiredState, DesiredState))


@pytest.mark.parametrize(("own", "of_parent", "of_global"), WISHES)
def test_the_most_restrictive_state_holds(own: DesiredState, of_parent: DesiredState, of_global: DesiredState) -> None:
    top = instance("global", Scope.GLOBAL, desired=of_global)
    web = instance("web", parent="global", desired=of_parent)
    found = effective_state(worker(desired=own), (web, top))
    order = ["Running", "Paused", "Stopped", "Archived", "Terminated"]
    passed_down = {"Archived": "Stopped"}
    wishes = [own, *(passed_down.get(wish, wish) for wish in (of_parent, of_global))]
    strictest = max(wishes, key=order.index)
    assert found.state == strictest
    assert found.source == (None, web, top)[wishes.index(strictest)], "one's own wish first, then the nearest ancestor"


def test_a_state_that_was_reached_for_good_counts_like_a_wish() -> None:
    """A Project that was terminated by its parent and then moved away stays what it is, and so does what is below."""
    ended = instance("web", phase=Phase.TERMINATED)
    assert effective_state(worker(), (ended,)).state is DesiredState.TERMINATED
    archived = instance("web", phase=Phase.ARCHIVED)
    assert effective_state(worker(), (archived,)).state is DesiredState.STOPPED
    both = instance("web", phase=Phase.ARCHIVED, desired=DesiredState.TERMINATED)
    assert effective_state(worker(), (both,)).state is DesiredState.TERMINATED


def test_which_references_are_ours() -> None:
    web = instance("web")
    assert is_hopper_reference(owned_by(web))
    assert is_hopper_reference(replace(owned_by(web), api_version="hopper.dev/v2"))
    assert not is_hopper_reference(replace(owned_by(web), kind="HopperTemplate"))
    assert not is_hopper_reference(foreign_owner())


def test_owned_is_who_carries_the_uid() -> None:
    web = instance("web")
    assert is_owned_by(worker(parent=web), web)
    assert not is_owned_by(worker(parent="web"), web)
    assert not is_owned_by(worker(owners=(owned_by(web, uid="other"),)), web)


def test_orphaning_shows_in_a_finalizer() -> None:
    assert is_orphaning(instance(finalizers=(FINALIZER, ORPHAN_FINALIZER)))
    assert not is_orphaning(instance(finalizers=(FINALIZER, "foregroundDeletion")))
