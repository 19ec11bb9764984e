"""What a Deployment and its pods say about an instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hopper.api.conditions import Reason
from hopper.domain.workload import Workload, observe, recheck_after

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
    """A Deployment; what is not said is as wanted."""
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
    """A pod, whose container waits for a reason, or which nobody has found a node for."""
    container: dict[str, Any] = {"state": {"waiting": waiting} if waiting else {"running": {}}}
    if last:
        container["lastState"] = {"terminated": last}
    conditions = []
    if unscheduled is not None:
        since = (NOW - timedelta(seconds=unscheduled)).strftime("%Y-%m-%dT%H:%M:%SZ")
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
        "creationTimestamp": (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    kind = "initContainerStatuses" if init else "containerStatuses"
    return {"metadata": metadata, "status": {kind: [container], "conditions": conditions}}


CRASHING = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
LATE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "web-1" has timed out progressing.',
}


class TestAvailable:
    @pytest.mark.parametrize(
        ("found", "available", "message"),
        [
            (deployment(), True, ""),
            (deployment(3), True, ""),
            (deployment(observed=1), False, "waits for its Deployment to be noticed"),
            (deployment(available=0), False, "waits for its pods: 0 of 1 available"),
            (deployment(3, available=2), False, "waits for its pods: 2 of 3 available"),
            (deployment(3, updated=1, total=4, available=3), False, "waits for its pods: 1 of 3 available, 3 of the"),
            (deployment(2, updated=2, total=3, available=3), False, "1 of the revision before left"),
            (deployment(1, updated=0, available=0), False, "0 of 1 available"),
            (None, False, "waits for its Deployment"),
        ],
    )
    def test_when_all_pods_are_of_this_revision(
        self, found: dict[str, Any] | None, available: bool, message: str
    ) -> None:
        judged = observe(found, [], NOW)
        assert judged.available is available
        assert message in judged.message
        assert judged.failure is None

    def test_a_deployment_that_nobody_has_looked_at(self) -> None:
        new = {"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 1}}
        assert not observe(new, [], NOW).available


class TestGone:
    def test_without_pods(self) -> None:
        assert observe(deployment(0), [], NOW) == Workload(available=True, gone=True)
        assert observe(None, [], NOW).gone
        assert not observe(deployment(1), [], NOW).gone
        assert not observe(deployment(0, observed=1), [], NOW).gone
        assert not observe(deployment(0, updated=1), [], NOW).gone

    @pytest.mark.parametrize("found", [deployment(0), None])
    def test_not_while_pods_stop(self, found: dict[str, Any] | None) -> None:
        pods = [pod(f"web-{n}", deleted=True) for n in range(5)]
        judged = observe(found, pods, NOW)
        assert not judged.gone
        assert judged.message == "waits for its pods to stop: web-0, web-1, web-2 and 2 more"
        assert observe(found, pods[:1], NOW).message == "waits for its pods to stop: web-0"


class TestFailures:
    @pytest.mark.parametrize(
        ("found", "pods", "reason", "words"),
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
                'exit code 128 (StartError): exec: "x": not found',
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "ErrImagePull", "message": "not found"})],
                Reason.IMAGE_PULL_FAILED,
                "pod web-1: ErrImagePull: not found",
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
                "container has runAsNonRoot",
            ),
            (
                deployment(available=0),
                [pod(waiting={"reason": "RunContainerError"})],
                Reason.CONTAINER_START_FAILED,
                "RunContainerError",
            ),
            (
                deployment(available=0),
                [pod(unscheduled=61)],
                Reason.UNSCHEDULABLE,
                "Unschedulable: 0/3 nodes are available",
            ),
            (
                deployment(updated=0, available=0, conditions=(REFUSED,)),
                [],
                Reason.PODS_REFUSED,
                "exceeded quota: small",
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
    def test_give_the_pods_own_reason(
        self, found: dict[str, Any], pods: list[dict[str, Any]], reason: Reason, words: str
    ) -> None:
        judged = observe(found, pods, NOW)
        assert judged.failure is not None
        assert judged.failure.reason is reason
        assert words in judged.failure.message
        assert judged.message == judged.failure.message
        assert not judged.available
        assert not judged.gone
        assert "s3cret-canary" not in judged.message

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
    def test_progress_is_none(self, pods: list[dict[str, Any]]) -> None:
        judged = observe(deployment(available=0), pods, NOW)
        assert judged.failure is None
        assert judged.message == "waits for its pods: 0 of 1 available"

    def test_other_conditions_are_none(self) -> None:
        conditions = (
            {**REFUSED, "status": "False"},
            {**LATE, "status": "True", "reason": "ReplicaSetUpdated"},
        )
        assert observe(deployment(available=0, conditions=conditions), [pod()], NOW).failure is None

    def test_long_messages_are_cut(self) -> None:
        judged = observe(deployment(available=0), [pod(waiting={**CRASHING, "message": "x" * 9000})], NOW)
        assert judged.failure is not None
        assert len(judged.failure.message) < 600

    def test_the_first_pod_by_name_speaks(self) -> None:
        pods = [pod(name, waiting=CRASHING) for name in ("c", "a", "b")]
        assert "pod a:" in observe(deployment(3, available=0), pods, NOW).message


class TestLastGood:
    """A revision that fails while another one serves is told, and no Error."""

    def test_the_one_before_keeps_running(self) -> None:
        found = deployment(1, updated=1, total=2, available=1)
        pods = [pod("old", revision=OLD, age=99), pod("new", waiting=CRASHING)]
        judged = observe(found, pods, NOW)
        assert judged.failure is None
        assert not judged.available
        assert judged.message.startswith("the revision before keeps running (1 of its pods available); pod new: Crash")

    @pytest.mark.parametrize("condition", [LATE, REFUSED])
    def test_also_where_the_new_one_has_no_pods_or_no_time(self, condition: dict[str, str]) -> None:
        judged = observe(deployment(1, updated=0, total=1, available=1, conditions=(condition,)), [pod("old")], NOW)
        assert judged.failure is None
        assert "the revision before keeps running" in judged.message

    def test_some_pods_of_this_one_serve(self) -> None:
        pods = [pod("a"), pod("b"), pod("c", waiting=CRASHING)]
        judged = observe(deployment(3, available=2), pods, NOW)
        assert judged.failure is None
        assert judged.message.startswith("2 of 3 pods available; pod c: CrashLoopBackOff")

    def test_pods_of_the_one_before_are_not_blamed_on_this_one(self) -> None:
        failing = pod("old", revision=OLD, age=99, waiting=CRASHING)
        found = deployment(1, updated=1, total=2, available=0)
        assert observe(found, [failing, pod("new")], NOW).failure is None
        assert observe(found, [failing], NOW).failure is None, "the new pod has not been seen yet"
        assert observe(deployment(1, updated=0, total=1, available=0), [failing], NOW).failure is None

    def test_nobody_is_blamed_where_it_is_not_clear(self) -> None:
        found = deployment(1, updated=1, total=2, available=0)
        pods = [pod("a", revision=OLD, waiting=CRASHING), pod("b", revision=NEW)]
        assert observe(found, pods, NOW).failure is None


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
    def test_is_when_the_grace_is_over(self, pods: list[dict[str, Any]], seconds: float | None) -> None:
        assert recheck_after(pods, NOW) == seconds

    def test_without_a_time_the_creation_counts(self) -> None:
        waiting = pod(unscheduled=5, age=15)
        del waiting["status"]["conditions"][1]["lastTransitionTime"]
        assert recheck_after([waiting], NOW) == 45
        del waiting["metadata"]["creationTimestamp"]
        assert recheck_after([waiting], NOW) == 60
