"""Assessment of a Deployment and its pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hopper.api.conditions import Reason
from hopper.domain.workload import Workload, assess_workload, recheck_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = "old", "new"


def deployment(
    wanted: int = 1,
    *,
    updated: int | None = None,
    available: int | None = None,
    total: int | None = None,
    generation: int = 2,
    observed: int = 2,
    conditions: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    """Return a Deployment whose status is complete, except for the given fields."""
    updated = wanted if updated is None else updated
    status = {
        "observedGeneration": observed,
        "replicas": updated if total is None else total,
        "updatedReplicas": updated,
        "availableReplicas": wanted if available is None else available,
        "conditions": list(conditions),
    }
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": wanted, "progressDeadlineSeconds": 600},
        "status": {name: value for name, value in status.items() if value != 0},
    }


def time_before(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    name: str = "web-1",
    *,
    revision: str = NEW,
    age: float = 10,
    deleted: bool = False,
    waiting: dict[str, str] | None = None,
    last: dict[str, Any] | None = None,
    init: bool = False,
    unscheduled: float | None = None,
) -> dict[str, Any]:
    """Return a pod that runs, that waits with a reason, or that has been unschedulable for some seconds."""
    container: dict[str, Any] = {"state": {"waiting": waiting} if waiting else {"running": {}}}
    if last:
        container["lastState"] = {"terminated": last}
    conditions = []
    if unscheduled is not None:
        since = time_before(unscheduled)
        conditions.append({"type": "Initialized", "status": "True"})
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available",
                "lastTransitionTime": since,
            }
        )
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {"pod-template-hash": revision},
        "creationTimestamp": time_before(age),
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    kind = "initContainerStatuses" if init else "containerStatuses"
    return {"metadata": metadata, "status": {kind: [container], "conditions": conditions}}


CREATING = {"reason": "ContainerCreating"}
CRASHING = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
REFUSED["lastTransitionTime"] = time_before(10)
LATE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "web-1" has timed out progressing.',
}


class TestAvailable:
    @pytest.mark.parametrize(
        ("live", "available", "message"),
        [
            (deployment(), True, ""),
            (deployment(3), True, ""),
            (deployment(observed=1), False, "waits for the Deployment controller to observe the change"),
            (deployment(available=0), False, "waits for its pods: 0 of 1 available"),
            (deployment(3, available=2), False, "waits for its pods: 2 of 3 available"),
            (deployment(3, updated=1, total=4, available=3), False, "waits for its pods: 1 of 3 available, 3 of the"),
            (deployment(2, updated=2, total=3, available=3), False, "1 of the previous revision left"),
            (deployment(1, updated=0, available=0), False, "0 of 1 available"),
            (None, False, "waits for its Deployment to be created"),
        ],
    )
    def test_is_true_if_all_pods_of_the_current_revision_are_available(
        self, live: dict[str, Any] | None, available: bool, message: str
    ) -> None:
        workload = assess_workload(live, [], NOW)
        assert workload.available is available
        assert message in workload.message
        assert workload.failure is None

    def test_is_false_for_a_deployment_without_status(self) -> None:
        new = {"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 1}}
        assert not assess_workload(new, [], NOW).available


class TestGone:
    def test_is_true_without_pods(self) -> None:
        assert assess_workload(deployment(0), [], NOW) == Workload(available=True, gone=True)
        assert assess_workload(None, [], NOW).gone
        assert not assess_workload(deployment(1), [], NOW).gone
        assert not assess_workload(deployment(0, observed=1), [], NOW).gone
        assert not assess_workload(deployment(0, updated=1), [], NOW).gone

    @pytest.mark.parametrize("live", [deployment(0), None])
    def test_is_false_while_pods_stop(self, live: dict[str, Any] | None) -> None:
        pods = [pod(f"web-{n}", deleted=True) for n in range(5)]
        workload = assess_workload(live, pods, NOW)
        assert not workload.gone
        assert workload.message == "waits for its pods to stop: web-0, web-1, web-2 and 2 more"
        assert assess_workload(live, pods[:1], NOW).message == "waits for its pods to stop: web-0"


class TestFailures:
    @pytest.mark.parametrize(
        ("live", "pods", "reason", "words"),
        [
            (
                deployment(available=0),
                [pod(waiting=CRASHING)],
                Reason.CRASH_LOOP,
                "pod web-1: CrashLoopBackOff: back-off",
            ),
            (
                deployment(available=0),
                [pod(waiting=CRASHING, last={"exitCode": 3, "reason": "Error", "message": "s3cret-canary"})],
                Reason.CRASH_LOOP,
                "CrashLoopBackOff: the process ended with exit code 3 (Error): back-off",
            ),
            (
                deployment(available=0),
                [pod(waiting=CRASHING, last={"exitCode": 137, "reason": "OOMKilled"})],
                Reason.OUT_OF_MEMORY,
                "exit code 137 (OOMKilled)",
            ),
            (
                deployment(available=0),
                [
                    pod(
                        waiting=CRASHING,
                        last={"exitCode": 128, "reason": "StartError", "message": 'exec: "x": not found'},
                    )
                ],
                Reason.CRASH_LOOP,
                "exit code 128 (StartError): back-off 5m0s restarting failed container: see kubectl describe pod web-1",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "ErrImagePull", "message": "not found"})],
                Reason.IMAGE_PULL_FAILED,
                "pod web-1: ErrImagePull: its image cannot be pulled: the registry has no such image or tag",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "ImagePullBackOff"}, init=True)],
                Reason.IMAGE_PULL_FAILED,
                "pod web-1: ImagePullBackOff",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "InvalidImageName"})],
                Reason.INVALID_IMAGE_NAME,
                "InvalidImageName",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot"})],
                Reason.CONTAINER_CONFIG_INVALID,
                "see kubectl describe pod web-1",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "RunContainerError"})],
                Reason.CONTAINER_START_FAILED,
                "RunContainerError",
            ),
            (
                deployment(available=0, conditions=(LATE,)),
                [pod()],
                Reason.PROGRESS_DEADLINE_EXCEEDED,
                "not available within 600 s",
            ),
            (
                deployment(3, available=2, conditions=(LATE,)),
                [pod(f"web-{n}") for n in range(3)],
                Reason.PROGRESS_DEADLINE_EXCEEDED,
                "not available within 600 s",
            ),
        ],
    )
    def test_have_the_reason_of_the_pod(
        self, live: dict[str, Any], pods: list[dict[str, Any]], reason: Reason, words: str
    ) -> None:
        workload = assess_workload(live, pods, NOW)
        assert workload.failure is not None
        assert workload.failure.reason is reason
        assert words in workload.failure.message
        assert workload.message == workload.failure.message
        assert not workload.available
        assert not workload.gone
        assert "s3cret-canary" not in workload.message

    @pytest.mark.parametrize(
        "pods",
        [
            [pod()],
            [pod(waiting={"reason": "ContainerCreating"})],
            [pod(waiting={"reason": "PodInitializing"}, init=True)],
            [pod(unscheduled=59)],
            [pod(waiting=CRASHING, deleted=True)],
            [{"metadata": {"name": "web-1"}}],
            [],
        ],
    )
    def test_progress_is_not_a_failure(self, pods: list[dict[str, Any]]) -> None:
        workload = assess_workload(deployment(available=0), pods, NOW)
        assert workload.failure is None
        assert workload.message == "waits for its pods: 0 of 1 available"

    def test_conditions_with_another_status_are_not_failures(self) -> None:
        conditions = (
            {**REFUSED, "status": "False"},
            {**LATE, "status": "True", "reason": "ReplicaSetUpdated"},
        )
        assert assess_workload(deployment(available=0, conditions=conditions), [pod()], NOW).failure is None

    def test_long_messages_are_truncated(self) -> None:
        workload = assess_workload(deployment(available=0), [pod(waiting={**CRASHING, "message": "x" * 9000})], NOW)
        assert workload.failure is not None
        assert len(workload.failure.message) < 600

    def test_the_first_pod_by_name_is_reported(self) -> None:
        pods = [pod(name, waiting=CRASHING) for name in ("c", "a", "b")]
        assert "pod a:" in assess_workload(deployment(3, available=0), pods, NOW).message


class TestBlockages:
    """Pods that cannot be created or scheduled: a restart does not help, so they are no failure."""

    @pytest.mark.parametrize(
        ("live", "pods", "reason", "words"),
        [
            (
                deployment(available=0),
                [pod(unscheduled=61)],
                Reason.UNSCHEDULABLE,
                "pod web-1: Unschedulable: 0/3 nodes are available",
            ),
            (
                deployment(updated=0, available=0, conditions=(REFUSED,)),
                [],
                Reason.PODS_REFUSED,
                "the API server rejects its pods: exceeded quota: small",
            ),
            (
                deployment(updated=0, available=0, conditions=(REFUSED, LATE)),
                [],
                Reason.PODS_REFUSED,
                "exceeded quota: small",
            ),
            (
                deployment(available=0, conditions=(LATE,)),
                [pod(unscheduled=700)],
                Reason.UNSCHEDULABLE,
                "0/3 nodes are available",
            ),
        ],
    )
    def test_give_the_reason_and_no_failure(
        self, live: dict[str, Any], pods: list[dict[str, Any]], reason: Reason, words: str
    ) -> None:
        workload = assess_workload(live, pods, NOW)
        assert workload.failure is None
        assert workload.blockage is not None
        assert workload.blockage.reason is reason
        assert words in workload.blockage.message
        assert not workload.available
        assert not workload.gone

    def test_a_short_rejection_is_progress(self) -> None:
        """A new namespace has no service account at first."""
        refused = {**REFUSED, "lastTransitionTime": time_before(4)}
        live = deployment(updated=0, available=0, conditions=(refused,))
        workload = assess_workload(live, [], NOW)
        assert (workload.blockage, workload.failure) == (None, None)
        assert recheck_after(live, [], NOW) == 1

    @pytest.mark.parametrize("pods", [[], [pod(unscheduled=1, age=700)]])
    def test_the_deadline_does_not_count_while_no_pod_is_scheduled(self, pods: list[dict[str, Any]]) -> None:
        """The quota or the scheduling gate may just have gone."""
        late = {**LATE, "lastTransitionTime": time_before(100)}
        workload = assess_workload(deployment(updated=0, available=0, conditions=(late,)), pods, NOW)
        assert (workload.blockage, workload.failure) == (None, None)

    def test_pods_that_were_scheduled_after_the_deadline_get_their_time(self) -> None:
        late = {**LATE, "lastTransitionTime": time_before(100)}
        live = deployment(available=0, conditions=(late,))
        scheduled = {"type": "PodScheduled", "status": "True"}
        for seconds, failed in ((99, False), (101, True)):
            waiting = pod(waiting=CREATING, age=700)
            waiting["status"]["conditions"] = [{**scheduled, "lastTransitionTime": time_before(seconds)}]
            assert (assess_workload(live, [waiting], NOW).failure is not None) is failed
            assert recheck_after(live, [waiting], NOW) == (None if failed else 501)


class TestAvailablePods:
    """A failure while other pods are available is reported in the message only."""

    def test_the_previous_revision_keeps_running(self) -> None:
        live = deployment(1, updated=1, total=2, available=1)
        pods = [pod("old", revision=OLD, age=99), pod("new", waiting=CRASHING)]
        workload = assess_workload(live, pods, NOW)
        assert workload.failure is None
        assert not workload.available
        assert workload.message.startswith(
            "the previous revision keeps running (1 of its pods available); pod new: Crash"
        )

    @pytest.mark.parametrize("condition", [LATE, REFUSED])
    def test_rejected_pods_or_an_exceeded_deadline_do_not_fail_the_previous_revision(
        self, condition: dict[str, str]
    ) -> None:
        workload = assess_workload(
            deployment(1, updated=0, total=1, available=1, conditions=(condition,)), [pod("old")], NOW
        )
        assert workload.failure is None
        assert "the previous revision keeps running" in workload.message

    def test_some_pods_of_the_current_revision_are_available(self) -> None:
        pods = [pod("a"), pod("b"), pod("c", waiting=CRASHING)]
        workload = assess_workload(deployment(3, available=2), pods, NOW)
        assert workload.failure is None
        assert workload.message.startswith("2 of 3 pods available; pod c: CrashLoopBackOff")

    def test_a_failing_pod_of_the_previous_revision_is_not_reported(self) -> None:
        failing = pod("old", revision=OLD, age=99, waiting=CRASHING)
        live = deployment(1, updated=1, total=2, available=0)
        assert assess_workload(live, [failing, pod("new")], NOW).failure is None
        assert assess_workload(live, [failing], NOW).failure is None, "the new pod is not known yet"
        assert assess_workload(deployment(1, updated=0, total=1, available=0), [failing], NOW).failure is None


class TestCurrentRevision:
    """The current revision is that of the newest pods. Creation times have a resolution of one second."""

    live = deployment(1, updated=1, total=2, available=0)

    def test_is_that_of_the_newest_pod(self) -> None:
        old_crashes = [pod("a", revision=OLD, age=11, waiting=CRASHING), pod("b", waiting=CREATING)]
        assert assess_workload(self.live, old_crashes, NOW).failure is None
        new_crashes = [pod("a", revision=OLD, age=11, waiting=CREATING), pod("b", waiting=CRASHING)]
        failure = assess_workload(self.live, new_crashes, NOW).failure
        assert failure is not None
        assert failure.message.startswith("pod b: CrashLoopBackOff")

    @pytest.mark.parametrize("crashing", [OLD, NEW])
    def test_is_unknown_if_two_revisions_have_pods_of_the_same_age(self, crashing: str) -> None:
        pods = [pod(name, revision=name, waiting=CRASHING if name == crashing else CREATING) for name in (OLD, NEW)]
        assert assess_workload(self.live, pods, NOW).failure is None

    def test_fails_if_both_revisions_of_the_same_age_fail(self) -> None:
        pods = [pod(name, revision=name, waiting=CRASHING) for name in (OLD, NEW)]
        failure = assess_workload(self.live, pods, NOW).failure
        assert failure is not None
        assert failure.reason is Reason.CRASH_LOOP

    @pytest.mark.parametrize(
        ("reason", "updated", "rolling_out"),
        [
            ("ReplicaSetUpdated", 1, True),
            ("NewReplicaSetAvailable", 0, True),
            ("NewReplicaSetAvailable", 1, False),
        ],
    )
    def test_rolls_out_until_it_was_complete_once(self, reason: str, updated: int, rolling_out: bool) -> None:
        progress = {"type": "Progressing", "status": "True", "reason": reason}
        live = deployment(1, updated=updated, total=1, available=0, conditions=(progress,))
        assert assess_workload(live, [pod(waiting=CREATING)], NOW).rolling_out is rolling_out


class TestRecheck:
    @pytest.mark.parametrize(
        ("pods", "seconds"),
        [
            ([], None),
            ([pod()], None),
            ([pod(unscheduled=20)], 40),
            ([pod(unscheduled=20), pod(unscheduled=50)], 10),
            ([pod(unscheduled=60)], None),
        ],
    )
    def test_is_due_when_the_grace_period_ends(self, pods: list[dict[str, Any]], seconds: float | None) -> None:
        assert recheck_after(None, pods, NOW) == seconds

    def test_uses_the_creation_time_if_the_condition_has_no_time(self) -> None:
        waiting = pod(unscheduled=5, age=15)
        del waiting["status"]["conditions"][1]["lastTransitionTime"]
        assert recheck_after(None, [waiting], NOW) == 45
        del waiting["metadata"]["creationTimestamp"]
        assert recheck_after(None, [waiting], NOW) == 60
