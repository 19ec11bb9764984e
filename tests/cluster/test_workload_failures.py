"""Instances whose pods fail: phase Error with the reason of the pod, retries and recovery."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from hopper.controller.operator import Operator
from hopper.domain import checks, workload
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, manifest
from tests.cluster.support.workloads import FULL_SERVICE, Workloads, own_domain

NEVER_RESTART = {"restartPolicy": {"policy": "Never"}}
RESTART_TWICE = {"restartPolicy": {"maxRetries": 2, "backoffSeconds": 1, "maxBackoffSeconds": 1}}
WEB = {"templateRef": {"name": "web"}}
PORTS = [{"containerPort": 80}]
STARTED_ONCE = ["Created", "Starting", "Error"]


def is_stalled(live: LiveInstances, name: str) -> bool:
    return live.is_observed(name) and live.condition(name, "Stalled").get("status") == "True"


async def until_blocked(live: LiveInstances, name: str, reason: str) -> str:
    """Wait until an instance that starts is stalled for a reason outside of it; return the message."""
    await live.until_reason(name, "Stalled", reason)
    assert live.status(name)["phase"] == "Starting"
    for condition_type in ("Ready", "WorkloadAvailable"):
        condition = live.condition(name, condition_type)
        assert (condition["status"], condition["reason"]) == ("False", reason)
    message: str = live.condition(name, "Ready")["message"]
    return message


async def until_error(live: LiveInstances, name: str, reason: str) -> str:
    """Wait for phase Error; check that history, conditions and Event give the reason; return the message."""
    await live.until_phase("Error", name)
    entry = [entry for entry in live.status(name)["history"] if entry["to"] == "Error"][-1]
    assert entry["reason"] == reason
    available = live.condition(name, "WorkloadAvailable")
    assert (available["status"], available["reason"]) == ("False", reason)
    assert live.condition(name, "Ready")["status"] == "False"
    assert entry["message"] in live.condition(name, "Ready")["message"]
    event = await live.until_event(name, "Error")
    assert (event["type"], entry["message"] in event["note"]) == ("Warning", True)
    message: str = entry["message"]
    return message


class TestErrorReasons:
    @pytest.mark.parametrize(
        ("image", "reason", "text"),
        [
            ("crash", "CrashLoopBackOff", "exit code 3 (Error): back-off 40s restarting failed container=service"),
            ("greedy", "OOMKilled", "exit code 137 (OOMKilled)"),
            ("missing", "ImagePullBackOff", 'image "missing:1" cannot be pulled'),
            ("misnamed", "InvalidImageName", 'image "misnamed:1" is not a valid name'),
            ("misconfigured", "CreateContainerConfigError", 'secret "tokens" not found'),
        ],
    )
    async def test_a_failing_pod_is_an_error_with_its_reason(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, image: str, reason: str, text: str
    ) -> None:
        await workloads.create_instance("a", f"{image}:1", **NEVER_RESTART)
        message = await until_error(live, "a", reason)
        (pod,) = workloads.pods("a").values()
        assert message.startswith(f"pod {pod['metadata']['name']}: ")
        assert text in message
        assert "last words" not in str(live["a"])
        assert live.condition("a", "Stalled")["reason"] == "RestartNever"
        assert live.phase_history("a") == STARTED_ONCE

    async def test_objects_rejected_by_a_quota_stall_the_instance(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        path = f"/api/v1/namespaces/{live.namespace}/resourcequotas"
        await live.request("POST", path, {"metadata": {"name": "none"}, "spec": {"hard": {"services": "0"}}})
        await workloads.create_template(ports=PORTS)
        await live.create("a", **WEB)
        await live.until(lambda: is_stalled(live, "a"), "a is stalled")
        assert "exceeded quota: none" in live.condition("a", "Stalled")["message"]
        assert live.condition("a", "Stalled")["reason"] == "WriteRefused"
        await live.request("DELETE", f"{path}/none")
        await live.until_phase("Running", "a")
        assert live.is_ready("a")

    async def test_a_rollout_past_its_deadline_is_an_error(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "held:1", **NEVER_RESTART)
        updated = lambda: workloads.deployment("a").get("status", {}).get("updatedReplicas")  # noqa: E731
        await live.until(lambda: updated() == 1, "the Deployment counts its pod")
        late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}
        status = workloads.deployment("a")["status"]
        others = [condition for condition in status["conditions"] if condition["type"] != "Progressing"]
        await workloads.edit_status("Deployment", "hopper-a", {"conditions": [*others, late]})
        assert "not available within 600 s" in await until_error(live, "a", "ProgressDeadlineExceeded")
        await workloads.set_pod_behavior("a", "well")
        await live.until_phase("Running", "a")

    async def test_one_failing_pod_of_two_is_reported_and_no_error(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checks, "DETAILS_AFTER_SECONDS", 1.0)
        await workloads.create_instance("a", replicas=2)
        await live.until_phase("Running", "a")
        pod, _ = workloads.pods("a").values()
        crash = {"metadata": {"annotations": {"tests.example.com/behaves": "crash"}}}
        await workloads.edit("Pod", pod["metadata"]["name"], crash)
        await live.until(
            lambda: "1 of 2 pods available; pod" in live.condition("a", "WorkloadAvailable")["message"],
            "condition WorkloadAvailable names the failing pod",
        )
        assert live.phase("a") == "Running"
        await workloads.set_pod_behavior("a", "well")
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert live.phase_history("a") == ["Created", "Starting", "Running"]


class TestRestartPolicy:
    async def test_each_retry_has_new_pods_until_retries_are_exhausted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "crash:1", **RESTART_TWICE)
        await live.until(lambda: is_stalled(live, "a"), "a is stalled")
        assert live.condition("a", "Stalled")["reason"] == "RestartsExhausted"
        message = live.condition("a", "Stalled")["message"]
        assert "CrashLoopBackOff" in message
        assert "gave up after 2 restarts" in message
        assert live.phase_history("a") == ["Created", *["Starting", "Error"] * 3]
        assert live.status("a")["restarts"] == 2
        assert len(workloads.pod_uids_ever("a")) == 3
        failures = [entry for entry in live.status("a")["history"] if entry["to"] == "Error"]
        assert all(first["time"] < second["time"] for first, second in pairwise(failures))
        pod_names = [entry["message"].split()[1] for entry in failures]
        assert len(set(pod_names)) == 3
        status_writes = [event for event in live.instances.log if "phase" in event.object.get("status", {})]
        assert len(status_writes) <= 2 * 3, "two status writes per start"

    async def test_a_failed_running_instance_is_restarted_with_new_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", **RESTART_TWICE)
        await live.until_phase("Running", "a")
        before = workloads.pods("a").keys()
        await workloads.set_pod_behavior("a", "crash")
        await live.until(lambda: live.status("a").get("restarts") == 1 and live.is_ready("a"), "a has restarted")
        assert live.phase_history("a") == ["Created", "Starting", "Running", "Error", "Starting", "Running"]
        assert not before & workloads.pods("a").keys()
        assert len(workloads.pod_uids_ever("a")) == 2

    async def test_a_pod_that_recovers_ends_the_error(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "crash:1", **NEVER_RESTART)
        await live.until_phase("Error", "a")
        before = workloads.pods("a").keys()
        await workloads.set_pod_behavior("a", "well")
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert workloads.pod_uids_ever("a") == before
        assert live.status("a")["restarts"] == 0
        assert live.status("a")["history"][-2]["message"] == "the workload has recovered by itself"

    @pytest.mark.parametrize("policy", [NEVER_RESTART, RESTART_TWICE], ids=["Never", "OnFailure"])
    async def test_a_corrected_template_ends_the_error(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, policy: dict[str, object]
    ) -> None:
        await workloads.create_instance("a", "crash:1", **policy)
        await live.until(lambda: is_stalled(live, "a"), "a is stalled")
        await workloads.edit_template("a", image="web:2")
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert workloads.container("a")["image"] == "web:2"
        assert live.status("a")["templateGeneration"] == 2

    async def test_each_requested_restart_is_one_retry(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "crash:1", **NEVER_RESTART)
        await live.until(lambda: is_stalled(live, "a"), "a is stalled")
        for restarts in (1, 2):
            before = workloads.pod_uids_ever("a")
            await live.edit("a", restartedAt=f"2026-01-0{restarts}T00:00:00Z")
            await live.until(
                lambda restarts=restarts: live.phase_history("a").count("Error") == restarts + 1, "another failed start"
            )
            await live.until(lambda: is_stalled(live, "a"), "a is stalled")
            assert live.status("a")["restarts"] == restarts
            assert len(workloads.pod_uids_ever("a") - before) == 1


class TestBlockages:
    """Pods that cannot be created or scheduled: the instance waits, uses up no restart, and continues by itself."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workload, "UNSCHEDULABLE_GRACE_SECONDS", 1.0)
        monkeypatch.setattr(workload, "REJECTION_GRACE_SECONDS", 1.0)
        monkeypatch.setattr(checks, "STALLED_AFTER_SECONDS", 2.0)

    async def test_instances_without_room_keep_one_pod_each(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        names = ("a", "b", "c")
        policy = {"policy": "Always", "backoffSeconds": 0}
        await workloads.create_template(resources={"requests": {"cpu": "1000000"}})
        await live.create_from(*(manifest(name, **WEB, restartPolicy=policy) for name in names))
        for name in names:
            assert "Insufficient cpu" in await until_blocked(live, name, "Unschedulable")
        pods = {name: set(workloads.pods(name)) for name in names}
        assert all(len(pods[name]) == 1 for name in names)
        replica_sets = await live.request("GET", f"/apis/apps/v1/namespaces/{live.namespace}/replicasets")
        assert len(replica_sets["items"]) == len(names)
        assert all(live.status(name).get("retries", 0) == live.status(name).get("restarts", 0) == 0 for name in names)
        await workloads.edit_template(resources=None)
        await live.until_phase("Running", *names)
        assert all("Error" not in live.phase_history(name) for name in names)

    async def test_pods_rejected_by_a_quota_come_when_the_quota_allows_them(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        path = f"/api/v1/namespaces/{live.namespace}/resourcequotas"
        quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        await live.request("POST", path, quota)
        await workloads.create_instance("a", **NEVER_RESTART)
        assert "exceeded quota: none" in await until_blocked(live, "a", "PodsRefused")
        await live.request("DELETE", f"{path}/none")
        await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", "Starting", "Running"]
        assert not live.condition("a", "Stalled")

    async def test_pods_rejected_by_pod_security_follow_a_correction(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        await live.request("PATCH", f"/api/v1/namespaces/{live.namespace}", labels, MERGE_PATCH)
        await workloads.create_template(securityProfile="Baseline")
        await live.create("a", **WEB, **NEVER_RESTART)
        assert "violates PodSecurity" in await until_blocked(live, "a", "PodsRefused")
        assert "runAsNonRoot" in live.condition("a", "WorkloadAvailable")["message"]
        assert "securityProfile Baseline" in live.condition("a", "Warning")["message"]
        await workloads.edit_template(securityProfile=None)
        await live.until_phase("Running", "a")
        assert not live.condition("a", "Warning")


class TestStateChanges:
    """Every desired state is reached, and deletion works, although pods fail."""

    FAILING_IMAGES = ("crash:1", "missing:1", "held:1")

    async def create_failing(self, live: LiveInstances, workloads: Workloads) -> list[str]:
        """Create two instances per failing image: one waits for its next retry, the other is never restarted."""
        names = []
        for image in self.FAILING_IMAGES:
            name = image.split(":")[0]
            await workloads.create_template(name, **FULL_SERVICE | {"image": image})
            reference = {"templateRef": {"name": name}}
            long_backoff = {"policy": "OnFailure", "backoffSeconds": 3600, "maxBackoffSeconds": 3600}
            waits, never = f"{name}-waits", f"{name}-never"
            await live.create_from(
                manifest(waits, restartPolicy=long_backoff, overrides=own_domain(waits), **reference),
                manifest(never, **NEVER_RESTART, overrides=own_domain(never), **reference),
            )
            names += [waits, never]
        await live.until_phase("Error", *(name for name in names if not name.startswith("held")))
        await live.until_phase("Starting", *(name for name in names if name.startswith("held")))
        return names

    @pytest.mark.parametrize("state", ["Stopped", "Archived", "Terminated"])
    async def test_a_failing_instance_can_be_stopped_archived_and_terminated(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        names = await self.create_failing(live, workloads)
        await live.edit_all(names, desiredState=state)
        await live.until_phase(state, *names)
        await live.until(lambda: not workloads.objects("Pod"), "no pod is left")
        assert all(map(live.is_ready, names))
        owned_count = {"Stopped": 6, "Archived": 1, "Terminated": 1}
        for name in names:
            await live.until(
                lambda name=name: len(workloads.owned_objects(name)) == owned_count[state],
                f"{name} owns {owned_count[state]} objects",
            )
        if state == "Stopped":
            for image in self.FAILING_IMAGES:
                await workloads.edit_template(image.split(":")[0], image="web:1")
            await live.edit_all(names, desiredState="Running")
            await live.until_phase("Running", *names)

    async def test_an_instance_that_becomes_a_singleton_during_a_rollout_can_be_stopped(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """With strategy Recreate, the Deployment controller would no longer scale down the old ReplicaSets."""
        await workloads.create_instance("a", replicas=3)
        await live.until_phase("Running", "a")
        await workloads.edit_template("a", image="held:1")
        await live.until(lambda: len(workloads.pods("a")) == 4, "a new pod beside the three old ones")
        await live.edit("a", type="Singleton", replicas=1, desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.until(
            lambda: workloads.deployment("a")["spec"]["strategy"] == {"type": "Recreate"},
            "the strategy is Recreate",
        )
        await workloads.edit_template("a", image="web:2")
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_pods("a", 1)

    async def test_a_failing_instance_can_be_paused_and_resumed(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        names = await self.create_failing(live, workloads)
        await live.edit_all(names, desiredState="Paused")
        await live.until(lambda: all(map(live.is_observed, names)), "all instances are observed")
        for image in self.FAILING_IMAGES:
            await workloads.edit_template(image.split(":")[0], image="web:1")
        await live.until_phase("Paused", *names)
        assert not [name for name in names if workloads.endpoints_ever(name)]
        await live.edit_all(names, desiredState="Running")
        await live.until_phase("Running", *names)

    async def test_a_failing_instance_can_be_deleted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        names = await self.create_failing(live, workloads)
        await asyncio.gather(*map(live.delete, names))
        await live.until_gone(*names)
        kinds = ("Deployment", "Pod", "Service", "Secret", "PersistentVolumeClaim", "Ingress")
        await live.until(lambda: not any(map(workloads.objects, kinds)), "no object is left")

    async def test_a_failing_child_follows_its_parents_state(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await live.create("shop")
        await workloads.create_instance("shop-web", "crash:1", parent="shop", **RESTART_TWICE)
        await live.until_phase("Error", "shop-web")
        await live.edit("shop", desiredState="Stopped")
        await live.until_phase("Stopped", "shop", "shop-web")
        assert not workloads.pods("shop-web")
        await workloads.edit_template("shop-web", image="web:1")
        await live.edit("shop", desiredState="Paused")
        await live.until_phase("Paused", "shop", "shop-web")
