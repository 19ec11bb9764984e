"""Assessment of a workload: whether the pods of an instance are available, gone or failing.

A failure puts the instance into Error only if no pod is available. While pods of the previous revision, or some pods of
the current one, are available, the failure is only part of the message.

A blockage is no failure: pods cannot be created or scheduled, and new pods could not either. The instance waits,
because Kubernetes tries again by itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hopper.api.conditions import Reason
from hopper.api.resources import Manifest
from hopper.domain.messages import join_names, truncate
from hopper.domain.runtime_messages import (
    explain_back_off,
    explain_config_error,
    explain_pull_error,
    explain_start_error,
    image_name,
)

# A pod may be unschedulable for this long, because a new node or volume can take a while.
UNSCHEDULABLE_GRACE_SECONDS = 60.0
# The API server may reject pods for this long, because a new namespace has no service account at first.
REJECTION_GRACE_SECONDS = 5.0
_POD_TEMPLATE_HASH = "pod-template-hash"
_MAX_POD_NAMES = 3
_MAX_DETAIL = 500
# Terminations whose message comes from the container runtime and not from the process.
_RUNTIME_REASONS = ("StartError", "ContainerCannotRun")
_REASON_SHAPE = re.compile(r"[A-Za-z]{1,64}")
_FINAL_POD_PHASES = ("Succeeded", "Failed")

# Waiting reasons of a container that are failures. All others, such as ContainerCreating, are progress.
_WAITING_REASONS = {
    "CrashLoopBackOff": Reason.CRASH_LOOP,
    "ErrImagePull": Reason.IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
    "ImageInspectError": Reason.IMAGE_PULL_FAILED,
    "RegistryUnavailable": Reason.IMAGE_PULL_FAILED,
    "SignatureValidationFailed": Reason.IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_INVALID,
    "CreateContainerError": Reason.CONTAINER_START_FAILED,
    "RunContainerError": Reason.CONTAINER_START_FAILED,
    "StartError": Reason.CONTAINER_START_FAILED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason and message for the phase Error."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Blockage(Failure):
    """Reason and message for pods that cannot be created or scheduled, and the time when that began."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Workload:
    """State of the Deployment and the pods of an instance.

    `gone` means that no pods are left. `rolling_out` means that the workload is unavailable because of a change, and
    not because its pods failed. The defaults describe a logical instance: it has no pods, so it is available and gone.
    """

    available: bool = True
    gone: bool = True
    rolling_out: bool = False
    failure: Failure | None = None
    blockage: Blockage | None = None
    message: str = ""


def has_ended(pod: Manifest) -> bool:
    """Whether a pod has ended and can remain in that state forever, such as an evicted pod.

    A pod that is being deleted does not count: it disappears once its node has released everything.
    """
    return pod.get("status", {}).get("phase") in _FINAL_POD_PHASES and "deletionTimestamp" not in pod["metadata"]


def assess_workload(deployment: Manifest | None, pods: Sequence[Manifest], now: datetime) -> Workload:
    """Return the state of a workload, given the live Deployment and all pods that have not ended."""
    if deployment is None:
        message = _stopping_message(pods) or "waits for its Deployment to be created"
        return Workload(available=False, gone=not pods, message=message)
    status, replicas = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        message = "waits for the Deployment controller to observe the change"
        return Workload(False, gone=False, rolling_out=True, message=message)
    if replicas == 0:
        gone = not pods and not status.get("replicas")
        return Workload(gone=gone, message=_stopping_message(pods))
    available = _is_complete(status, replicas)
    failure = None if available else _find_failure(deployment, pods, now)
    rolling_out = not available and _is_rolling_out(deployment, replicas)
    if failure is None:
        message = "" if available else _progress_message(status, replicas)
        return Workload(available, gone=False, rolling_out=rolling_out, message=message)
    if serving := _serving_message(deployment, failure):
        message = f"{serving}; {failure.message}"
        return Workload(available=False, gone=False, rolling_out=rolling_out, message=message)
    if isinstance(failure, Blockage):
        return Workload(False, gone=False, rolling_out=rolling_out, blockage=failure, message=failure.message)
    return Workload(available=False, gone=False, failure=failure, message=failure.message)


def recheck_after(deployment: Manifest | None, pods: Sequence[Manifest], now: datetime) -> float | None:
    """Return the seconds until the assessment can change without a watch event, None if it cannot."""
    moments = [
        since + timedelta(seconds=UNSCHEDULABLE_GRACE_SECONDS)
        for pod in pods
        if (since := _unschedulable_since(pod, now)) is not None
    ]
    if deployment is not None and (rejection := _rejection(deployment)):
        moments.append(_since(rejection, deployment, now) + timedelta(seconds=REJECTION_GRACE_SECONDS))
    if deployment is not None and (second_chance := _second_chance(deployment, pods)):
        moments.append(second_chance)
    return min(((moment - now).total_seconds() for moment in moments if moment > now), default=None)


def _is_complete(status: Manifest, replicas: int) -> bool:
    """Whether all pods are of the current revision and available, by the rules of `kubectl rollout status`."""
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return bool(updated >= replicas and available >= replicas and status.get("replicas", 0) == updated)


def _is_rolling_out(deployment: Manifest, replicas: int) -> bool:
    """Whether pods must still be created or replaced, or the current revision has never been complete."""
    status = deployment["status"]
    updated = status.get("updatedReplicas", 0)
    was_complete = _condition(deployment, "Progressing").get("reason") == "NewReplicaSetAvailable"
    return not was_complete or updated < replicas or updated < status.get("replicas", 0)


def _find_failure(deployment: Manifest, pods: Sequence[Manifest], now: datetime) -> Failure | None:
    """Return why the current revision does not run: a failing pod, rejected pods, or the progress deadline."""
    failures = [_first_failure(revision_pods, now) for revision_pods in _newest_pods(deployment["status"], pods)]
    if failures and all(failures):
        return failures[0]
    if rejection := _rejection(deployment):
        since = _since(rejection, deployment, now)
        if now - since < timedelta(seconds=REJECTION_GRACE_SECONDS):
            return None
        detail = truncate(rejection.get("message", ""), _MAX_DETAIL)
        return Blockage(Reason.PODS_REFUSED, f"the API server rejects its pods: {detail}", since)
    # The time in which no pod could be created or scheduled is not the failure of a pod.
    has_scheduled_pods = any(_condition(pod, "PodScheduled").get("status") != "False" for pod in pods)
    progress = _exceeded_deadline(deployment)
    if progress and has_scheduled_pods and now >= (_second_chance(deployment, pods) or now):
        message = f"not available within {_progress_deadline(deployment):.0f} s"
        detail = truncate(progress.get("message", ""), _MAX_DETAIL)
        return Failure(Reason.PROGRESS_DEADLINE_EXCEEDED, f"{message}: {detail}")
    return None


def _rejection(deployment: Manifest) -> Manifest | None:
    """Return the condition that says that the API server rejects pods, None if it accepts them."""
    condition = _condition(deployment, "ReplicaFailure")
    return condition if condition.get("status") == "True" else None


def _exceeded_deadline(deployment: Manifest) -> Manifest | None:
    """Return the condition that says that the progress deadline has passed, None if it has not."""
    condition = _condition(deployment, "Progressing")
    exceeded = condition.get("status") == "False" and condition.get("reason") == Reason.PROGRESS_DEADLINE_EXCEEDED
    return condition if exceeded else None


def _second_chance(deployment: Manifest, pods: Sequence[Manifest]) -> datetime | None:
    """Return the new deadline of pods that were scheduled after the deadline had passed; None without such pods.

    The time in which pods could not be created or scheduled must not count as their failure.
    """
    exceeded = _exceeded_deadline(deployment)
    exceeded_at = _time(exceeded.get("lastTransitionTime")) if exceeded else None
    if exceeded_at is None:
        return None
    conditions = (_condition(pod, "PodScheduled") for pod in pods)
    times = (
        _time(condition.get("lastTransitionTime")) for condition in conditions if condition.get("status") == "True"
    )
    scheduled_at = max((time for time in times if time and time > exceeded_at), default=None)
    return scheduled_at + timedelta(seconds=_progress_deadline(deployment)) if scheduled_at else None


def _progress_deadline(deployment: Manifest) -> float:
    return float(deployment["spec"].get("progressDeadlineSeconds", 600))


def _newest_pods(status: Manifest, pods: Sequence[Manifest]) -> list[list[Manifest]]:
    """Return the pods of the current revision, which are the pods created last.

    Creation times have a resolution of one second. If several revisions were created in the last second, the pods of
    each are returned, and only a failure of all of them is a failure of the current revision.
    The list is empty until all pods that the Deployment counts are known, including one of the current revision.
    Otherwise, a failing pod of the previous revision would count as a failure of the current one.
    """
    remaining = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not status.get("updatedReplicas") or len(remaining) < status.get("replicas", 0):
        return []
    newest = max((_creation_time(pod) for pod in remaining), default="")
    revisions = sorted({_pod_template_hash(pod) for pod in remaining if _creation_time(pod) == newest})
    return [
        sorted((pod for pod in remaining if _pod_template_hash(pod) == revision), key=_name) for revision in revisions
    ]


def _first_failure(pods: Iterable[Manifest], now: datetime) -> Failure | None:
    return next((failure for pod in pods if (failure := _pod_failure(pod, now))), None)


def _pod_failure(pod: Manifest, now: datetime) -> Failure | None:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if (reason := _WAITING_REASONS.get(waiting.get("reason", ""))) is not None:
            return _container_failure(pod, container, waiting, reason)
    since = _unschedulable_since(pod, now)
    if since is not None and now - since >= timedelta(seconds=UNSCHEDULABLE_GRACE_SECONDS):
        detail = truncate(_condition(pod, "PodScheduled").get("message", ""), _MAX_DETAIL)
        return Blockage(Reason.UNSCHEDULABLE, f"pod {_name(pod)}: Unschedulable: {detail}", since)
    return None


def _container_failure(
    pod: Manifest, container: Mapping[str, Any], waiting: Mapping[str, Any], reason: Reason
) -> Failure:
    last = container.get("lastState", {}).get("terminated", {})
    if reason is Reason.CRASH_LOOP and last.get("reason") == Reason.OUT_OF_MEMORY:
        reason = Reason.OUT_OF_MEMORY
    details = []
    if last:
        last_reason = last.get("reason", "")
        known_reason = last_reason if _REASON_SHAPE.fullmatch(last_reason) else "Error"
        details.append(f"the process ended with exit code {last.get('exitCode')} ({known_reason})")
    explanations = _explain_container(container, waiting, last, reason)
    details += filter(None, explanations)
    if not details or not all(explanations):
        details.append(f"see kubectl describe pod {_name(pod)}")
    return Failure(reason, ": ".join([f"pod {_name(pod)}", waiting["reason"], *details]))


def _explain_container(
    container: Mapping[str, Any], waiting: Mapping[str, Any], last: Mapping[str, Any], reason: Reason
) -> list[str]:
    """Return what the messages in the status of a container mean; empty texts for messages that are not known.

    The termination message of a process is not considered, because the process wrote it.
    """
    explanations = []
    if last.get("message") and last.get("reason") in _RUNTIME_REASONS:
        explanations.append(explain_start_error(last["message"]))
    message = waiting.get("message", "")
    match reason:
        case Reason.IMAGE_PULL_FAILED:
            image = container.get("image", "")
            cause = explain_pull_error(message, image)
            explanations += [f"{image_name(image)} cannot be pulled", cause]
        case Reason.INVALID_IMAGE_NAME:
            explanations.append(f"{image_name(container.get('image', ''))} is not a valid name")
        case Reason.CONTAINER_CONFIG_INVALID:
            explanations.append(explain_config_error(message))
        case Reason.CRASH_LOOP | Reason.OUT_OF_MEMORY:
            explanations += [explain_back_off(message)] if message else []
        case _:
            explanations += [explain_start_error(message)] if message else []
    return explanations


def _serving_message(deployment: Manifest, failure: Failure) -> str:
    """Return which pods are available in spite of the failure, empty if the failure counts.

    An exceeded progress deadline always counts if all pods are of the current revision, even if some are available.
    """
    status = deployment["status"]
    available = status.get("availableReplicas", 0)
    outdated = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    if not available or (failure.reason is Reason.PROGRESS_DEADLINE_EXCEEDED and not outdated):
        return ""
    if outdated > 0:
        return f"the previous revision keeps running ({available} of its pods available)"
    return f"{available} of {deployment['spec'].get('replicas', 1)} pods available"


def _progress_message(status: Manifest, replicas: int) -> str:
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    outdated = status.get("replicas", 0) - updated
    remaining = f", {outdated} of the previous revision left" if outdated > 0 else ""
    return f"waits for its pods: {min(updated, available)} of {replicas} available{remaining}"


def _stopping_message(pods: Sequence[Manifest]) -> str:
    names = tuple(sorted(map(_name, pods)))
    return f"waits for its pods to stop: {join_names(names, _MAX_POD_NAMES)}" if names else ""


def _unschedulable_since(pod: Manifest, now: datetime) -> datetime | None:
    """Return since when a pod has been unschedulable, None if it is not."""
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False" or condition.get("reason") != Reason.UNSCHEDULABLE:
        return None
    return _since(condition, pod, now)


def _condition(manifest: Manifest, condition_type: str) -> Manifest:
    """Return the condition of this type; empty if there is none."""
    conditions: Iterable[Manifest] = manifest.get("status", {}).get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == condition_type), {})


def _since(condition: Manifest, manifest: Manifest, now: datetime) -> datetime:
    """Return the time of a condition, else the creation time of its object, else `now`."""
    return _time(condition.get("lastTransitionTime")) or _time(manifest["metadata"].get("creationTimestamp")) or now


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _pod_template_hash(pod: Manifest) -> str:
    """Return the hash that identifies the ReplicaSet of a pod."""
    return str(pod["metadata"].get("labels", {}).get(_POD_TEMPLATE_HASH))


def _creation_time(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])
