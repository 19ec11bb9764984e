"""What to do about the objects that an instance owns, given the phase it is in after the walk."""

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

CLAIM = "PersistentVolumeClaim"
# Without these, pods do not start, or start with something else than was meant.
_NEEDED_BY_PODS = frozenset({"Secret", "ConfigMap", CLAIM})


def plan_objects(o: Observed) -> ObjectChanges:
    """Compare what the phase asks for with what there is. Nothing is written for what is as it should be."""
    mode = mode_for(o.phase, o.effective.state)
    if o.takeover is not None:
        return ObjectChanges(patch=tuple(_handed_over(o.instance, o.takeover)))
    if o.runtime is None:
        return ObjectChanges()
    if mode is None:
        return _keep_last_good(o.instance, o.runtime, Mode.STOPPED) if _runs_against_its_wish(o) else ObjectChanges()
    if o.runtime.problem or o.spec_problems or o.successor is not None:
        return _keep_last_good(o.instance, o.runtime, mode)
    changes = _bring_in_line(o.instance, o.runtime, mode)
    return _in_spite_of_refusals(o, o.runtime, mode, changes) if o.refused else changes


def _runs_against_its_wish(o: Observed) -> bool:
    """Tell whether something runs for one that is Created and not to start: its status is lost, or in unknown words."""
    return not wants_started(o.effective.state) and not o.workload.gone


def _handed_over(newcomer: HopperInstance, takeover: Takeover) -> Iterator[tuple[Manifest, Manifest]]:
    """Make the newcomer the controller of its predecessor's claims, and leave the predecessor a plain owner."""
    if takeover.refusal or not takeover.begun:
        return
    for claim in takeover.claims:
        plain = {"controller": False, "blockOwnerDeletion": False}
        owners = [{**owner, **plain} for owner in claim["metadata"].get("ownerReferences", ())]
        yield claim, {"metadata": {"ownerReferences": [*owners, owner_reference(newcomer)]}}


def _bring_in_line(instance: HopperInstance, runtime: Runtime, mode: Mode) -> ObjectChanges:
    wanted = _rendered(instance, runtime, mode)
    apply = []
    for key, manifest in wanted.items():
        live = runtime.owned.get(key)
        if live is None and mode.is_final:
            continue
        possible = manifest_to_apply(manifest, live, mode) if live else manifest
        if live is None or drifted_paths(possible, live):
            # What is ours may be taken back from anybody; a stranger's object of the same name may not.
            apply.append((possible, live is not None))
    gone = tuple(live for key, live in runtime.owned.items() if key not in wanted and _may_go(live, instance, mode))
    return ObjectChanges(patch=tuple(_let_go(instance, runtime)), apply=tuple(apply), delete=gone)


def _in_spite_of_refusals(o: Observed, runtime: Runtime, mode: Mode, changes: ObjectChanges) -> ObjectChanges:
    """Return what can be done although the API server has refused some of it.

    All of the rest, where it only mends what somebody has done. But of a change of which a part is refused, nothing
    more is carried out: what runs keeps what it was started with, and only what is missing is made again.
    """
    apply = [(manifest, force) for manifest, force in changes.apply if object_key(manifest) not in o.refused]
    if _is_rolling_out(o.instance, runtime, mode):
        missing = tuple((manifest, force) for manifest, force in apply if not force)
        return ObjectChanges(patch=(*changes.patch, *_adjustments(o.instance, runtime, mode)), apply=missing)
    if any(kind in _NEEDED_BY_PODS for kind, _ in o.refused):
        apply = [(manifest, force) for manifest, force in apply if force or manifest["kind"] != "Deployment"]
    delete = tuple(live for live in changes.delete if object_key(live) not in o.refused)
    return ObjectChanges(changes.patch, tuple(apply), delete)


def _is_rolling_out(instance: HopperInstance, runtime: Runtime, mode: Mode) -> bool:
    """Tell whether the pods that there are were made from something else than what is rendered now."""
    wanted = _rendered(instance, runtime, mode)
    pairs = ((manifest, runtime.owned.get(key)) for key, manifest in wanted.items() if key[0] == "Deployment")
    return any(live is not None and _made_from(live) != _made_from(manifest) for manifest, live in pairs)


def _made_from(deployment: Manifest) -> tuple[str | None, str | None]:
    of_pods = deployment["spec"]["template"]["metadata"].get("annotations", {})
    revision = deployment["metadata"].get("annotations", {}).get(ANNOTATION_REVISION)
    return revision, of_pods.get(ANNOTATION_CHECKSUM)


def object_key(manifest: Manifest) -> ObjectKey:
    """Return by what an object is told from the others of its instance: kind and name."""
    return manifest["kind"], manifest["metadata"]["name"]


def _let_go(instance: HopperInstance, runtime: Runtime) -> Iterator[tuple[Manifest, Manifest]]:
    """Take a predecessor, which is gone by now, from the owners of the claims."""
    for (kind, _), live in runtime.owned.items():
        owners = live["metadata"].get("ownerReferences", ()) if kind == CLAIM else ()
        kept = [owner for owner in owners if owner["uid"] != instance.status.predecessor]
        if len(kept) < len(owners):
            yield live, {"metadata": {"ownerReferences": kept}}


def _rendered(instance: HopperInstance, runtime: Runtime, mode: Mode) -> dict[ObjectKey, Manifest]:
    if runtime.blueprint is None:  # the instance has become a logical one
        return {}
    objects = render_objects(replace(runtime.blueprint, instance=instance), mode).objects
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}


def _may_go(live: Manifest, instance: HopperInstance, mode: Mode) -> bool:
    """Tell whether an object that is not wanted is to be deleted.

    Not if only its labels say that it is ours: it may be a copy. And data is not thrown away because a template no
    longer mentions it; only an Ephemeral instance leaves nothing.
    """
    if instance.metadata.uid not in {owner["uid"] for owner in live["metadata"].get("ownerReferences", ())}:
        return False
    if live["kind"] != CLAIM:
        return True
    return mode is Mode.TERMINATED and instance.spec.effective_type is InstanceType.EPHEMERAL


def larger_than_asked(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """Return the claims that have more room than is asked for, with both sizes: claims can grow, but not shrink."""
    found = {}
    for name, asked in runtime.blueprint.claim_sizes.items() if runtime.blueprint else ():
        live = runtime.owned.get((CLAIM, name))
        if asked is not None and live is not None and nanos(there := requested_storage(live)) > nanos(asked):
            found[name] = there, asked
    return found


def _keep_last_good(instance: HopperInstance, runtime: Runtime, mode: Mode) -> ObjectChanges:
    """Change only what the phase asks for: the number of pods, and whether they are behind the Service."""
    if mode.is_final:
        return ObjectChanges(delete=tuple(live for live in runtime.owned.values() if _may_go(live, instance, mode)))
    return ObjectChanges(patch=tuple(_adjustments(instance, runtime, mode)))


def _adjustments(instance: HopperInstance, runtime: Runtime, mode: Mode) -> Iterator[tuple[Manifest, Manifest]]:
    single = instance.spec.effective_type is InstanceType.SINGLETON
    wanted = 0 if mode is Mode.STOPPED else min(instance.spec.replicas, 1) if single else instance.spec.replicas
    for (kind, _), live in runtime.owned.items():
        if kind == "Deployment" and live["spec"].get("replicas", 1) != wanted:
            yield live, {"spec": {"replicas": wanted}}
        paused = "true" if mode is Mode.PAUSED else None
        if kind == "Service" and live["spec"].get("selector", {}).get(LABEL_PAUSED) != paused:
            yield live, {"spec": {"selector": {LABEL_PAUSED: paused}}}
