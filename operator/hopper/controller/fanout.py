"""Fan-out: who else has to look again when one instance has changed."""

from collections.abc import Iterator

from hopper.api.conditions import ConditionType
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.names import FINALIZER
from hopper.domain.config import effective_value
from hopper.domain.hierarchy import is_hopper_reference
from hopper.domain.lifecycle import ACTIVE, FINAL
from hopper.domain.tree import Tree, descendants
from hopper.registry import InstanceChange

# A parent counts its children: many changes, one write. Where it waits for them, it looks at once.
SUMMARY_DELAY = 1.0
# What runs tells the same in many versions of several objects: one look will do for them.
CHILD_DELAY = 0.1


def affected(change: InstanceChange, tree: Tree) -> Iterator[tuple[str, float]]:
    """Yield names of relatives that a change concerns, each with the delay (seconds) that is soon enough.

    The changed instance itself is not among them.
    """
    old, new = change.old, change.new
    if _changes_what_is_inherited(old, new):
        yield from ((below.name, 0.0) for below in descendants(change.subject.name, tree))
    elif _changes_what_children_wait_for(old, new):
        yield from ((child.name, 0.0) for child in tree.children(change.subject.name))
    if _changes_what_parents_count(old, new):
        for parent_name in _parents(old) | _parents(new):
            parent = tree.get(parent_name)
            if parent is not None:
                yield parent.name, _patience(parent, tree)
    if _changes_what_siblings_wait_for(old, new):
        became_ready = bool(new and new.status.is_ready and not (old and _is_ready_below(old, new.parent_name)))
        yield from ((name, 0.0) for name in _waiting_for_a_sibling(change.subject, tree, became_ready))
    yield from ((name, 0.0) for name in _renaming(change, tree))
    if old and (new is None or new.parent_name != old.parent_name):
        yield from ((name, 0.0) for name in _waiting_for_a_seat(old.parent_name, tree))


def _changes_what_is_inherited(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    if old is None or new is None:
        return True
    ended = old.status.phase != new.status.phase and new.status.phase in FINAL
    return (
        ended
        or old.metadata.uid != new.metadata.uid
        or old.spec.desired_state != new.spec.desired_state
        or old.spec.parent_ref != new.spec.parent_ref
        or old.spec.config != new.spec.config
        or old.spec.reason != new.spec.reason
        or old.status.path != new.status.path
    )


def _changes_what_children_wait_for(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    assert old
    assert new
    return (
        old.status.phase != new.status.phase
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.metadata.finalizers != new.metadata.finalizers
    )


def _changes_what_siblings_wait_for(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    if old is None or new is None:
        return True
    return (
        old.status.phase != new.status.phase
        or old.status.is_ready != new.status.is_ready
        or old.parent_name != new.parent_name
    )


def _is_ready_below(sibling: HopperInstance, parent_name: str | None) -> bool:
    return sibling.status.is_ready and sibling.parent_name == parent_name


def _changes_what_parents_count(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    if old is None or new is None:
        return True
    return (
        old.status.phase != new.status.phase
        or old.status.is_ready != new.status.is_ready
        or old.spec.parent_ref != new.spec.parent_ref
        or old.spec.deletion_protection != new.spec.deletion_protection
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.status.reason(ConditionType.STALLED) != new.status.reason(ConditionType.STALLED)
        or old.metadata.owner_references != new.metadata.owner_references
    )


def _parents(instance: HopperInstance | None) -> set[str]:
    """Return the names of the parent that is wanted and of the one that is left behind."""
    if instance is None:
        return set()
    owners = {reference.name for reference in instance.metadata.owner_references if is_hopper_reference(reference)}
    return owners | ({instance.parent_name} if instance.parent_name else set())


def _patience(parent: HopperInstance, tree: Tree) -> float:
    """Return how soon a parent is to count again: at once only where this may be the last one it waits for."""
    if FINALIZER not in parent.metadata.finalizers:
        return 0.0
    below = tree.dependents(parent.metadata.uid)
    if parent.metadata.deletion_timestamp:
        return SUMMARY_DELAY if below else 0.0
    waits = parent.status.phase is Phase.STOPPING and not any(child.status.phase in ACTIVE for child in below)
    return 0.0 if waits else SUMMARY_DELAY


def _waiting_for_a_sibling(sibling: HopperInstance, tree: Tree, became_ready: bool) -> Iterator[str]:
    """Yield siblings that may wait for this one to be Ready (dependsOn of their templates)."""
    for other in tree.waiting_services(sibling.parent_name):
        if other.name != sibling.name and (became_ready or other.status.condition(ConditionType.READY)):
            yield other.name


def waiting_to_replace(name: str, tree: Tree) -> Iterator[str]:
    """Yield those who cannot start while something of the instance of that name is left."""
    return (it.name for it in tree.successors(name) if it.status.phase not in ACTIVE)


def _renaming(change: InstanceChange, tree: Tree) -> Iterator[str]:
    """Yield who waits to replace the changed one, and, where that waits itself, whom it replaces, and its rivals."""
    yield from waiting_to_replace(change.subject.name, tree)
    renamed = change.subject.spec.renamed_from
    if renamed is not None and (change.old or change.subject).status.phase not in ACTIVE:
        yield renamed.name
        yield from (name for name in waiting_to_replace(renamed.name, tree) if name != change.subject.name)


def _waiting_for_a_seat(parent_name: str | None, tree: Tree) -> Iterator[str]:
    parent = tree.get(parent_name) if parent_name else None
    if parent is None or parent.metadata.deletion_timestamp:
        return
    most = effective_value(parent, (), "limits.maxChildInstances")
    siblings = tree.children(parent.name)
    if most is not None and len(siblings) >= most:
        yield from (sibling.name for sibling in siblings if not sibling.status.is_ready)
