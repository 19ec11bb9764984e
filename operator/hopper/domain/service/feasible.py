"""What can be made of a live object by one write: all that was rendered, or, for a while or for good, less."""

from collections.abc import Mapping
from typing import Any

from hopper.api.resources import Manifest
from hopper.domain.service.quantity import nanos
from hopper.domain.service.render.mode import Mode


def feasible(rendered: Manifest, live: Mapping[str, Any], mode: Mode) -> Manifest:
    """Return what to apply to a live object in place of what was rendered for it in this mode."""
    if rendered["kind"] == "PersistentVolumeClaim":
        return _sized(rendered, live, may_grow=not mode.is_ended)
    if rendered["kind"] == "Deployment" and _is_to_be_emptied_first(rendered, live):
        return _with(rendered, replicas=0, strategy=live["spec"]["strategy"])
    return rendered


def _sized(claim: Manifest, live: Mapping[str, Any], *, may_grow: bool) -> Manifest:
    """Have a claim ask for no less room than it has: the API server would refuse all of it. What has ended stays."""
    want, have = room(claim), room(live)
    grows = may_grow and nanos(want) > nanos(have)
    return claim if grows else _with(claim, resources={"requests": {"storage": have}})


def room(claim: Mapping[str, Any]) -> str:
    """Return the size that a claim asks for, as a Kubernetes quantity."""
    size: str = claim["spec"]["resources"]["requests"]["storage"]
    return size


def _is_to_be_emptied_first(deployment: Manifest, live: Mapping[str, Any]) -> bool:
    """Tell whether all pods are to go before a Deployment may become a Recreate: it is in the middle of a rollout.

    Were it scaled by the same write, its controller would see to the scaling first, and leave all pods as they are for
    ever: of several ReplicaSets with pods, it scales none but those of a RollingUpdate.
    """
    becomes_recreate = deployment["spec"]["strategy"]["type"] == "Recreate" != live["spec"]["strategy"]["type"]
    status = live.get("status", {})
    is_seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    is_complete = is_seen and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return becomes_recreate and not is_complete


def _with(rendered: Manifest, **spec: Any) -> Manifest:
    return {**rendered, "spec": {**rendered["spec"], **spec}}
