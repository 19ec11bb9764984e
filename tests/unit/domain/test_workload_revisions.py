"""Which pods are those of the present revision, where creation times alone do not tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hopper.api.conditions import Reason
from hopper.domain.workload import observe

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CRASH = {"reason": "CrashLoopBackOff", "message": "back-off"}
CREATING = {"reason": "ContainerCreating"}
DEPLOYMENT = {
    "metadata": {"generation": 2},
    "spec": {"replicas": 1},
    "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "unavailableReplicas": 2},
}


def pod(revision: str, waiting: dict[str, str], second: int = 0) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"web-{revision}",
            "creationTimestamp": f"2026-03-01T11:00:{second:02}Z",
            "labels": {"pod-template-hash": revision},
        },
        "status": {"containerStatuses": [{"name": "service", "state": {"waiting": waiting}}]},
    }


def test_the_pod_that_was_made_last_counts() -> None:
    assert observe(DEPLOYMENT, [pod("a", CRASH), pod("b", CREATING, 1)], NOW).failure is None
    failure = observe(DEPLOYMENT, [pod("a", CREATING), pod("b", CRASH, 1)], NOW).failure
    assert failure is not None
    assert failure.message.startswith("pod web-b: CrashLoopBackOff")


def test_of_two_made_within_a_second_either_may_be_the_present_one() -> None:
    assert observe(DEPLOYMENT, [pod("a", CRASH), pod("b", CREATING)], NOW).failure is None
    assert observe(DEPLOYMENT, [pod("a", CREATING), pod("b", CRASH)], NOW).failure is None


def test_where_both_of_them_fail_the_present_one_does() -> None:
    failure = observe(DEPLOYMENT, [pod("b", CRASH), pod("a", CRASH)], NOW).failure
    assert failure is not None
    assert failure.reason is Reason.CRASH_LOOP


def test_a_revision_rolls_out_until_it_was_complete_once() -> None:
    def judged(reason: str, updated: int = 1) -> bool:
        progress = {"type": "Progressing", "status": "True", "reason": reason}
        status = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "conditions": [progress]}
        return observe({**DEPLOYMENT, "status": status}, [pod("a", CREATING)], NOW).rolling_out

    assert judged("ReplicaSetUpdated")
    assert judged("NewReplicaSetAvailable", updated=0)
    assert not judged("NewReplicaSetAvailable")  # what is missing now was there before
