"""From a live Deployment and its pods to what the planner needs to know: is it there, is it gone, why does it fail.

A failure makes an Error of the instance only where nothing serves. While pods of the last good revision, or some of the
present one, are available, it is told in the message and nothing else happens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hopper.api.conditions import Reason
from hopper.api.resources import Manifest

# A pod may wait for a node or a volume that is on its way.
UNSCHEDULABLE_GRACE_SECONDS = 60.0
_HASH = "pod-template-hash"
_NAMED = 3
_TOLD = 500
_KUBELETS_OWN = ("StartError", "ContainerCannotRun")
# In these phases no container runs, and none will.
_ENDED = ("Succeeded", "Failed")

# Why a container waits, and what that means. Other reasons (ContainerCreating, PodInitializing) are progress.
_WAITING = {
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
    """The reason and message of an instance in phase Error."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Workload:
    """State of the Deployment and pods of an instance.

    The defaults describe a logical instance, which has no pods: it counts as available and as gone.
    `rolling_out` says whether the workload is unavailable because of a change and not because its pods failed.
    """

    available: bool = True
    gone: bool = True
    rolling_out: bool = False
    failure: Failure | None = None
    message: str = ""


def has_ended(pod: Manifest) -> bool:
    """Tell whether a pod is over for good, such as one that its node has evicted: its record may stay for ever.

    That of one that is being deleted will not: it goes as soon as the node has let go of everything.
    """
    return pod.get("status", {}).get("phase") in _ENDED and "deletionTimestamp" not in pod["metadata"]


def observe(deployment: Manifest | None, pods: Sequence[Manifest], now: datetime) -> Workload:
    """Judge a workload by its Deployment, as it is in the cluster, and all of its pods that have not ended."""
    if deployment is None:
        return Workload(available=False, gone=not pods, message=_stopping(pods) or "waits for its Deployment")
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Workload(False, gone=False, rolling_out=True, message="waits for its Deployment to be noticed")
    if wanted == 0:
        gone = not pods and not status.get("replicas")
        return Workload(gone=gone, message=_stopping(pods))
    available = _is_complete(status, wanted)
    trouble = None if available else _trouble(deployment, pods, now)
    rolling_out = not available and _is_rolling_out(status, wanted)
    if trouble is None:
        message = "" if available else _progress(status, wanted)
        return Workload(available, gone=False, rolling_out=rolling_out, message=message)
    if serving := _serving(deployment, trouble):
        message = f"{serving}; {trouble.message}"
        return Workload(available=False, gone=False, rolling_out=rolling_out, message=message)
    return Workload(available=False, gone=False, failure=trouble, message=trouble.message)


def recheck_after(pods: Iterable[Manifest], now: datetime) -> float | None:
    """Return the seconds after which time alone may change the judgement; None where only news can."""
    waits = (_seconds_unscheduled(pod, now) for pod in pods)
    left = (UNSCHEDULABLE_GRACE_SECONDS - waited for waited in waits if waited is not None)
    return min((seconds for seconds in left if seconds > 0), default=None)


def _is_complete(status: Manifest, wanted: int) -> bool:
    """Tell whether all pods are of the present revision and available, as `kubectl rollout status` does."""
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return bool(updated >= wanted and available >= wanted and status.get("replicas", 0) == updated)


def _is_rolling_out(status: Manifest, wanted: int) -> bool:
    """Tell whether pods are still to be made or replaced, or those of the present revision never were complete."""
    updated = status.get("updatedReplicas", 0)
    conditions = (condition for condition in status.get("conditions", ()) if condition["type"] == "Progressing")
    was_complete = any(condition.get("reason") == "NewReplicaSetAvailable" for condition in conditions)
    return not was_complete or updated < wanted or updated < status.get("replicas", 0)


def _trouble(deployment: Manifest, pods: Sequence[Manifest], now: datetime) -> Failure | None:
    """Return what keeps the present revision from running: a pod's reason, a refusal of pods, or the deadline."""
    failures = [_first_failure(revision, now) for revision in _latest(deployment["status"], pods)]
    if failures and all(failures):
        return failures[0]
    conditions = {condition["type"]: condition for condition in deployment["status"].get("conditions", ())}
    refused = conditions.get("ReplicaFailure", {})
    if refused.get("status") == "True":
        return Failure(Reason.PODS_REFUSED, f"its pods are refused: {refused.get('message', '')[:_TOLD]}")
    progress = conditions.get("Progressing", {})
    if progress.get("status") == "False" and progress.get("reason") == Reason.PROGRESS_DEADLINE_EXCEEDED:
        message = f"not available within {deployment['spec'].get('progressDeadlineSeconds', 600)} s"
        return Failure(Reason.PROGRESS_DEADLINE_EXCEEDED, f"{message}: {progress.get('message', '')}")
    return None


def _latest(status: Manifest, pods: Sequence[Manifest]) -> list[list[Manifest]]:
    """Return the pods of the present revision: those that were made last.

    Where more than one revision was made within that second, each is returned, and only what all of them suffer from
    says something about the present one. Nothing is known of it while none of its pods was made, or while some that the
    Deployment counts have not been seen here yet: a pod of the revision before must not be blamed on this one.
    """
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not status.get("updatedReplicas") or len(alive) < status.get("replicas", 0):
        return []
    latest = max((_created(pod) for pod in alive), default="")
    revisions = sorted({str(_pod_template_hash(pod)) for pod in alive if _created(pod) == latest})
    return [sorted((pod for pod in alive if str(_pod_template_hash(pod)) == one), key=_name) for one in revisions]


def _first_failure(pods: Iterable[Manifest], now: datetime) -> Failure | None:
    return next((failure for pod in pods if (failure := _pod_failure(pod, now))), None)


def _pod_failure(pod: Manifest, now: datetime) -> Failure | None:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if (reason := _WAITING.get(waiting.get("reason", ""))) is not None:
            return _container_failure(pod, container, waiting, reason)
    waited = _seconds_unscheduled(pod, now)
    if waited is not None and waited >= UNSCHEDULABLE_GRACE_SECONDS:
        condition = _scheduled(pod)
        return Failure(Reason.UNSCHEDULABLE, f"pod {_name(pod)}: Unschedulable: {condition.get('message', '')[:_TOLD]}")
    return None


def _container_failure(pod: Manifest, container: Manifest, waiting: Manifest, reason: Reason) -> Failure:
    last = container.get("lastState", {}).get("terminated", {})
    if reason is Reason.CRASH_LOOP and last.get("reason") == Reason.OUT_OF_MEMORY:
        reason = Reason.OUT_OF_MEMORY
    parts = [f"pod {_name(pod)}", waiting["reason"]]
    if last:
        parts.append(f"the process ended with exit code {last.get('exitCode')} ({last.get('reason', 'Error')})")
    # What a process says at its end is its own affair and may hold anything; what the kubelet says is told.
    told = last.get("message") if last.get("reason") in _KUBELETS_OWN else None
    parts += [text[:_TOLD] for text in (told, waiting.get("message")) if text]
    return Failure(reason, ": ".join(parts))


def _serving(deployment: Manifest, trouble: Failure) -> str:
    """Say who serves in spite of the trouble; empty where nobody does.

    A rollout that has run out of time while only its own pods are there is a failure, even if some of them serve.
    """
    status = deployment["status"]
    available, older = status.get("availableReplicas", 0), status.get("replicas", 0) - status.get("updatedReplicas", 0)
    if not available or (trouble.reason is Reason.PROGRESS_DEADLINE_EXCEEDED and not older):
        return ""
    if older > 0:
        return f"the revision before keeps running ({available} of its pods available)"
    return f"{available} of {deployment['spec'].get('replicas', 1)} pods available"


def _progress(status: Manifest, wanted: int) -> str:
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    older = status.get("replicas", 0) - updated
    left = f", {older} of the revision before left" if older > 0 else ""
    return f"waits for its pods: {min(updated, available)} of {wanted} available{left}"


def _stopping(pods: Sequence[Manifest]) -> str:
    if not pods:
        return ""
    names = sorted(map(_name, pods))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"waits for its pods to stop: {', '.join(names[:_NAMED])}{more}"


def _seconds_unscheduled(pod: Manifest, now: datetime) -> float | None:
    """Return for how long the scheduler has found no place for a pod; None where it does not say so."""
    condition = _scheduled(pod)
    if condition.get("status") != "False" or condition.get("reason") != Reason.UNSCHEDULABLE:
        return None
    since = condition.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    waited = now - (datetime.fromisoformat(since) if since else now)
    return waited / timedelta(seconds=1)


def _scheduled(pod: Manifest) -> Manifest:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == "PodScheduled"), {})


def _pod_template_hash(pod: Manifest) -> str | None:
    found: str | None = pod["metadata"].get("labels", {}).get(_HASH)
    return found


def _created(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])
