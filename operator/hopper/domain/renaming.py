"""Renaming: a successor takes over from the predecessor that its `spec.renamedFrom` names.

Each step follows from what is observed, so it may be interrupted, repeated or delayed:

1. The successor waits in Created. Once nothing else prevents its start, its status names the predecessor. With that,
   the takeover has begun.
2. The predecessor stops and stays stopped, whatever its desired state. The successor becomes the controller of its
   claims, and the predecessor remains an owner of them. The claims survive if either of the two is deleted meanwhile.
3. When nothing of the predecessor runs, the successor copies its phase and history.
4. The predecessor is deleted when it owns nothing any more. When it is gone, the successor starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.resources import Manifest
from hopper.domain.lifecycle import FINAL, INACTIVE, EffectiveState
from hopper.domain.messages import join_names
from hopper.domain.service.naming import claim_prefix
from hopper.domain.tree import Tree, predecessor_of

# Fields of the status that the successor copies.
_COPIED_FIELDS = ("phase", "last_transition_time", "history", "restarts", "started_at", "stopped_at")


@dataclass(frozen=True, slots=True)
class Takeover:
    """An open takeover, which the start of the successor has to wait for."""

    predecessor: HopperInstance | None
    """The predecessor; None if only its pods are left."""
    pods: bool = False
    """Whether pods of the predecessor are left."""
    claims: tuple[Manifest, ...] = ()
    """PersistentVolumeClaims whose controller is still the predecessor."""
    begun: bool = False
    """Whether the status of the successor names the predecessor."""
    refusal: str | None = None
    """Message that says why the takeover must not begin or go on; None if it may."""

    @property
    def is_down(self) -> bool:
        """Whether nothing of the predecessor runs."""
        return not self.pods and (self.predecessor is None or self.predecessor.status.phase in INACTIVE)


def takeover_of(
    successor: HopperInstance, tree: Tree, *, pods: bool = False, claims: tuple[Manifest, ...] = ()
) -> Takeover | None:
    """Return the takeover that a successor has to complete before it may start; None if there is none.

    `pods` and `claims` belong to the instance that `spec.renamedFrom` names.
    """
    renamed = successor.spec.renamed_from
    if renamed is None:
        return None
    predecessor = predecessor_of(successor, tree)
    if predecessor is not None:
        begun = successor.status.predecessor is not None
        refusal = None if begun else _mismatch(successor, predecessor, tree)
        refusal = refusal or _competition(successor, predecessor, tree)
        return Takeover(predecessor, pods, claims, begun, refusal)
    if successor.status.phase is not Phase.CREATED or tree.get(renamed.name) is not None:
        return None  # an instance that got the name later is not the predecessor
    refusal = _already_renamed(successor, tree)
    return Takeover(None, pods, refusal=refusal) if pods or refusal else None


@dataclass(frozen=True, slots=True)
class TakeoverStart:
    """The beginning of a takeover with a status write.

    `conflict` says why the write must not happen: another successor has begun since the plan was made.
    """

    predecessor: HopperInstance
    conflict: str | None = None


def takeover_start(
    successor: HopperInstance, takeover: Takeover | None, status: InstanceStatus, tree: Tree
) -> TakeoverStart | None:
    """Return the takeover that writing `status` begins; None if it begins none.

    `takeover` is what the plan was made from. `tree` holds the instances as they are now.
    """
    predecessor = takeover.predecessor if takeover else None
    if predecessor is None or status.predecessor == successor.status.predecessor:
        return None
    current = takeover_of(successor, tree)
    return TakeoverStart(predecessor, current.refusal if current else None)


def successor_of(instance: HopperInstance, tree: Tree) -> HopperInstance | None:
    """Return the instance that has begun to take over from this one; None if there is none."""
    replacing = [successor for successor in _successors(instance, tree) if successor.status.predecessor is not None]
    return min(replacing, key=_age, default=None)


def state_while_replaced(
    effective: EffectiveState, instance: HopperInstance, successor: HopperInstance | None
) -> EffectiveState:
    """Return the effective state of an instance with a successor: Stopped, or its final phase if it has one.

    Without a successor, return the given effective state.
    """
    if successor is None:
        return effective
    phase = instance.status.phase
    return EffectiveState(DesiredState(phase.value) if phase in FINAL else DesiredState.STOPPED)


def status_with_predecessor(status: InstanceStatus, takeover: Takeover) -> InstanceStatus:
    """Return the status of a successor that begins the takeover, with the predecessor's uid and its claim prefix."""
    if takeover.predecessor is None:
        return status
    prefix = claim_prefix(takeover.predecessor) or takeover.predecessor.status.workload_name
    return replace(status, predecessor=takeover.predecessor.metadata.uid, claim_prefix=prefix)


def status_after_takeover(status: InstanceStatus, takeover: Takeover) -> InstanceStatus:
    """Return the status of a successor with the phase and history of its predecessor, once that is down."""
    if not takeover.begun or takeover.refusal or takeover.predecessor is None or not takeover.is_down:
        return status
    return replace(status, **_copied(takeover.predecessor.status))


def has_taken_over(successor: HopperInstance, predecessor: HopperInstance) -> bool:
    """Whether the predecessor is down and the successor's status holds everything that it must copy."""
    return predecessor.status.phase in INACTIVE and _copied(successor.status) == _copied(predecessor.status)


def _copied(status: InstanceStatus) -> dict[str, Any]:
    return {name: getattr(status, name) for name in _COPIED_FIELDS}


def _mismatch(successor: HopperInstance, predecessor: HopperInstance, tree: Tree) -> str | None:
    """Return a message if the two instances do not fit together; None if they do."""
    subject = f'spec.renamedFrom.name: "{predecessor.name}"'
    if predecessor.spec.scope is not successor.spec.scope:
        scopes = f"has scope {predecessor.spec.scope}, but this instance has scope {successor.spec.scope}"
        return f"{subject} {scopes}; a rename cannot change the scope"
    if predecessor.parent_name != successor.parent_name:
        place = f'is a child of "{predecessor.parent_name}"' if predecessor.parent_name else "has no parent"
        return f"{subject} {place}; give both instances the same spec.parentRef.name"
    if children := tree.children(predecessor.name):
        names = join_names(tuple(sorted(child.name for child in children)), limit=3)
        return f"{subject} has children ({names}); move them to another parent first"
    if predecessor.spec.deletion_protection:
        return f"{subject} is protected from deletion; set its spec.deletionProtection to false first"
    if _leads_back(successor, predecessor, tree):
        return f"{subject} waits to take over from this instance; delete one of the two"
    return None


def _competition(successor: HopperInstance, predecessor: HopperInstance, tree: Tree) -> str | None:
    """Return a message if another successor takes precedence; None if this one may proceed.

    A successor that has begun, or is just beginning, comes first; then the older one.
    """

    def precedence(candidate: HopperInstance) -> tuple[bool, object, str]:
        begun = candidate.status.predecessor is not None or tree.has_reserved_slot(candidate, predecessor)
        return (not begun, *_age(candidate))

    own = precedence(successor)
    others = (candidate for candidate in _successors(predecessor, tree) if candidate.name != successor.name)
    for other in others:
        if precedence(other) < own and not _mismatch(other, predecessor, tree):
            subject = f'spec.renamedFrom.name: "{other.name}" already takes over from "{predecessor.name}"'
            return f"{subject}; delete this instance"
    return None


def _already_renamed(successor: HopperInstance, tree: Tree) -> str | None:
    """Return a message if the predecessor is gone because another successor has replaced it; None if not."""
    if successor.spec.renamed_from is None:
        return None
    name, own_predecessor = successor.spec.renamed_from.name, successor.status.predecessor
    for other in tree.successors(name):
        if other.name == successor.name or not other.status.predecessor:
            continue
        # Two successors may begin at the same moment. Then the older one wins, as it does while the predecessor exists.
        is_rival = other.status.predecessor == own_predecessor and _age(other) < _age(successor)
        if own_predecessor is None or is_rival:
            return f'spec.renamedFrom.name: "{name}" was already renamed to "{other.name}"; delete this instance'
    return None


def _leads_back(successor: HopperInstance, predecessor: HopperInstance, tree: Tree) -> bool:
    """Whether the chain of predecessors contains the successor."""
    seen, step = {successor.name}, predecessor_of(predecessor, tree)
    while step is not None and step.name not in seen:
        seen.add(step.name)
        step = predecessor_of(step, tree)
    return step is not None and step.name == successor.name


def _successors(predecessor: HopperInstance, tree: Tree) -> Iterator[HopperInstance]:
    """Yield the instances with an open takeover from this predecessor."""
    for candidate in tree.successors(predecessor.name):
        claimed = predecessor_of(candidate, tree)
        if claimed is not None and claimed.metadata.uid == predecessor.metadata.uid:
            yield candidate


def _age(instance: HopperInstance) -> tuple[object, str]:
    """Return a sort key that puts older instances first."""
    return (instance.metadata.creation_timestamp, instance.name)
