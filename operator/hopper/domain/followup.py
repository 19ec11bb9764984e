"""Decisions that depend on the API server's answers while a plan is applied: what to do next about owned objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hopper.api.names import ANNOTATION_REVISION
from hopper.api.resources import Manifest, ObjectKey
from hopper.domain.observed import Observed
from hopper.domain.ownership import has_other_managers
from hopper.domain.service.drift import foreign_field_patch


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Writes and decisions that remain after an object was applied.

    The patch (RFC 6902) removes foreign fields, because server-side apply keeps fields of other field managers.
    `was_adopted` says that the object existed although the plan did not know it, so a new plan is necessary.
    """

    foreign_field_patch: list[Manifest]
    was_adopted: bool = False


def follow_up(manifest: Manifest, applied: Manifest, *, was_known: bool) -> FollowUp:
    """Return what remains to do after `manifest` was applied and the API server answered with `applied`.

    `was_known` says whether the object existed when the plan was made.
    """
    return FollowUp(foreign_field_patch(manifest, applied), was_adopted=not was_known and has_other_managers(applied))


def unblocking_patch(manifest: Manifest, live: Manifest | None) -> list[Manifest]:
    """Return the JSON patch (RFC 6902) after which a refused apply may succeed; empty if there is none.

    A foreign field may exclude a rendered one, such as a second source of a volume. Such fields are removed only if
    `live` has the same revision. Otherwise the refused apply is part of a rollout, and no part of a refused rollout may
    be carried out.
    """
    if live is None or _revision(live) != _revision(manifest):
        return []
    return foreign_field_patch(manifest, live)


def _revision(manifest: Manifest) -> str | None:
    revision: str | None = manifest["metadata"].get("annotations", {}).get(ANNOTATION_REVISION)
    return revision


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that the API server refused. `key` is the owned object; None stands for the instance itself."""

    message: str
    key: ObjectKey | None = None


def with_refusals(o: Observed, refusals: Sequence[Refusal]) -> Observed:
    """Return the observation with the refusals of this reconcile, for a plan without the refused objects."""
    keys = frozenset(refusal.key for refusal in refusals if refusal.key is not None)
    return replace(o, refusal="; ".join(refusal.message for refusal in refusals), refused=keys)


def can_apply_the_rest(refusals: Sequence[Refusal]) -> bool:
    """Whether a plan without the refused objects is worth applying.

    It is not if the last refusal concerns the instance itself, or an object that this plan would contain again.
    """
    *earlier, last = refusals
    return last.key is not None and last.key not in {refusal.key for refusal in earlier}
