"""Effect of each desired state on the owned objects and pods of an instance."""

from __future__ import annotations

import asyncio

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.workloads import BEHAVIOR_ANNOTATION, FULL_SERVICE, STATELESS_SERVICE, Workloads

UP = ["Created", "Starting", "Running"]
STOP_AND_START = ["Stopping", "Stopped", "Starting", "Running"]
ALL_KINDS = ("ConfigMap", "Deployment", "Ingress", "PersistentVolumeClaim", "Secret", "Service")
WEB = {"templateRef": {"name": "web"}}
RESTARTED_AT = "2026-01-01T00:00:00Z"


async def create_running(
    live: LiveInstances,
    workloads: Workloads,
    *names: str,
    template: dict[str, object] = STATELESS_SERVICE,
    **spec: object,
) -> None:
    """Create instances of a template; wait until they run and each has an endpoint."""
    await workloads.create_template(**template)
    await live.create_from(*(manifest(name, **WEB, **spec) for name in names))
    await live.until_phase("Running", *names)
    for name in names:
        await workloads.until_endpoints(name, 1)


def owned_uids(workloads: Workloads) -> dict[str, str]:
    """Return the uids of the owned objects of instance a by kind."""
    return {kind: owned["metadata"]["uid"] for kind, owned in workloads.owned_objects("a").items()}


class TestStart:
    async def test_an_instance_is_starting_until_all_pods_are_available(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(image="held:1", ports=[{"containerPort": 80}])
        await live.create("a", replicas=2, **WEB)
        await workloads.until_pods("a", 2)
        await live.until_reason("a", "Ready", "Starting")
        assert live.phase("a") == "Starting"
        assert live.condition("a", "WorkloadAvailable")["status"] == "False"
        assert not workloads.ready_endpoints("a")
        first, second = (pod["metadata"]["name"] for pod in workloads.pods("a").values())
        well = {"metadata": {"annotations": {BEHAVIOR_ANNOTATION: "well"}}}
        await workloads.edit("Pod", first, well)
        await workloads.until_endpoints("a", 1)
        assert live.phase("a") == "Starting"
        await workloads.edit("Pod", second, well)
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert live.phase_history("a") == UP
        assert live.condition("a", "WorkloadAvailable")["status"] == "True"
        status = live.status("a")
        assert (status["workloadName"], status["replicas"], status["templateGeneration"]) == ("hopper-a", 2, 1)
        assert status["selector"] == "hopper.dev/instance=a"

    async def test_owned_objects_have_names_labels_and_owner_references(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("shop")
        await live.create("shop-web", "Orchestration", "shop", **WEB)
        await live.until_phase("Running", "shop-web")
        await workloads.until_owned("shop-web", *ALL_KINDS)
        uid = live["shop-web"]["metadata"]["uid"]
        for kind, owned in workloads.owned_objects("shop-web").items():
            metadata = owned["metadata"]
            suffix = "-data" if kind == "PersistentVolumeClaim" else ""
            assert metadata["name"] == f"hopper-shop-web{suffix}"
            assert [owner["uid"] for owner in metadata["ownerReferences"]] == [uid]
            assert {
                "app.kubernetes.io/name": "web",
                "app.kubernetes.io/instance": "hopper-shop-web",
                "app.kubernetes.io/component": "orchestration",
                "app.kubernetes.io/part-of": "shop",
                "app.kubernetes.io/managed-by": "hopper",
                "hopper.dev/instance": "shop-web",
            }.items() <= metadata["labels"].items()
            applied = [entry for entry in metadata["managedFields"] if entry["operation"] == "Apply"]
            assert [entry["manager"] for entry in applied] == ["hopper-operator"]

    @pytest.mark.parametrize("state", ["Paused", "Stopped", "Archived", "Terminated"])
    async def test_a_new_instance_with_a_workload_settles_in_any_state(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("a", desiredState=state, **WEB)
        await live.until_phase(state, "a")
        if state in ("Paused", "Stopped"):
            await workloads.until_owned("a", *ALL_KINDS)
        else:
            assert not any(workloads.recorders[kind].log for kind in ("Deployment", "Pod", "Service"))
        assert len(workloads.pod_uids_ever("a")) == (1 if state == "Paused" else 0)
        assert not workloads.endpoints_ever("a")

    async def test_an_instance_with_zero_replicas_runs_without_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template()
        await live.create("a", replicas=0, **WEB)
        await live.until_phase("Running", "a")
        assert not workloads.pod_uids_ever("a")

    async def test_a_singleton_never_has_two_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template()
        await live.create("global", "Global", **WEB)
        await live.until_phase("Running", "global")
        assert len(await workloads.until_pods("global", 1)) == 1
        assert workloads.deployment("global")["spec"]["strategy"] == {"type": "Recreate"}


class TestPause:
    async def test_a_pause_keeps_the_pods_and_removes_their_endpoints(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        before, generation = workloads.pods("a"), workloads.deployment("a")["metadata"]["generation"]
        for _ in range(2):
            await live.edit("a", desiredState="Paused")
            await live.until_phase("Paused", "a")
            await workloads.until_endpoints("a", 0)
            assert workloads.pods("a").keys() == before.keys()
            await live.edit("a", desiredState="Running")
            await live.until_phase("Running", "a")
            await workloads.until_endpoints("a", 1)
        assert workloads.pod_uids_ever("a") == before.keys()
        assert workloads.deployment("a")["metadata"]["generation"] == generation
        await workloads.until_owned("a", "ConfigMap", "Deployment", "Secret", "Service")

    async def test_an_instance_without_ports_can_be_paused(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template()
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        for state in ("Paused", "Running"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
        assert len(workloads.pod_uids_ever("a")) == 1


class TestStop:
    async def test_a_stop_deletes_only_the_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE)
        before = owned_uids(workloads)
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")
        await workloads.until_owned("a", *ALL_KINDS)
        await live.until(lambda: live.status("a")["replicas"] == 0, "a counts no replicas")
        assert live.condition("a", "WorkloadAvailable") | {"reason": "NothingRuns"} == live.condition(
            "a", "WorkloadAvailable"
        )
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        assert owned_uids(workloads) == before
        assert live.phase_history("a") == [*UP, *STOP_AND_START]
        assert len(workloads.pod_uids_ever("a")) == 2

    async def test_an_instance_is_stopping_until_its_pods_are_deleted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        (pod,) = workloads.pods("a").values()
        name = pod["metadata"]["name"]
        await workloads.edit("Pod", name, {"metadata": {"finalizers": ["tests.example.com/slow"]}})
        await live.edit("a", desiredState="Stopped")
        await live.until(lambda: not workloads.pods("a"), "the pod is being deleted")
        await live.until_reason("a", "Ready", "Stopping")
        assert live.phase("a") == "Stopping"
        await workloads.edit("Pod", name, {"metadata": {"finalizers": None}})
        await live.until_phase("Stopped", "a")

    async def test_a_stop_does_not_wait_for_an_evicted_pod(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """The evicted pod object stays until a user deletes it, but no container runs."""
        await create_running(live, workloads, "a")
        ((uid, pod),) = workloads.pods("a").items()
        await workloads.edit_status("Pod", pod["metadata"]["name"], {"phase": "Failed", "reason": "Evicted"})
        await live.until(lambda: len(workloads.pods("a")) == 2, "another pod replaces it")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.until(lambda: workloads.pods("a").keys() == {uid}, "only the evicted pod is left")

    @pytest.mark.parametrize(
        ("kind", "kept"), [("Persistent", ("PersistentVolumeClaim",)), ("Singleton", ("PersistentVolumeClaim",))]
    )
    async def test_archiving_and_terminating_keeps_the_claims(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, kind: str, kept: tuple[str, ...]
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE, type=kind)
        claim = workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"]
        for state in ("Archived", "Terminated"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
            await workloads.until_owned("a", *kept)
            assert not workloads.pods("a")
        assert workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"] == claim

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_archiving_and_terminating_an_ephemeral_instance_deletes_all_objects(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE, type="Ephemeral")
        assert "PersistentVolumeClaim" not in workloads.owned_objects("a")
        await live.edit("a", desiredState=state)
        await live.until_phase(state, "a")
        await workloads.until_owned("a")
        assert not workloads.pods("a")
        assert not workloads.recorders["PersistentVolumeClaim"].log

    async def test_deleting_an_instance_deletes_all_its_objects(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE)
        await live.delete("a")
        await live.until_gone("a")
        await workloads.until_owned("a")
        await workloads.until_pods("a", 0)

    async def test_the_name_of_a_deleted_instance_can_be_reused_at_once(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """Garbage collection may still be deleting the objects of the deleted instance."""
        await create_running(live, workloads, "a", template=FULL_SERVICE)
        for _ in range(2):
            before = set(owned_uids(workloads).values())
            await live.delete("a")
            await live.until_gone("a")
            await live.create("a", **WEB)
            await live.until_phase("Running", "a")
            await workloads.until_endpoints("a", 1)
            await workloads.until_owned("a", *ALL_KINDS)
            assert not set(owned_uids(workloads).values()) & before
            assert live.phase_history("a") == UP

    async def test_a_reused_name_waits_for_objects_that_are_still_being_deleted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE)
        (pod,) = (pod["metadata"]["name"] for pod in workloads.pods("a").values())
        await workloads.edit("Pod", pod, {"metadata": {"finalizers": ["tests.example.com/hold"]}})
        await live.delete("a")
        await live.until_gone("a")
        await live.create("a", **WEB)
        await live.until_reason("a", "Ready", "NameInUse")
        # The pod uses the claim. The message may name other objects until garbage collection has deleted them, and a
        # new cluster needs up to a minute to discover the kind of their owner.
        claim = 'PersistentVolumeClaim "hopper-a-data"'
        await live.until(lambda: claim in live.condition("a", "Ready")["message"], "the message names the claim", 90)
        assert live.phase("a") == "Created"
        await workloads.edit("Pod", pod, {"metadata": {"finalizers": None}})
        await live.until_phase("Running", "a")
        await workloads.until_owned("a", *ALL_KINDS)

    async def test_orphaned_objects_are_adopted_by_an_instance_of_the_same_name(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a", template=FULL_SERVICE)
        before = owned_uids(workloads)
        await live.delete("a", propagation="Orphan")
        await live.until_gone("a")
        await live.until(
            lambda: (
                not any(owned["metadata"].get("ownerReferences") for owned in workloads.owned_objects("a").values())
            ),
            "the owned objects are orphaned",
        )
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        uid = live["a"]["metadata"]["uid"]
        assert owned_uids(workloads) == before
        owners = [owned["metadata"]["ownerReferences"] for owned in workloads.owned_objects("a").values()]
        assert all([owner["uid"] for owner in references] == [uid] for references in owners)


class TestScale:
    async def test_kubectl_scale_changes_the_number_of_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, cluster: Cluster
    ) -> None:
        await create_running(live, workloads, "a")
        first = workloads.pods("a").keys()
        await asyncio.to_thread(cluster.kubectl, "-n", live.namespace, "scale", "hi/a", "--replicas=3")
        await workloads.until_endpoints("a", 3)
        await live.until(lambda: live.status("a")["replicas"] == 3 and live.is_ready("a"), "a has three replicas")
        scale = await live.request("GET", f"{live.path}/a/scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
        assert scale["status"]["selector"] == "hopper.dev/instance=a"
        assert first < workloads.pods("a").keys()
        await live.edit("a", replicas=1)
        await workloads.until_pods("a", 1)
        await live.until(lambda: live.status("a")["replicas"] == 1 and live.is_ready("a"), "a has one replica")
        assert live.phase_history("a") == UP

    @pytest.mark.parametrize("state", ["Paused", "Stopped"])
    async def test_a_paused_or_stopped_instance_can_be_scaled(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await create_running(live, workloads, "a")
        await live.edit("a", desiredState=state, replicas=2)
        await live.until_phase(state, "a")
        await workloads.until_pods("a", 2 if state == "Paused" else 0)
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert not workloads.ready_endpoints("a")
        await live.edit("a", desiredState="Running")
        await workloads.until_endpoints("a", 2)
        await live.until_phase("Running", "a")


class TestRestart:
    async def test_each_restart_replaces_the_pods_once(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        for count in (1, 2):
            before = workloads.pod_uids_ever("a")
            await live.edit("a", restartedAt=f"2026-01-0{count}T00:00:00Z")
            await live.until(
                lambda count=count: live.status("a")["restarts"] == count and live.is_ready("a"), "a has restarted"
            )
            await workloads.until_endpoints("a", 1)
            assert len(workloads.pods("a").keys() - before) == len(workloads.pod_uids_ever("a") - before) == 1
            assert live.phase_history("a") == [*UP, *STOP_AND_START * count]

    async def test_a_restarted_paused_instance_is_paused_again(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        before = workloads.ready_endpoints("a")
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await live.edit("a", restartedAt=RESTARTED_AT)
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "a has restarted")
        assert live.phase_history("a") == [*UP, "Paused", *STOP_AND_START, "Paused"]
        assert len(workloads.pod_uids_ever("a")) == 2
        assert workloads.endpoints_ever("a") <= before

    async def test_a_restart_requested_while_the_operator_is_away_happens_once(
        self, live: LiveInstances, workloads: Workloads
    ) -> None:
        async with running_operator(live.namespace):
            await create_running(live, workloads, "a")
        await live.edit("a", restartedAt=RESTARTED_AT)
        async with running_operator(live.namespace):
            await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "a has restarted")
        async with running_operator(live.namespace) as operator:
            await live.until(lambda: not len(operator.queue), "all instances are reconciled")
        assert len(workloads.pod_uids_ever("a")) == 2


class TestStack:
    """A Project whose children are services."""

    async def create_stack(self, live: LiveInstances, workloads: Workloads) -> None:
        await workloads.create_template(ports=[{"containerPort": 80}])
        await live.create_from(
            manifest("shop", templateRef={"name": "web"}),
            manifest("shop-web", "Orchestration", "shop", **WEB),
            manifest("shop-db", "Orchestration", "shop", **WEB),
            manifest("shop-held", "Orchestration", "shop", desiredState="Paused", **WEB),
            manifest("shop-notes", "Orchestration", "shop"),
        )
        await live.until_phase("Running", "shop", "shop-web", "shop-db", "shop-notes")
        await live.until_phase("Paused", "shop-held")

    async def test_pausing_a_project_pauses_its_services(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.create_stack(live, workloads)
        names = ("shop", "shop-web", "shop-db")
        before = {name: workloads.pods(name).keys() for name in names}
        await live.edit("shop", desiredState="Paused")
        await live.until_phase("Paused", *names, "shop-held")
        for name in names:
            await workloads.until_endpoints(name, 0)
        assert live.condition("shop-web", "Ready")["reason"] == "InheritedFrom"
        await live.edit("shop", desiredState="Running")
        await live.until_phase("Running", *names)
        for name in names:
            await workloads.until_endpoints(name, 1)
        assert {name: workloads.pods(name).keys() for name in names} == before
        assert live.phase("shop-held") == "Paused"
        assert not workloads.ready_endpoints("shop-held")

    async def test_children_start_after_their_parent_and_stop_before_it(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("slow", image="held:1")
        await workloads.create_template()
        await live.create_from(
            manifest("shop", templateRef={"name": "slow"}), manifest("shop-web", "Orchestration", "shop", **WEB)
        )
        await workloads.until_pods("shop", 1)
        await live.until_reason("shop-web", "Ready", "ParentNotReady")
        assert not workloads.pod_uids_ever("shop-web")
        await workloads.set_pod_behavior("shop", "well")
        await live.until_phase("Running", "shop", "shop-web")

        (pod,) = workloads.pods("shop-web").values()
        guard = {"metadata": {"finalizers": ["tests.example.com/slow"]}}
        await workloads.edit("Pod", pod["metadata"]["name"], guard)
        await live.edit("shop", desiredState="Stopped")
        await live.until_reason("shop", "Ready", "ChildrenStopping")
        await live.until(lambda: not workloads.pods("shop-web"), "the pod of the child is being deleted")
        assert workloads.deployment("shop-web")["spec"]["replicas"] == 0
        await workloads.edit("Pod", pod["metadata"]["name"], {"metadata": {"finalizers": None}})
        await live.until_phase("Stopped", "shop", "shop-web")
        assert live.index_of_phase("shop-web", "Stopped") < live.index_of_phase("shop", "Stopped")
        assert not workloads.pods("shop")

    async def test_a_terminated_project_terminates_its_services(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.create_stack(live, workloads)
        await live.edit("shop", desiredState="Terminated")
        await live.until_phase("Terminated")
        await live.until(
            lambda: not workloads.objects("Pod") and not workloads.objects("Deployment"),
            "no pods and Deployments are left",
        )
        assert not workloads.objects("Service")

    async def test_a_deleted_project_deletes_its_services(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.create_stack(live, workloads)
        await live.delete("shop")
        await live.until_gone("shop", "shop-web", "shop-db", "shop-held", "shop-notes")
        await live.until(
            lambda: not workloads.objects("Pod") and not workloads.objects("Deployment"),
            "no pods and Deployments are left",
        )
