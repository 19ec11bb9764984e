"""The hierarchy: whether a parent is the right one, and who is above whom (design: Hierarchy).

A tree is seen through two lookups; a parent that does not exist (yet) is an ordinary case.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, OwnerReference
from hopper.api.names import API_VERSION, GROUP, INSTANCE_KIND, ORPHAN_FINALIZER
from hopper.api.scopes import SCOPES, allowed_children
from hopper.domain.config import effective_value, own_value
from hopper.domain.lifecycle import FINAL, INHERITED, STARTED

# What is said of those who are below their parent; the last two of those who came before a limit did.
_ACCEPTED = frozenset({Reason.PARENT_ACCEPTED, Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP})
_PAST_CHILDREN = frozenset({DesiredState.ARCHIVED, DesiredState.TERMINATED})
_LONGEST_CIRCLE = 10


class Tree(Protocol):
    """The instances of one namespace."""

    def get(self, name: str) -> HopperInstance | None:
        """Return the instance of that name."""

    def children(self, name: str) -> Collection[HopperInstance]:
        """Return those whose `parentRef` names `name`, whether or not that exists."""

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        """Return those that carry this uid in their ownerReferences, whatever parent they name by now."""

    def waiting_services(self, name: str | None) -> Collection[HopperInstance]:
        """Return those of the children that have a template, and may wait for one of the others.

        They have said so, or nothing yet. Of those without a parent where `name` is None.
        """

    def successors(self, name: str) -> Collection[HopperInstance]:
        """Return those whose `renamedFrom` names `name`, whether or not that exists."""

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        """Tell whether the ownerReference that makes it a child of `parent` is being written."""


def may_wait_for_sibling(service: HopperInstance) -> bool:
    """Whether an instance with a template has said that it waits for another one, or has said nothing yet."""
    said = service.status.reason(ConditionType.READY)
    return service.status.phase not in STARTED and said in (None, Reason.DEPENDENCY_NOT_READY)


@dataclass(frozen=True, slots=True)
class ParentLink:
    """What is to be said of an instance's place.

    `ancestors` (nearest first) is empty where `valid` is false, unless a limit is the reason and came later.
    """

    valid: bool
    reason: Reason
    message: str
    ancestors: tuple[HopperInstance, ...] = ()

    @property
    def parent(self) -> HopperInstance | None:
        return self.ancestors[0] if self.ancestors else None


def parent_link(instance: HopperInstance, tree: Tree) -> ParentLink:
    """Decide whether the instance's place is valid; the checks run in the order of this function."""
    scope, wanted = instance.spec.scope, instance.parent_name
    rule = SCOPES[scope]
    if wanted is None:
        if rule.may_be_root:
            return ParentLink(True, Reason.ROOT, "has no parent")
        return _refuse(Reason.PARENT_REQUIRED, f"set spec.parentRef.name to a {_one_of(rule.parents)}")
    if cycle := find_parent_cycle(instance, tree):
        return _refuse(
            Reason.PARENT_CYCLE, f"spec.parentRef.name leads in a cycle: {_in_short(cycle)}; change one of them"
        )
    parent = tree.get(wanted)
    if parent is None:
        return _parent_is_missing(instance, wanted)
    if parent.spec.scope not in rule.parents:
        allowed = f"a {_one_of(rule.parents)}" if rule.parents else "no parent"
        return _refuse(
            Reason.WRONG_PARENT_SCOPE,
            f'spec.parentRef.name: "{wanted}" has scope {parent.spec.scope}, but scope {scope} needs {allowed}',
        )
    if parent.metadata.deletion_timestamp and not is_owned_by(instance, parent):
        return _refuse(
            Reason.PARENT_IS_BEING_DELETED, f'parent "{wanted}" is being deleted; choose another spec.parentRef.name'
        )
    ancestors = (parent, *parent_link(parent, tree).ancestors)
    over = _check_limits(instance, ancestors, tree)
    if over is None:
        return ParentLink(True, Reason.PARENT_ACCEPTED, f"child of {wanted}", ancestors)
    # A limit that was lowered keeps newcomers out; who is in stays in: it goes on to inherit, and goes with its parent.
    return replace(over, ancestors=ancestors) if has_slot(instance, parent) else over


def _in_short(cycle: tuple[str, ...]) -> str:
    """Write a cycle down, without its middle where it is long."""
    names = cycle if len(cycle) <= _LONGEST_CIRCLE else (*cycle[:4], "…", *cycle[-4:])
    return " → ".join(names)


def has_free_slot(parent: HopperInstance, tree: Tree) -> bool:
    """Tell whether one more child can live below an instance: it is there to stay, and no limit is reached."""
    ancestors = parent_link(parent, tree).ancestors
    state = effective_state(parent, ancestors).state
    if parent.metadata.deletion_timestamp or parent.status.phase in FINAL or state in _PAST_CHILDREN:
        return False
    deepest = effective_value(parent, ancestors, "limits.maxDepth")
    if deepest is not None and len(ancestors) + 1 > deepest:
        return False
    most = effective_value(parent, ancestors, "limits.maxChildInstances")
    fitting = allowed_children(parent.spec.scope)
    return most is None or sum(child.spec.scope in fitting for child in tree.children(parent.name)) < most


def find_parent_cycle(instance: HopperInstance, tree: Tree) -> tuple[str, ...] | None:
    """Return the names on a cycle that the instance is part of, first one repeated at the end; None without one."""
    names, step = [instance.name], instance.parent_name
    while step is not None:
        names.append(step)
        if step == instance.name:
            return tuple(names)
        above = tree.get(step)
        if above is None or step in names[:-1]:  # the second: a cycle further up, which this one only leads into
            return None
        step = above.parent_name
    return None


def predecessor_of(newcomer: HopperInstance, tree: Tree) -> HopperInstance | None:
    """Return the instance that another one waits to replace (`spec.renamedFrom`); None where there is none (any more).

    Whoever has left Created without one had nobody to replace: another instance of that name is a different one.
    """
    renamed, status = newcomer.spec.renamed_from, newcomer.status
    found = tree.get(renamed.name) if renamed else None
    if found is None or newcomer.metadata.deletion_timestamp:
        return None
    waits = status.phase is Phase.CREATED if status.predecessor is None else status.predecessor == found.metadata.uid
    return found if waits else None


def _parent_is_missing(instance: HopperInstance, wanted: str) -> ParentLink:
    if instance.status.phase is Phase.CREATED:
        return _refuse(
            Reason.PARENT_NOT_FOUND, f'waits for parent "{wanted}" (spec.parentRef.name), which does not exist yet'
        )
    if not _had_parent(instance, wanted):
        return _refuse(
            Reason.PARENT_NOT_FOUND,
            f'parent "{wanted}" (spec.parentRef.name) does not exist yet: what runs goes on. '
            "Create it, or change spec.parentRef.name",
        )
    return _refuse(
        Reason.ORPHANED,
        f'parent "{wanted}" does not exist any more: what runs goes on. Create it, or change spec.parentRef.name',
    )


def _had_parent(instance: HopperInstance, wanted: str) -> bool:
    """Tell whether an instance that has left Created was below a parent of that name, which is gone then."""
    said = instance.status.condition(ConditionType.HIERARCHY_VALID)
    if said is not None and said.reason == Reason.PARENT_NOT_FOUND:
        return False  # wanted stopped from the start, or moved to one who is not there yet
    if said is not None and said.reason in (Reason.ORPHANED, Reason.PARENT_IS_BEING_DELETED):
        return f'"{wanted}"' in said.message
    if instance.status.path is None:
        return True
    owned = any(is_hopper_reference(it) and it.name == wanted for it in instance.metadata.owner_references)
    return owned or _parent_in_path(instance) == wanted


def _check_limits(instance: HopperInstance, ancestors: tuple[HopperInstance, ...], tree: Tree) -> ParentLink | None:
    parent, above = ancestors[0], ancestors[1:]
    deepest = effective_value(parent, above, "limits.maxDepth")
    if deepest is not None and len(ancestors) > deepest:
        return _refuse(
            Reason.TOO_DEEP,
            f"depth {len(ancestors)} is over the limit of {deepest} "
            f'(config.limits.maxDepth of "{_limited_by(deepest, ancestors).name}"); '
            "choose a spec.parentRef.name further up, or raise the limit",
        )
    most = effective_value(parent, above, "limits.maxChildInstances")
    if most is not None and len(tree.children(parent.name)) > most and _rank(instance, parent, tree) >= most:
        return _refuse(
            Reason.TOO_MANY_CHILDREN,
            f'parent "{parent.name}" may have {most} children at most (config.limits.maxChildInstances), '
            f"and {len(tree.children(parent.name))} name it; "
            "choose another spec.parentRef.name, remove a sibling, or raise the limit",
        )
    return None


def _limited_by(depth: int, ancestors: tuple[HopperInstance, ...]) -> HopperInstance:
    """Return the ancestor whose own configuration, or the default of whose scope, is that limit."""
    return next((it for it in ancestors if own_value(it, "limits.maxDepth") == depth), ancestors[-1])


def _rank(instance: HopperInstance, parent: HopperInstance, tree: Tree) -> int:
    """Count the siblings that come before: those accepted already, then the older ones. A newcomer displaces nobody.

    Who replaces a sibling has that one's seat.
    """

    def seat(child: HopperInstance) -> tuple[bool, object, str]:
        seated = has_slot(child, parent) or tree.has_reserved_slot(child, parent)
        return (not seated, child.metadata.creation_timestamp, child.name)

    predecessor = predecessor_of(instance, tree)
    replaces_sibling = predecessor is not None and predecessor.parent_name == parent.name
    own = seat(predecessor) if predecessor is not None and replaces_sibling else seat(instance)
    fitting = allowed_children(parent.spec.scope)
    return sum(child.spec.scope in fitting and seat(child) < own for child in tree.children(parent.name))


def _refuse(reason: Reason, message: str) -> ParentLink:
    return ParentLink(False, reason, message)


def _one_of(scopes: tuple[Scope, ...]) -> str:
    return " or ".join(scopes)


@dataclass(frozen=True, slots=True)
class EffectiveState:
    """The state to bring an instance to. `source` is the ancestor that holds it there, None for its own wish."""

    state: DesiredState
    source: HopperInstance | None = None


def effective_state(instance: HopperInstance, ancestors: tuple[HopperInstance, ...]) -> EffectiveState:
    """Return the most restrictive of the instance's own desired state and its ancestors' (nearest first)."""
    best = EffectiveState(instance.spec.desired_state)
    for ancestor in ancestors:
        state = INHERITED[_wanted_or_final(ancestor)]
        if state.severity > best.state.severity:
            best = EffectiveState(state, ancestor)
    return best


def _wanted_or_final(ancestor: HopperInstance) -> DesiredState:
    """Return the desired state, unless the ancestor is past it: nobody lives on below a terminated instance."""
    wanted = ancestor.spec.desired_state
    if ancestor.status.phase in (Phase.ARCHIVED, Phase.TERMINATED):
        return max(wanted, DesiredState(ancestor.status.phase.value), key=lambda state: state.severity)
    return wanted


def is_hopper_reference(reference: OwnerReference) -> bool:
    """Tell whether an ownerReference points at a HopperInstance, of whatever version."""
    return reference.kind == INSTANCE_KIND and reference.api_version.partition("/")[0] == GROUP


def is_owned_by(child: HopperInstance, parent: HopperInstance) -> bool:
    """Tell whether the child carries the parent's uid in its ownerReferences."""
    return any(reference.uid == parent.metadata.uid for reference in child.metadata.owner_references)


def has_slot(child: HopperInstance, parent: HopperInstance) -> bool:
    """Tell whether the child is below this parent: by its ownerReference or, where that was stripped, by its status."""
    if is_owned_by(child, parent):
        return True
    accepted = child.status.reason(ConditionType.HIERARCHY_VALID) in _ACCEPTED
    return accepted and child.parent_name == parent.name == _parent_in_path(child)


def _parent_in_path(instance: HopperInstance) -> str | None:
    """Return the parent that the instance had, as its status tells."""
    names = (instance.status.path or "").split("/")
    return names[-2] if len(names) > 1 else None


def is_orphaning(instance: HopperInstance) -> bool:
    """Tell whether the instance is being deleted with `--cascade=orphan`: its children are let go, not deleted."""
    return ORPHAN_FINALIZER in instance.metadata.finalizers


def wanted_references(instance: HopperInstance, link: ParentLink) -> tuple[OwnerReference, ...]:
    """Return the ownerReferences that follow from the link; references to other kinds stay as they are."""
    current = instance.metadata.owner_references
    foreign = tuple(reference for reference in current if not is_hopper_reference(reference))
    if link.reason in (Reason.PARENT_NOT_FOUND, Reason.ORPHANED):
        # The parent may just have been deleted: its garbage collection must still find this child.
        kept = (r for r in current if is_hopper_reference(r) and r.name == instance.parent_name)
        return (*foreign, *kept)
    if link.parent is None:
        return foreign
    # An object has one controller at most; where another kind has that place, the parent is a plain owner.
    controller = not any(reference.controller for reference in foreign)
    parent = link.parent.metadata
    own = OwnerReference(
        api_version=API_VERSION,
        kind=INSTANCE_KIND,
        name=parent.name,
        uid=parent.uid,
        controller=controller,
        block_owner_deletion=True,
    )
    return (*foreign, own)
