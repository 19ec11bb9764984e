"""Renaming: a newcomer takes over from the instance that its `spec.renamedFrom` names.

Each step follows from what is observed, so any of them may be cut short, repeated, or come late:

1. The newcomer waits in Created. Once nothing else keeps it there, its status tells whom it takes over from.
2. Upon that, the predecessor stops and stays so, whatever it wants, and the newcomer becomes the controller of its
   claims. The predecessor stays their plain owner: whichever of the two is deleted meanwhile, the data is not.
3. When nothing of the predecessor runs, the newcomer takes over its phase and its history.
4. A predecessor that has nothing left of its own is deleted; when it is gone, the newcomer starts.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.resources import Manifest
from hopper.domain.lifecycle import FINAL, EffectiveState
from hopper.domain.service.naming import claim_prefix
from hopper.domain.tree import Tree, predecessor_of

# Nothing runs in these, and nothing is going to.
_DOWN = frozenset({Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED})


@dataclass(frozen=True, slots=True)
class Takeover:
    """What stands between a newcomer and its start.

    `predecessor` is None when only its `pods` are left. `claims` are those that it still controls. `begun` tells
    whether the newcomer has said whom it takes over from; with a `refusal` it never will.
    """

    predecessor: HopperInstance | None
    pods: bool = False
    claims: tuple[Manifest, ...] = ()
    begun: bool = False
    refusal: str | None = None

    @property
    def is_down(self) -> bool:
        """Whether nothing of the predecessor runs."""
        return not self.pods and (self.predecessor is None or self.predecessor.status.phase in _DOWN)


def takeover_of(
    newcomer: HopperInstance, tree: Tree, *, pods: bool = False, claims: tuple[Manifest, ...] = ()
) -> Takeover | None:
    """Return what is to be done before a newcomer may start; None where there is nothing (any more).

    `pods` and `claims` are those of the instance that `renamedFrom` names.
    """
    renamed = newcomer.spec.renamed_from
    if renamed is None:
        return None
    predecessor = predecessor_of(newcomer, tree)
    if predecessor is not None:
        begun = newcomer.status.predecessor is not None
        refusal = _rivalry(newcomer, predecessor, tree) if begun else _refusal(newcomer, predecessor, tree)
        return Takeover(predecessor, pods, claims, begun, refusal)
    if newcomer.status.phase is not Phase.CREATED or tree.get(renamed.name) is not None:
        return None  # the present one of that name has nothing to do with this one
    refusal = _taken_already(newcomer, tree)
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
    """Return who takes over from an instance, None where nobody has begun to."""
    begun = [it for it in _newcomers(instance, tree) if it.status.predecessor is not None]
    return min(begun, key=_age, default=None)


def state_while_replaced(
    effective: EffectiveState, instance: HopperInstance, successor: HopperInstance | None
) -> EffectiveState:
    """Return the state to bring an instance to that somebody takes over from: Stopped, if it has not ended already."""
    if successor is None:
        return effective
    phase = instance.status.phase
    return EffectiveState(DesiredState(phase.value) if phase in FINAL else DesiredState.STOPPED)


def status_with_predecessor(status: InstanceStatus, takeover: Takeover) -> InstanceStatus:
    """Return the status of a newcomer that says whom it takes over from, and what the claims are called."""
    if takeover.predecessor is None:
        return status
    before = takeover.predecessor.status
    prefix = claim_prefix(takeover.predecessor) or before.workload_name
    return replace(status, predecessor=takeover.predecessor.metadata.uid, claim_prefix=prefix)


def status_after_takeover(status: InstanceStatus, takeover: Takeover) -> InstanceStatus:
    """Return the status of a newcomer that goes on where its predecessor has stopped."""
    if not takeover.begun or takeover.refusal or takeover.predecessor is None or not takeover.is_down:
        return status
    return replace(status, **_past(takeover.predecessor.status))


def has_taken_over(successor: HopperInstance, predecessor: HopperInstance) -> bool:
    """Tell whether the newcomer's status holds all that is to be kept of the predecessor's, which is down."""
    return predecessor.status.phase in _DOWN and _past(successor.status) == _past(predecessor.status)


_PAST = ("phase", "last_transition_time", "history", "restarts", "started_at", "stopped_at")


def _past(status: InstanceStatus) -> dict[str, Any]:
    return {name: getattr(status, name) for name in _PAST}


def _refusal(newcomer: HopperInstance, predecessor: HopperInstance, tree: Tree) -> str | None:
    """Say why a newcomer may not take over; nothing has been done about it yet."""
    reasons = (_unfit(newcomer, predecessor, tree), _rivalry(newcomer, predecessor, tree))
    return next((reason for reason in reasons if reason), None)


def _unfit(newcomer: HopperInstance, predecessor: HopperInstance, tree: Tree) -> str | None:
    about = f'spec.renamedFrom.name: "{predecessor.name}"'
    if predecessor.spec.scope is not newcomer.spec.scope:
        return f"{about} has scope {predecessor.spec.scope}, but this is {newcomer.spec.scope}: a name alone can change"
    if predecessor.parent_name != newcomer.parent_name:
        where = f'below "{predecessor.parent_name}"' if predecessor.parent_name else "without a parent"
        return f"{about} is {where}: give both the same spec.parentRef.name; move it before or after"
    if children := tree.children(predecessor.name):
        names = ", ".join(sorted(child.name for child in children)[:3])
        return f"{about} has children ({names}), which name it as their parent: move them to another parent first"
    if predecessor.spec.deletion_protection:
        return f"{about} is protected: set spec.deletionProtection to false there"
    if _leads_back(newcomer, predecessor, tree):
        return f"{about} waits to take over from this one in its turn: delete one of them"
    return None


def _rivalry(newcomer: HopperInstance, predecessor: HopperInstance, tree: Tree) -> str | None:
    """Who has begun, or is about to, comes first; then who is older."""

    def rank(one: HopperInstance) -> tuple[bool, object, str]:
        begun = one.status.predecessor is not None or tree.has_reserved_slot(one, predecessor)
        return (not begun, *_age(one))

    contested_domains = (it for it in _newcomers(predecessor, tree) if it.name != newcomer.name)
    first = next(
        (it for it in contested_domains if rank(it) < rank(newcomer) and not _unfit(it, predecessor, tree)), None
    )
    if first is None:
        return None
    return f'spec.renamedFrom.name: "{first.name}" takes over from "{predecessor.name}" already: delete this one'


def _taken_already(newcomer: HopperInstance, tree: Tree) -> str | None:
    if newcomer.spec.renamed_from is None:
        return None
    name, own = newcomer.spec.renamed_from.name, newcomer.status.predecessor
    others = (it for it in tree.successors(name) if it.name != newcomer.name and it.status.predecessor)
    # Two may have begun within the same moment; then the older one goes on, as while the predecessor was there.
    before = (it for it in others if own is None or (it.status.predecessor == own and _age(it) < _age(newcomer)))
    heir = next(before, None)
    if heir is None:
        return None
    return f'spec.renamedFrom.name: "{name}" has become "{heir.name}" already: delete this one'


def _leads_back(newcomer: HopperInstance, predecessor: HopperInstance, tree: Tree) -> bool:
    seen, step = {newcomer.name}, predecessor_of(predecessor, tree)
    while step is not None and step.name not in seen:
        seen.add(step.name)
        step = predecessor_of(step, tree)
    return step is not None and step.name == newcomer.name


def _newcomers(predecessor: HopperInstance, tree: Tree) -> Iterator[HopperInstance]:
    waiting: Collection[HopperInstance] = tree.successors(predecessor.name)
    for one in waiting:
        found = predecessor_of(one, tree)
        if found is not None and found.metadata.uid == predecessor.metadata.uid:
            yield one


def _age(one: HopperInstance) -> tuple[object, str]:
    return (one.metadata.creation_timestamp, one.name)
