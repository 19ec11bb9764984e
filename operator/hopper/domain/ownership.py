"""Ownership of objects in the cluster: which instance an object belongs to, and whether an instance may take it over.

Each object of an instance carries an ownerReference to it with `controller: true`. Users and tools can remove that
reference, copy objects, or use a name that an instance needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from hopper.api.instance import HopperInstance
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import Manifest
from hopper.domain.objects import CLAIM


class Adoption(Enum):
    """Reaction of an instance to an object that already has the name of one of its own objects."""

    ADOPT = auto()  # apply over it
    WAIT = auto()  # until it is deleted or handed back
    REFUSE = auto()  # leave it to its owner, and report it


@dataclass(frozen=True, slots=True)
class AdoptionDecision:
    """A decision about an existing object, with the message for users unless it is adopted."""

    adoption: Adoption
    message: str = ""


def decide_adoption(live: Manifest, owner: Manifest) -> AdoptionDecision:
    """Decide what to do about `live`, which has the name of an object that the instance in `owner` must create.

    `owner` is the ownerReference of that instance.
    """
    adoption = next((adoption for applies, adoption in _RULES if applies(live, owner)), Adoption.REFUSE)
    name = f'{live["kind"]} "{live["metadata"]["name"]}"'
    return AdoptionDecision(adoption, f"{name} {_MESSAGES[adoption]}" if adoption in _MESSAGES else "")


_MESSAGES = {
    Adoption.WAIT: "still exists and belongs to an earlier owner: wait until it is deleted",
    Adoption.REFUSE: "already exists and does not belong to this instance: rename or delete it",
}


def belongs_to(live: Manifest, instance: HopperInstance, workload_name: str | None = None) -> bool:
    """Whether an object that carries the instance's label belongs to it.

    The controller decides. An object without one was stripped of its ownerReferences. It belongs to the instance under
    the name that the instance gives its objects; under another name, it is a copy. Claims may have other names.
    """
    references = live["metadata"].get("ownerReferences", ())
    controllers = [reference["uid"] for reference in references if reference.get("controller")]
    if controllers:
        return instance.metadata.uid in controllers
    return bool(live["metadata"]["name"] == workload_name or live["kind"] == CLAIM)


def has_other_managers(live: Manifest) -> bool:
    """Whether a field manager other than the operator has written fields of an object."""
    return any(entry["manager"] != FIELD_MANAGER for entry in live["metadata"].get("managedFields", ()))


def _is_being_deleted(live: Manifest, owner: Manifest) -> bool:
    return "deletionTimestamp" in live["metadata"]


def _is_controlled_by_deleted_namesake(live: Manifest, owner: Manifest) -> bool:
    """Whether an earlier instance of the same name controls the object."""
    controller = _controller(live)
    if controller is None or controller["uid"] == owner["uid"]:
        return False
    return bool((controller["kind"], controller["name"]) == (owner["kind"], owner["name"]))


def _is_owned_without_control(live: Manifest, owner: Manifest) -> bool:
    references = live["metadata"].get("ownerReferences", ())
    return any(reference["uid"] == owner["uid"] and not reference.get("controller") for reference in references)


def _is_controlled(live: Manifest, owner: Manifest) -> bool:
    controller = _controller(live)
    return controller is not None and controller["uid"] == owner["uid"]


def _was_applied_by_operator(live: Manifest, owner: Manifest) -> bool:
    """Whether no other owner controls the object, and the operator has applied it."""
    entries = live["metadata"].get("managedFields", ())
    applied = any((entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply") for entry in entries)
    return applied and _controller(live) is None


def _controller(live: Manifest) -> Manifest | None:
    references = live["metadata"].get("ownerReferences", ())
    return next((reference for reference in references if reference.get("controller")), None)


# The first fact that is true decides. An object for which none is true belongs to another owner.
_RULES: tuple[tuple[Callable[[Manifest, Manifest], bool], Adoption], ...] = (
    # Its name becomes free. This comes first, because an object that is being deleted is of no use to any owner.
    (_is_being_deleted, Adoption.WAIT),
    # Garbage collection will delete the object, because the instance that controls it is gone.
    (_is_controlled_by_deleted_namesake, Adoption.WAIT),
    # A takeover handed the object to a successor. Where that is gone, the object comes back to this instance.
    (_is_owned_without_control, Adoption.WAIT),
    # The index did not have the object yet, or its labels were removed.
    (_is_controlled, Adoption.ADOPT),
    # The ownerReference was removed. No other owner controls the object, so it still belongs to the operator.
    (_was_applied_by_operator, Adoption.ADOPT),
)
