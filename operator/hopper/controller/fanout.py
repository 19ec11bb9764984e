"""Fan-out: the instances to requeue when another instance has changed."""

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

# Delays in seconds. A parent summarises many changes of its children in one status write.
SUMMARY_DELAY = 1.0
# A change of a workload causes several watch events of several objects; one reconcile serves all of them.
OWNED_OBJECT_DELAY = 0.1


def affected_relatives(change: InstanceChange, tree: Tree) -> Iterator[tuple[str, float]]:
    """Yield the names of instances that a change affects, each with the delay in seconds after which to requeue it.

    The changed instance itself is not among them.
    """
    old, new = change.old, change.new
    if _affects_descendants(old, new):
        yield from ((below.name, 0.0) for below in descendants(change.instance.name, tree))
    elif _affects_children(old, new):
        yield from ((child.name, 0.0) for child in tree.children(change.instance.name))
    if _affects_parents(old, new):
        for parent_name in _parent_names(old) | _parent_names(new):
            parent = tree.get(parent_name)
            if parent is not None:
                yield parent.name, _parent_delay(parent, tree)
    if _affects_siblings(old, new):
        became_ready = bool(new and new.status.is_ready and not (old and _is_ready_below(old, new.parent_name)))
        yield from ((name, 0.0) for name in _dependents_among_siblings(change.instance, tree, became_ready))
    yield from ((name, 0.0) for name in _affected_by_rename(change, tree))
    if old and (new is None or new.parent_name != old.parent_name):
        yield from ((name, 0.0) for name in _waiting_for_child_slot(old.parent_name, tree))


def waiting_successors(name: str, tree: Tree) -> Iterator[str]:
    """Yield the successors of an instance that cannot start while the instance or one of its pods exists."""
    return (successor.name for successor in tree.successors(name) if successor.status.phase not in ACTIVE)


def _affects_descendants(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    """Whether something changed that descendants inherit: state, configuration, or the path."""
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


def _affects_children(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    """Whether something changed that children wait for, in an instance that exists before and after."""
    assert old
    assert new
    return (
        old.status.phase != new.status.phase
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.metadata.finalizers != new.metadata.finalizers
    )


def _affects_siblings(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    """Whether something changed that siblings wait for (dependsOn of their templates)."""
    if old is None or new is None:
        return True
    return (
        old.status.phase != new.status.phase
        or old.status.is_ready != new.status.is_ready
        or old.parent_name != new.parent_name
    )


def _is_ready_below(sibling: HopperInstance, parent_name: str | None) -> bool:
    return sibling.status.is_ready and sibling.parent_name == parent_name


def _affects_parents(old: HopperInstance | None, new: HopperInstance | None) -> bool:
    """Whether something changed that a parent counts, or waits for."""
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


def _parent_names(instance: HopperInstance | None) -> set[str]:
    """Return the names of the parent in the spec and of the parent in the ownerReferences."""
    if instance is None:
        return set()
    owners = {reference.name for reference in instance.metadata.owner_references if is_hopper_reference(reference)}
    return owners | ({instance.parent_name} if instance.parent_name else set())


def _parent_delay(parent: HopperInstance, tree: Tree) -> float:
    """Return the delay for a parent: none if this may be the last child that it waits for."""
    if FINALIZER not in parent.metadata.finalizers:
        return 0.0
    children = tree.dependents(parent.metadata.uid)
    if parent.metadata.deletion_timestamp:
        return SUMMARY_DELAY if children else 0.0
    may_stop_now = parent.status.phase is Phase.STOPPING and not any(child.status.phase in ACTIVE for child in children)
    return 0.0 if may_stop_now else SUMMARY_DELAY


def _dependents_among_siblings(sibling: HopperInstance, tree: Tree, became_ready: bool) -> Iterator[str]:
    """Yield siblings that may wait for this instance to be Ready (dependsOn of their templates)."""
    for other in tree.waiting_services(sibling.parent_name):
        if other.name != sibling.name and (became_ready or other.status.condition(ConditionType.READY)):
            yield other.name


def _affected_by_rename(change: InstanceChange, tree: Tree) -> Iterator[str]:
    """Yield the instances affected by a rename: successors, predecessor and competing successors."""
    yield from waiting_successors(change.instance.name, tree)
    renamed = change.instance.spec.renamed_from
    if renamed is not None and (change.old or change.instance).status.phase not in ACTIVE:
        yield renamed.name
        yield from (name for name in waiting_successors(renamed.name, tree) if name != change.instance.name)


def _waiting_for_child_slot(parent_name: str | None, tree: Tree) -> Iterator[str]:
    """Yield children that may wait for the slot that became free below this parent."""
    parent = tree.get(parent_name) if parent_name else None
    if parent is None or parent.metadata.deletion_timestamp:
        return
    limit = effective_value(parent, (), "limits.maxChildInstances")
    siblings = tree.children(parent.name)
    if limit is not None and len(siblings) >= limit:
        yield from (sibling.name for sibling in siblings if not sibling.status.is_ready)
