"""What the planner decides: one frozen record, from which actions, status and events follow."""

from dataclasses import dataclass, field

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import InstanceStatus
from hopper.api.model import OwnerReference
from hopper.api.resources import Manifest


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an instance is not where it should be. `retry_after` (seconds) says when time alone may change that."""

    reason: Reason
    message: str
    stalled: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of the lifecycle."""

    source: Phase
    target: Phase
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """The ownerReferences and finalizers that the object is to have, both in full."""

    owner_references: tuple[OwnerReference, ...]
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HierarchyEvent:
    """Something to announce about parent and child; `subject` is the name of the instance the event belongs to."""

    subject: str
    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class ObjectChanges:
    """What to do about the objects that the instance owns, in this order.

    `patch` holds live objects with the changes to merge into them; `apply` whole manifests, each with whether fields of
    others may be taken over; `delete` live objects.
    """

    patch: tuple[tuple[Manifest, Manifest], ...] = ()
    apply: tuple[tuple[Manifest, bool], ...] = ()
    delete: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about one instance, in the order of the fields; what is None or empty is left alone."""

    metadata: MetadataChange | None = None
    hierarchy_events: tuple[HierarchyEvent, ...] = ()
    delete: Reason | None = None
    transitions: tuple[Transition, ...] = ()
    objects: ObjectChanges = field(default_factory=ObjectChanges)
    status: InstanceStatus | None = None
    requeue_after: float | None = None
