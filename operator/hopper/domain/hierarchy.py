"""Validation of `spec.parentRef`, slots of a parent's child limit, and the ownerReferences that follow."""

from dataclasses import dataclass, replace

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.model import OwnerReference
from hopper.api.names import API_VERSION, GROUP, INSTANCE_KIND, ORPHAN_FINALIZER
from hopper.api.scopes import SCOPES, allowed_children
from hopper.domain.config import effective_value, own_value
from hopper.domain.lifecycle import FINAL, effective_state
from hopper.domain.tree import Tree, find_parent_cycle, predecessor_of

# Reasons in HierarchyValid of instances that are below their parent. The limits are among them, because a limit that
# is lowered later does not remove the children that were accepted before.
_ACCEPTED = frozenset({Reason.PARENT_ACCEPTED, Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP})
# Effective states in which an instance accepts no new children.
_ACCEPTS_NO_CHILDREN = frozenset({DesiredState.ARCHIVED, DesiredState.TERMINATED})
_LONGEST_CYCLE_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ParentLink:
    """Outcome of checking the parent of an instance; the source of its HierarchyValid condition."""

    valid: bool
    """Whether the parent is accepted, or none is needed."""
    reason: Reason
    """Reason of the condition."""
    message: str
    """Message of the condition."""
    ancestors: tuple[HopperInstance, ...] = ()
    """The ancestors, nearest first.

    Empty if the link is invalid, except when the instance exceeds a limit that was lowered after it was accepted.
    """

    @property
    def parent(self) -> HopperInstance | None:
        """The accepted parent."""
        return self.ancestors[0] if self.ancestors else None


def parent_link(instance: HopperInstance, tree: Tree) -> ParentLink:
    """Check the parent of an instance. The first check that fails determines the reason."""
    scope, name = instance.spec.scope, instance.parent_name
    rule = SCOPES[scope]
    if name is None:
        if rule.may_be_root:
            return ParentLink(True, Reason.ROOT, "has no parent")
        message = f"spec.parentRef.name: scope {scope} needs a parent; name a {_either(rule.parents)}"
        return _invalid(Reason.PARENT_REQUIRED, message)
    if cycle := find_parent_cycle(instance, tree):
        message = f"spec.parentRef.name forms a cycle: {_cycle_text(cycle)}; change one of them"
        return _invalid(Reason.PARENT_CYCLE, message)
    parent = tree.get(name)
    if parent is None:
        return _missing_parent(instance, name)
    if parent.spec.scope not in rule.parents:
        needed = f"a {_either(rule.parents)}" if rule.parents else "no parent"
        message = f'spec.parentRef.name: "{name}" has scope {parent.spec.scope}, but scope {scope} needs {needed}'
        return _invalid(Reason.WRONG_PARENT_SCOPE, message)
    if parent.metadata.deletion_timestamp and not is_owned_by(instance, parent):
        message = f'parent "{name}" is being deleted; choose another spec.parentRef.name'
        return _invalid(Reason.PARENT_IS_BEING_DELETED, message)
    ancestors = (parent, *parent_link(parent, tree).ancestors)
    exceeded = _exceeded_limit(instance, ancestors, tree)
    if exceeded is None:
        return ParentLink(True, Reason.PARENT_ACCEPTED, f"child of {name}", ancestors)
    # A limit that was lowered later does not cut off an accepted child: it keeps inheriting from its ancestors and is
    # deleted with its parent.
    return replace(exceeded, ancestors=ancestors) if has_slot(instance, parent) else exceeded


def has_free_slot(parent: HopperInstance, tree: Tree) -> bool:
    """Whether the instance can accept one more child: it is neither ending nor at one of its limits."""
    ancestors = parent_link(parent, tree).ancestors
    state = effective_state(parent, ancestors).state
    if parent.metadata.deletion_timestamp or parent.status.phase in FINAL or state in _ACCEPTS_NO_CHILDREN:
        return False
    max_depth = effective_value(parent, ancestors, "limits.maxDepth")
    if max_depth is not None and len(ancestors) + 1 > max_depth:
        return False
    max_children = effective_value(parent, ancestors, "limits.maxChildInstances")
    scopes = allowed_children(parent.spec.scope)
    return (
        max_children is None or sum(child.spec.scope in scopes for child in tree.children(parent.name)) < max_children
    )


def has_slot(child: HopperInstance, parent: HopperInstance) -> bool:
    """Whether the child has a slot of this parent.

    The ownerReference proves that. Where another client removed the ownerReference, the status of the child does.
    """
    if is_owned_by(child, parent):
        return True
    accepted = child.status.reason(ConditionType.HIERARCHY_VALID) in _ACCEPTED
    return accepted and child.parent_name == parent.name == _parent_in_path(child)


def is_hopper_reference(reference: OwnerReference) -> bool:
    """Whether an ownerReference refers to a HopperInstance, in any version of the API."""
    return reference.kind == INSTANCE_KIND and reference.api_version.partition("/")[0] == GROUP


def is_owned_by(child: HopperInstance, parent: HopperInstance) -> bool:
    """Whether the child's ownerReferences contain the uid of the parent."""
    return any(reference.uid == parent.metadata.uid for reference in child.metadata.owner_references)


def is_orphaning(instance: HopperInstance) -> bool:
    """Whether the instance is being deleted with `--cascade=orphan`, which keeps its children."""
    return ORPHAN_FINALIZER in instance.metadata.finalizers


def desired_owner_references(instance: HopperInstance, link: ParentLink) -> tuple[OwnerReference, ...]:
    """Return the ownerReferences that follow from the link, after the references to objects of other kinds."""
    current = instance.metadata.owner_references
    foreign = tuple(reference for reference in current if not is_hopper_reference(reference))
    if link.reason in (Reason.PARENT_NOT_FOUND, Reason.ORPHANED):
        # The parent may have been deleted a moment ago. Garbage collection must still find this child.
        to_same_parent = (r for r in current if is_hopper_reference(r) and r.name == instance.parent_name)
        return (*foreign, *to_same_parent)
    if link.parent is None:
        return foreign
    # An object can have only one controller. Where an object of another kind is the controller, the parent is an
    # ordinary owner.
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


def _missing_parent(instance: HopperInstance, name: str) -> ParentLink:
    if instance.status.phase is Phase.CREATED:
        message = f'waits for parent "{name}" (spec.parentRef.name), which does not exist yet'
        return _invalid(Reason.PARENT_NOT_FOUND, message)
    advice = "what runs keeps running. Create the parent, or change spec.parentRef.name"
    if not _had_parent(instance, name):
        message = f'parent "{name}" (spec.parentRef.name) does not exist yet; {advice}'
        return _invalid(Reason.PARENT_NOT_FOUND, message)
    return _invalid(Reason.ORPHANED, f'parent "{name}" no longer exists; {advice}')


def _had_parent(instance: HopperInstance, name: str) -> bool:
    """Whether an instance that has left Created was a child of the missing parent `name` before."""
    condition = instance.status.condition(ConditionType.HIERARCHY_VALID)
    if condition is not None and condition.reason == Reason.PARENT_NOT_FOUND:
        return False  # stopped before the parent existed, or moved to a parent that does not exist yet
    if condition is not None and condition.reason in (Reason.ORPHANED, Reason.PARENT_IS_BEING_DELETED):
        return f'"{name}"' in condition.message
    if instance.status.path is None:
        return True
    references = instance.metadata.owner_references
    owned = any(is_hopper_reference(reference) and reference.name == name for reference in references)
    return owned or _parent_in_path(instance) == name


def _parent_in_path(instance: HopperInstance) -> str | None:
    """Return the parent in `status.path`, which the instance had when its status was written."""
    names = (instance.status.path or "").split("/")
    return names[-2] if len(names) > 1 else None


def _exceeded_limit(instance: HopperInstance, ancestors: tuple[HopperInstance, ...], tree: Tree) -> ParentLink | None:
    """Return an invalid link if the instance is too deep or has no slot of its parent; else None."""
    parent, above = ancestors[0], ancestors[1:]
    max_depth = effective_value(parent, above, "limits.maxDepth")
    if max_depth is not None and len(ancestors) > max_depth:
        message = (
            f"depth {len(ancestors)} is over the limit of {max_depth} "
            f'(config.limits.maxDepth of "{_source_of_max_depth(max_depth, ancestors).name}"); '
            "choose a spec.parentRef.name further up, or raise the limit"
        )
        return _invalid(Reason.TOO_DEEP, message)
    max_children = effective_value(parent, above, "limits.maxChildInstances")
    count = len(tree.children(parent.name))
    if max_children is not None and count > max_children and _slot_number(instance, parent, tree) >= max_children:
        message = (
            f'parent "{parent.name}" allows at most {max_children} children (config.limits.maxChildInstances), '
            f"but {count} name it; choose another spec.parentRef.name, remove a sibling, or raise the limit"
        )
        return _invalid(Reason.TOO_MANY_CHILDREN, message)
    return None


def _source_of_max_depth(max_depth: int, ancestors: tuple[HopperInstance, ...]) -> HopperInstance:
    """Return the nearest ancestor that sets this limit, or the root, where the default of its scope applies."""
    sources = (ancestor for ancestor in ancestors if own_value(ancestor, "limits.maxDepth") == max_depth)
    return next(sources, ancestors[-1])


def _slot_number(instance: HopperInstance, parent: HopperInstance, tree: Tree) -> int:
    """Return how many siblings have a prior claim to a slot.

    Siblings with a slot come first, then older ones, so that a new instance never displaces an accepted one. An
    instance that takes over from a sibling gets the slot of that sibling.
    """

    def claim(child: HopperInstance) -> tuple[bool, object, str]:
        holds_slot = has_slot(child, parent) or tree.has_reserved_slot(child, parent)
        return (not holds_slot, child.metadata.creation_timestamp, child.name)

    predecessor = predecessor_of(instance, tree)
    inherits_slot = predecessor is not None and predecessor.parent_name == parent.name
    own = claim(predecessor) if predecessor is not None and inherits_slot else claim(instance)
    scopes = allowed_children(parent.spec.scope)
    return sum(child.spec.scope in scopes and claim(child) < own for child in tree.children(parent.name))


def _invalid(reason: Reason, message: str) -> ParentLink:
    return ParentLink(False, reason, message)


def _either(scopes: tuple[Scope, ...]) -> str:
    return " or ".join(scopes)


def _cycle_text(cycle: tuple[str, ...]) -> str:
    """Return the names on a cycle joined by arrows, without the middle of a long cycle."""
    names = cycle if len(cycle) <= _LONGEST_CYCLE_SHOWN else (*cycle[:4], "…", *cycle[-4:])
    return " → ".join(names)
