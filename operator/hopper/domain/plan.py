"""Records that the planner returns: what to write, record and announce for one instance."""

from dataclasses import dataclass, field

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import InstanceStatus
from hopper.api.model import OwnerReference
from hopper.api.resources import Manifest


@dataclass(frozen=True, slots=True)
class Hold:
    """Reason why an instance has not reached its effective state.

    The conditions Ready, Reconciling and Stalled follow from it.
    """

    reason: Reason
    """Reason of the conditions."""
    message: str
    """Message of the conditions."""
    stalled: bool = False
    """Whether the instance cannot proceed without a change by a user."""
    retry_after: float | None = None
    """Seconds after which the hold may have ended although no object has changed."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Transition of the lifecycle, as it is recorded in `status.history`."""

    source: Phase
    """Phase that the instance leaves."""
    target: Phase
    """Phase that the instance enters."""
    reason: Reason
    """Cause of the transition."""
    message: str = ""
    """Explanation for people."""


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """The complete new ownerReferences and finalizers of an instance."""

    owner_references: tuple[OwnerReference, ...]
    """New `metadata.ownerReferences`."""
    finalizers: tuple[str, ...]
    """New `metadata.finalizers`."""


@dataclass(frozen=True, slots=True)
class HierarchyEvent:
    """Event about a change between a parent and a child."""

    subject: str
    """Name of the instance that the Event is recorded for."""
    reason: Reason
    """Reason of the Event."""
    message: str
    """Message of the Event."""
    warning: bool = False
    """Whether the Event has type Warning instead of Normal."""


@dataclass(frozen=True, slots=True)
class ObjectChanges:
    """Writes to owned objects, to be made in the order of the fields."""

    patch: tuple[tuple[Manifest, Manifest], ...] = ()
    """Live objects, each with the merge patch for it."""
    apply: tuple[tuple[Manifest, bool], ...] = ()
    """Manifests for server-side apply, each with whether to force conflicts with other field managers."""
    delete: tuple[Manifest, ...] = ()
    """Live objects to delete."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Decision about one instance, to be carried out in the order of the fields.

    A field that is None or empty requires no write.
    """

    metadata: MetadataChange | None = None
    """Change of the ownerReferences and finalizers."""
    hierarchy_events: tuple[HierarchyEvent, ...] = ()
    """Events to record once `metadata` is written, or else once `status` is."""
    delete: Reason | None = None
    """Reason to delete the instance; all other fields are empty then."""
    transitions: tuple[Transition, ...] = ()
    """Transitions that lead to the phase in `status`."""
    objects: ObjectChanges = field(default_factory=ObjectChanges)
    """Writes to owned objects."""
    status: InstanceStatus | None = None
    """The complete new status."""
    requeue_after: float | None = None
    """Seconds after which to reconcile the instance again, even without a change."""
