"""What each state means for the objects and pods of an instance (design: Lifecycle)."""

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
EVERYTHING = ("ConfigMap", "Deployment", "Ingress", "PersistentVolumeClaim", "Secret", "Service")
WEB = {"templateRef": {"name": "web"}}
MOMENT = "2026-01-01T00:00:00Z"


async def up(
    live: LiveInstances,
    workloads: Workloads,
    *names: str,
    template: dict[str, object] = STATELESS_SERVICE,
    **spec: object,
) -> None:
    """Have instances of a template running and served."""
    await workloads.create_template(**template)
    await live.create_from(*(manifest(name, **WEB, **spec) for name in names))
    await live.until_phase("Running", *names)
    for name in names:
        await workloads.until_endpoints(name, 1)


class TestStart:
    async def test_is_starting_until_its_pods_are_available(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(image="held:1", ports=[{"containerPort": 80}])
        await live.create("a", replicas=2, **WEB)
        await workloads.until_pods("a", 2)
        await live.until_reason("a", "Ready", "Starting")
        assert live.phase("a") == "Starting"
        assert live.condition("a", "WorkloadAvailable")["status"] == "False"
        assert not workloads.ready_endpoints("a")
        one, other = (it["metadata"]["name"] for it in workloads.pods("a").values())
        well = {"metadata": {"annotations": {BEHAVIOR_ANNOTATION: "well"}}}
        await workloads.edit("Pod", one, well)
        await workloads.until_endpoints("a", 1)
        assert live.phase("a") == "Starting"
        await workloads.edit("Pod", other, well)
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert live.phase_history("a") == UP
        assert live.condition("a", "WorkloadAvailable")["status"] == "True"
        status = live.status("a")
        assert (status["workloadName"], status["replicas"], status["templateGeneration"]) == ("hopper-a", 2, 1)
        assert status["selector"] == "hopper.dev/instance=a"

    async def test_owns_what_it_needs_by_name_and_label(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("shop")
        await live.create("shop-web", "Orchestration", "shop", **WEB)
        await live.until_phase("Running", "shop-web")
        await workloads.until_owned("shop-web", *EVERYTHING)
        uid = live["shop-web"]["metadata"]["uid"]
        for kind, it in workloads.owned_objects("shop-web").items():
            claim = "-data" if kind == "PersistentVolumeClaim" else ""
            assert it["metadata"]["name"] == f"hopper-shop-web{claim}"
            assert [owner["uid"] for owner in it["metadata"]["ownerReferences"]] == [uid]
            assert {
                "app.kubernetes.io/name": "web",
                "app.kubernetes.io/instance": "shop-web",
                "app.kubernetes.io/component": "orchestration",
                "app.kubernetes.io/part-of": "shop",
                "app.kubernetes.io/managed-by": "hopper",
                "hopper.dev/instance": "shop-web",
            }.items() <= it["metadata"]["labels"].items()
            assert [it["manager"] for it in it["metadata"]["managedFields"] if it["operation"] == "Apply"] == [
                "hopper-operator"
            ]

    @pytest.mark.parametrize("state", ["Paused", "Stopped", "Archived", "Terminated"])
    async def test_may_begin_in_any_state(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("a", desiredState=state, **WEB)
        await live.until_phase(state, "a")
        if state in ("Paused", "Stopped"):
            await workloads.until_owned("a", *EVERYTHING)
        else:
            assert not [it for kind in ("Deployment", "Pod", "Service") for it in workloads.recorders[kind].log]
        assert len(workloads.pod_uids_ever("a")) == (1 if state == "Paused" else 0)
        assert not workloads.endpoints_ever("a")

    async def test_no_replicas_are_available_at_once(
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
    async def test_keeps_the_pods_and_takes_them_out_of_the_service(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a")
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

    async def test_works_without_a_service(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_template()
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        for state in ("Paused", "Running"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
        assert len(workloads.pod_uids_ever("a")) == 1


class TestStop:
    async def test_leaves_everything_but_the_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE)
        before = {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("a").items()}
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")
        await workloads.until_owned("a", *EVERYTHING)
        await live.until(lambda: live.status("a")["replicas"] == 0, "no replicas")
        assert live.condition("a", "WorkloadAvailable") | {"reason": "NothingRuns"} == live.condition(
            "a", "WorkloadAvailable"
        )
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        assert {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("a").items()} == before
        assert live.phase_history("a") == [*UP, *STOP_AND_START]
        assert len(workloads.pod_uids_ever("a")) == 2

    async def test_is_stopped_only_once_the_pods_are_gone(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a")
        (pod,) = workloads.pods("a").values()
        name = pod["metadata"]["name"]
        await workloads.edit("Pod", name, {"metadata": {"finalizers": ["tests.example.com/slow"]}})
        await live.edit("a", desiredState="Stopped")
        await live.until(lambda: not workloads.pods("a"), "the pod is told to go")
        await live.until_reason("a", "Ready", "Stopping")
        assert live.phase("a") == "Stopping"
        await workloads.edit("Pod", name, {"metadata": {"finalizers": None}})
        await live.until_phase("Stopped", "a")

    async def test_waits_for_no_pod_that_was_evicted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """Its record stays until somebody deletes it; nothing of it runs."""
        await up(live, workloads, "a")
        ((uid, pod),) = workloads.pods("a").items()
        await workloads.edit_status("Pod", pod["metadata"]["name"], {"phase": "Failed", "reason": "Evicted"})
        await live.until(lambda: len(workloads.pods("a")) == 2, "another pod in its place")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.until(lambda: workloads.pods("a").keys() == {uid}, "only the record is left")

    @pytest.mark.parametrize(
        ("kind", "kept"), [("Persistent", ("PersistentVolumeClaim",)), ("Singleton", ("PersistentVolumeClaim",))]
    )
    async def test_archived_and_terminated_keep_the_volumes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, kind: str, kept: tuple[str, ...]
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE, type=kind)
        claim = workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"]
        for state in ("Archived", "Terminated"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
            await workloads.until_owned("a", *kept)
            assert not workloads.pods("a")
        assert workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"] == claim

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_ephemeral_leaves_nothing(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE, type="Ephemeral")
        assert "PersistentVolumeClaim" not in workloads.owned_objects("a")
        await live.edit("a", desiredState=state)
        await live.until_phase(state, "a")
        await workloads.until_owned("a")
        assert not workloads.pods("a")
        assert not workloads.recorders["PersistentVolumeClaim"].log

    async def test_a_deleted_instance_leaves_nothing(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE)
        await live.delete("a")
        await live.until_gone("a")
        await workloads.until_owned("a")
        await workloads.until_pods("a", 0)

    async def test_a_name_may_be_used_again(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """Even while garbage collection still works on what the one before has left."""
        await up(live, workloads, "a", template=FULL_SERVICE)
        for _ in range(2):
            before = {it["metadata"]["uid"] for it in workloads.owned_objects("a").values()}
            await live.delete("a")
            await live.until_gone("a")
            await live.create("a", **WEB)
            await live.until_phase("Running", "a")
            await workloads.until_endpoints("a", 1)
            await workloads.until_owned("a", *EVERYTHING)
            assert not {it["metadata"]["uid"] for it in workloads.owned_objects("a").values()} & before
            assert live.phase_history("a") == UP

    async def test_and_what_is_not_gone_for_long_is_named(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE)
        (pod,) = (it["metadata"]["name"] for it in workloads.pods("a").values())
        await workloads.edit("Pod", pod, {"metadata": {"finalizers": ["tests.example.com/hold"]}})
        await live.delete("a")
        await live.until_gone("a")
        await live.create("a", **WEB)
        held = await live.until_reason("a", "Ready", "NameInUse")
        assert "PersistentVolumeClaim hopper-a-data" in held["message"], "a pod still uses it"
        assert live.phase("a") == "Created"
        await workloads.edit("Pod", pod, {"metadata": {"finalizers": None}})
        await live.until_phase("Running", "a")
        await workloads.until_owned("a", *EVERYTHING)

    async def test_what_was_orphaned_is_taken_back(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a", template=FULL_SERVICE)
        before = {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("a").items()}
        await live.delete("a", propagation="Orphan")
        await live.until_gone("a")
        await live.until(
            lambda: not any(it["metadata"].get("ownerReferences") for it in workloads.owned_objects("a").values()),
            "orphaned",
        )
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        uid = live["a"]["metadata"]["uid"]
        assert {kind: it["metadata"]["uid"] for kind, it in workloads.owned_objects("a").items()} == before
        owners = [it["metadata"]["ownerReferences"] for it in workloads.owned_objects("a").values()]
        assert all([owner["uid"] for owner in found] == [uid] for found in owners)


class TestScale:
    async def test_kubectl_scales(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, cluster: Cluster
    ) -> None:
        await up(live, workloads, "a")
        first = workloads.pods("a").keys()
        await asyncio.to_thread(cluster.kubectl, "-n", live.namespace, "scale", "hi/a", "--replicas=3")
        await workloads.until_endpoints("a", 3)
        await live.until(lambda: live.status("a")["replicas"] == 3 and live.is_ready("a"), "three replicas")
        scale = await live.request("GET", f"{live.path}/a/scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
        assert scale["status"]["selector"] == "hopper.dev/instance=a"
        assert first < workloads.pods("a").keys()
        await live.edit("a", replicas=1)
        await workloads.until_pods("a", 1)
        await live.until(lambda: live.status("a")["replicas"] == 1 and live.is_ready("a"), "one replica")
        assert live.phase_history("a") == UP

    @pytest.mark.parametrize("state", ["Paused", "Stopped"])
    async def test_what_is_held_scales_too(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await up(live, workloads, "a")
        await live.edit("a", desiredState=state, replicas=2)
        await live.until_phase(state, "a")
        await workloads.until_pods("a", 2 if state == "Paused" else 0)
        await live.until(lambda: live.is_ready("a"), "ready")
        assert not workloads.ready_endpoints("a")
        await live.edit("a", desiredState="Running")
        await workloads.until_endpoints("a", 2)
        await live.until_phase("Running", "a")


class TestRestart:
    async def test_makes_new_pods_once(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await up(live, workloads, "a")
        for count in (1, 2):
            before = workloads.pod_uids_ever("a")
            await live.edit("a", restartedAt=f"2026-01-0{count}T00:00:00Z")
            await live.until(lambda count=count: live.status("a")["restarts"] == count and live.is_ready("a"), "again")
            await workloads.until_endpoints("a", 1)
            assert len(workloads.pods("a").keys() - before) == len(workloads.pod_uids_ever("a") - before) == 1
            assert live.phase_history("a") == [*UP, *STOP_AND_START * count]

    async def test_what_is_paused_is_paused_again(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await up(live, workloads, "a")
        before = workloads.ready_endpoints("a")
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await live.edit("a", restartedAt=MOMENT)
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "restarted")
        assert live.phase_history("a") == [*UP, "Paused", *STOP_AND_START, "Paused"]
        assert len(workloads.pod_uids_ever("a")) == 2
        assert workloads.endpoints_ever("a") <= before

    async def test_while_the_operator_is_away(self, live: LiveInstances, workloads: Workloads) -> None:
        async with running_operator(live.namespace):
            await up(live, workloads, "a")
        await live.edit("a", restartedAt=MOMENT)
        async with running_operator(live.namespace):
            await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "restarted")
        async with running_operator(live.namespace) as operator:
            await live.until(lambda: not len(operator.queue), "everybody was looked at")
        assert len(workloads.pod_uids_ever("a")) == 2


class TestStack:
    """A Project and its services."""

    async def build(self, live: LiveInstances, workloads: Workloads) -> None:
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

    async def test_is_paused_and_resumed_as_one(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.build(live, workloads)
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
        await live.until(lambda: not workloads.pods("shop-web"), "the child's pod is told to go")
        assert workloads.deployment("shop-web")["spec"]["replicas"] == 0
        await workloads.edit("Pod", pod["metadata"]["name"], {"metadata": {"finalizers": None}})
        await live.until_phase("Stopped", "shop", "shop-web")
        assert live.index_of_phase("shop-web", "Stopped") < live.index_of_phase("shop", "Stopped")
        assert not workloads.pods("shop")

    async def test_a_terminated_project_terminates_its_services(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.build(live, workloads)
        await live.edit("shop", desiredState="Terminated")
        await live.until_phase("Terminated")
        await live.until(lambda: not workloads.objects("Pod") and not workloads.objects("Deployment"), "nothing runs")
        assert not workloads.objects("Service")

    async def test_a_deleted_project_takes_its_services_along(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await self.build(live, workloads)
        await live.delete("shop")
        await live.until_gone("shop", "shop-web", "shop-db", "shop-held", "shop-notes")
        await live.until(lambda: not workloads.objects("Pod") and not workloads.objects("Deployment"), "nothing runs")
