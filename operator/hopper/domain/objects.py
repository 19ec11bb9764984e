"""Plan for the owned objects of an instance, given its phase after the walk."""

from collections.abc import Iterator
from dataclasses import replace

from hopper.api.enums import InstanceType
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_CHECKSUM, ANNOTATION_REVISION, LABEL_PAUSED
from hopper.api.resources import Manifest, ObjectKey
from hopper.domain.lifecycle import wants_started
from hopper.domain.observed import Observed, Runtime
from hopper.domain.plan import ObjectChanges
from hopper.domain.renaming import Takeover
from hopper.domain.service.drift import drifted_paths, manifest_to_apply, requested_storage
from hopper.domain.service.quantity import nanos
from hopper.domain.service.render import Mode, mode_for, owner_reference, render_objects
from hopper.domain.service.rollout import keep_running_pods

CLAIM = "PersistentVolumeClaim"
# Pods that refer to objects of these kinds do not start without them, or start with outdated content.
_NEEDED_BY_PODS = frozenset({"Secret", "ConfigMap", CLAIM})


def plan_objects(o: Observed) -> ObjectChanges:
    """Return the writes that bring the owned objects in line with the phase; none for objects that match already."""
    mode = mode_for(o.phase, o.effective.state)
    if o.takeover is not None:
        return ObjectChanges(patch=tuple(_claim_handovers(o.instance, o.takeover)))
    if o.runtime is None:
        return ObjectChanges()
    if mode is None:
        return _keep_content(o.instance, o.runtime, Mode.STOPPED) if _runs_unexpectedly(o) else ObjectChanges()
    if o.runtime.problem or o.spec_problems or o.successor is not None:
        return _keep_content(o.instance, o.runtime, mode)
    changes = _converge(o.instance, o.runtime, mode)
    return _without_refused(o, o.runtime, mode, changes) if o.refused else changes


def object_key(manifest: Manifest) -> ObjectKey:
    """Return kind and name, which identify an object among those of its instance."""
    return manifest["kind"], manifest["metadata"]["name"]


def oversized_claims(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """Return the claims that are larger than the service asks for, each with its size and the size asked for."""
    oversized = {}
    for name, requested in runtime.blueprint.claim_sizes.items() if runtime.blueprint else ():
        live = runtime.owned.get((CLAIM, name))
        if requested is not None and live is not None and nanos(size := requested_storage(live)) > nanos(requested):
            oversized[name] = size, requested
    return oversized


def _runs_unexpectedly(o: Observed) -> bool:
    """Whether pods exist for an instance in Created that must not start, for example because its status was lost."""
    return not wants_started(o.effective.state) and not o.workload.gone


def _claim_handovers(successor: HopperInstance, takeover: Takeover) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield patches that make the successor the controller of each claim, and keep the predecessor as an owner."""
    if takeover.refusal or not takeover.begun:
        return
    for claim in takeover.claims:
        plain = {"controller": False, "blockOwnerDeletion": False}
        owners = [{**owner, **plain} for owner in claim["metadata"].get("ownerReferences", ())]
        yield claim, {"metadata": {"ownerReferences": [*owners, owner_reference(successor)]}}


def _converge(instance: HopperInstance, runtime: Runtime, mode: Mode) -> ObjectChanges:
    """Return the writes that make the owned objects match what is rendered for this mode."""
    rendered = _rendered(instance, runtime, mode)
    apply = []
    for key, manifest in rendered.items():
        live = runtime.owned.get(key)
        if live is None and mode.is_final:
            continue
        possible = manifest_to_apply(manifest, live, mode) if live else manifest
        if live is None or drifted_paths(possible, live):
            # Conflicts are forced only on an owned object. A new name may belong to an object of another owner.
            apply.append((possible, live is not None))
    obsolete = (live for key, live in runtime.owned.items() if key not in rendered)
    delete = tuple(live for live in obsolete if _can_delete(live, instance, mode))
    return ObjectChanges(patch=tuple(_predecessor_removals(instance, runtime)), apply=tuple(apply), delete=delete)


def _without_refused(o: Observed, runtime: Runtime, mode: Mode, changes: ObjectChanges) -> ObjectChanges:
    """Return the part of the changes that makes sense although the API server rejects the objects in `o.refused`.

    A repair of drift proceeds with all other objects. A rollout does not proceed at all, because running pods must not
    get a part of it: only missing objects are created, and replicas and Service selectors are adjusted.
    """
    apply = [(manifest, force) for manifest, force in changes.apply if object_key(manifest) not in o.refused]
    if _is_rollout(o.instance, runtime, mode):
        missing = tuple((manifest, force) for manifest, force in apply if not force)
        return ObjectChanges(patch=(*changes.patch, *_adjustments(o.instance, runtime, mode)), apply=missing)
    if any(kind in _NEEDED_BY_PODS for kind, _ in o.refused):
        # A new Deployment would start pods without the rejected object.
        apply = [(manifest, force) for manifest, force in apply if force or manifest["kind"] != "Deployment"]
    delete = tuple(live for live in changes.delete if object_key(live) not in o.refused)
    return ObjectChanges(changes.patch, tuple(apply), delete)


def _is_rollout(instance: HopperInstance, runtime: Runtime, mode: Mode) -> bool:
    """Whether the live Deployment was rendered from another revision or other file contents."""
    rendered = _rendered(instance, runtime, mode)
    pairs = ((manifest, runtime.owned.get(key)) for key, manifest in rendered.items() if key[0] == "Deployment")
    return any(live is not None and _origin(live) != _origin(manifest) for manifest, live in pairs)


def _origin(deployment: Manifest) -> tuple[str | None, str | None]:
    """Return the revision of a Deployment and the checksum of the files in its pods."""
    pod_annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
    revision = deployment["metadata"].get("annotations", {}).get(ANNOTATION_REVISION)
    return revision, pod_annotations.get(ANNOTATION_CHECKSUM)


def _predecessor_removals(instance: HopperInstance, runtime: Runtime) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield patches that remove the predecessor, which is gone, from the owners of the claims."""
    for (kind, _), live in runtime.owned.items():
        owners = live["metadata"].get("ownerReferences", ()) if kind == CLAIM else ()
        remaining = [owner for owner in owners if owner["uid"] != instance.status.predecessor]
        if len(remaining) < len(owners):
            yield live, {"metadata": {"ownerReferences": remaining}}


def _rendered(instance: HopperInstance, runtime: Runtime, mode: Mode) -> dict[ObjectKey, Manifest]:
    if runtime.blueprint is None:  # the instance no longer has a template
        return {}
    blueprint = replace(runtime.blueprint, instance=instance)
    rendered = {object_key(manifest): manifest for manifest in render_objects(blueprint, mode).objects}
    for key, manifest in rendered.items():
        if key[0] == "Deployment" and (live := runtime.owned.get(key)) is not None:
            rendered[key] = keep_running_pods(blueprint, mode, manifest, live)
    return rendered


def _can_delete(live: Manifest, instance: HopperInstance, mode: Mode) -> bool:
    """Whether an obsolete object may be deleted.

    An object that only carries the labels of the instance may be a copy made by a user, so it stays. A claim stays too,
    because removing a volume from a template must not destroy data. Only an Ephemeral instance that is terminated
    leaves no claims.
    """
    if instance.metadata.uid not in {owner["uid"] for owner in live["metadata"].get("ownerReferences", ())}:
        return False
    if live["kind"] != CLAIM:
        return True
    return mode is Mode.TERMINATED and instance.spec.effective_type is InstanceType.EPHEMERAL


def _keep_content(instance: HopperInstance, runtime: Runtime, mode: Mode) -> ObjectChanges:
    """Return the writes that the phase requires, without rendering anything: replicas, selectors and deletions."""
    if mode.is_final:
        return ObjectChanges(delete=tuple(live for live in runtime.owned.values() if _can_delete(live, instance, mode)))
    return ObjectChanges(patch=tuple(_adjustments(instance, runtime, mode)))


def _adjustments(instance: HopperInstance, runtime: Runtime, mode: Mode) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield patches for the replicas of the Deployment, and for the selector that takes paused pods out of Services."""
    single = instance.spec.effective_type is InstanceType.SINGLETON
    replicas = 0 if mode is Mode.STOPPED else min(instance.spec.replicas, 1) if single else instance.spec.replicas
    for (kind, _), live in runtime.owned.items():
        if kind == "Deployment" and live["spec"].get("replicas", 1) != replicas:
            yield live, {"spec": {"replicas": replicas}}
        paused = "true" if mode is Mode.PAUSED else None
        if kind == "Service" and live["spec"].get("selector", {}).get(LABEL_PAUSED) != paused:
            yield live, {"spec": {"selector": {LABEL_PAUSED: paused}}}
