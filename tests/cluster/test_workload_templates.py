"""Instances whose template is missing, changed, deleted or invalid, and dependencies between templates."""

from __future__ import annotations

import pytest

from hopper.api.names import ANNOTATION_REVISION
from hopper.controller.operator import Operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.watch_recorder import recorded_versions
from tests.cluster.support.workloads import FULL_SERVICE, STATELESS_SERVICE, Workloads

WEB = {"templateRef": {"name": "web"}}
PORTS = [{"containerPort": 80}]
# Accepted by the API server, which does not check that the port exists.
INVALID_DOMAINS = [{"domain": "web.example.com", "proxyPort": 81}]
UP = ["Created", "Starting", "Running"]


def revision(workloads: Workloads, name: str) -> str:
    annotation: str = workloads.deployment(name)["metadata"]["annotations"][ANNOTATION_REVISION]
    return annotation


def template_resolved(live: LiveInstances, name: str) -> tuple[str, str]:
    condition = live.condition(name, "TemplateResolved")
    return condition["status"], condition["reason"]


def owned_uids(workloads: Workloads) -> set[str]:
    """Return the uids of the owned objects of instance a."""
    return {owned["metadata"]["uid"] for owned in workloads.owned_objects("a").values()}


class TestMissingTemplate:
    async def test_an_instance_waits_for_its_template(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await live.create("a", **WEB)
        waiting = await live.until_reason("a", "Ready", "TemplateNotFound")
        assert 'spec.templateRef.name: template "web" does not exist' in waiting["message"]
        assert live.phase("a") == "Created"
        assert template_resolved(live, "a") == ("False", "TemplateNotFound")
        assert live.condition("a", "Reconciling")["status"] == "True"
        await workloads.create_template()
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert template_resolved(live, "a") == ("True", "TemplateFound")
        assert live.phase_history("a") == UP

    async def test_a_template_created_right_after_its_user_is_never_reported_missing(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await live.create("a", **WEB)
        await workloads.create_template()
        await live.until_phase("Running", "a")
        versions = recorded_versions(live.instances, "a")
        conditions = [
            condition for version in versions for condition in version.get("status", {}).get("conditions", [])
        ]
        assert not any(condition["reason"] == "TemplateNotFound" for condition in conditions)


class TestChangedTemplate:
    async def test_a_changed_template_rolls_out_to_its_users(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS, env=[{"name": "LEVEL", "value": "1"}])
        own = {"overrides": {"env": [{"name": "LEVEL", "value": "9"}]}}
        await live.create_from(manifest("a", **WEB), manifest("b", **WEB), manifest("own", **WEB, **own))
        await live.until_phase("Running", "a", "b", "own")
        before = {name: (revision(workloads, name), workloads.pods(name).keys()) for name in ("a", "b", "own")}
        await workloads.edit_template(env=[{"name": "LEVEL", "value": "2"}])
        for name in ("a", "b"):
            await live.until(
                lambda name=name: live.status(name)["templateGeneration"] == 2 and live.is_ready(name),
                f"{name} has rolled out",
            )
            assert revision(workloads, name) != before[name][0]
            assert workloads.container(name)["env"] == [{"name": "LEVEL", "value": "2"}]
            await workloads.until_pods(name, 1)
            assert not workloads.pods(name).keys() & before[name][1]
            assert live.phase_history(name) == UP
            assert live.status(name)["restarts"] == 0
        await live.until(lambda: live.status("own")["templateGeneration"] == 2, "own has observed the new template")
        assert (revision(workloads, "own"), workloads.pods("own").keys()) == before["own"]

    async def test_an_instance_is_not_ready_during_a_rollout(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", replicas=2)
        await live.until_phase("Running", "a")
        await workloads.edit_template("a", image="held:1")
        await live.until_reason("a", "Ready", "RollingOut")
        assert live.phase("a") == "Running"
        assert live.status("a")["templateGeneration"] == 1
        assert live.condition("a", "Reconciling")["reason"] == "RollingOut"
        await live.until(lambda: len(workloads.pod_uids_ever("a")) > 2, "a has a new pod")
        await workloads.edit_template("a", image="web:2")
        await live.until(
            lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"),
            "the new template has rolled out",
        )
        assert live.phase_history("a") == UP

    async def test_a_failing_rollout_keeps_the_old_pods_serving(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        before = workloads.ready_endpoints("a")
        await workloads.edit_template(image="crash:1")
        await live.until(lambda: len(workloads.pods("a")) == 2, "a new pod beside the old one")
        await live.until_reason("a", "Ready", "RollingOut")
        await live.create("b", **WEB, restartPolicy={"policy": "Never"})
        await live.until_phase("Error", "b")
        assert live.phase("a") == "Running"
        assert workloads.ready_endpoints("a") == before
        assert live.status("a")["templateGeneration"] == 1
        await workloads.edit_template(image="web:2")
        await live.until_phase("Running", "b")
        await live.until(
            lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"),
            "the new template has rolled out",
        )
        assert live.phase_history("a") == UP

    async def test_a_changed_template_reaches_paused_and_stopped_instances(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create_from(
            manifest("stopped", desiredState="Stopped", **WEB), manifest("paused", desiredState="Paused", **WEB)
        )
        await live.until_phase("Stopped", "stopped")
        await live.until_phase("Paused", "paused")
        await workloads.edit_template(image="web:2")
        for name in ("stopped", "paused"):
            await live.until(
                lambda name=name: workloads.container(name)["image"] == "web:2", f"{name} has the new image"
            )
        await live.until(lambda: live.status("paused")["templateGeneration"] == 2, "the new template has rolled out")
        assert len(workloads.pod_uids_ever("paused")) == 2
        assert not workloads.pod_uids_ever("stopped")
        assert not workloads.endpoints_ever("paused")
        assert live.phase_history("paused") == [*UP, "Paused"]
        await live.until(lambda: live.is_ready("stopped"), "stopped is ready")


class TestDeletedTemplate:
    async def test_without_its_template_a_running_instance_follows_its_desired_state(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        pods, uids = workloads.pods("a").keys(), owned_uids(workloads)
        await workloads.delete_template()
        await live.until_reason("a", "Ready", "TemplateNotFound")
        assert "what runs keeps running" in live.condition("a", "Ready")["message"]
        assert live.phase("a") == "Running"
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await workloads.until_endpoints("a", 0)
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        assert workloads.pods("a").keys() == pods
        await live.edit("a", replicas=2)
        await workloads.until_endpoints("a", 2)
        await live.edit("a", replicas=1)
        await workloads.until_endpoints("a", 1)
        assert owned_uids(workloads) == uids
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")
        await live.edit("a", desiredState="Running")
        await live.until_reason("a", "Ready", "TemplateNotFound")
        assert live.phase("a") == "Stopped"
        await workloads.create_template(**FULL_SERVICE)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_an_instance_without_its_template_can_be_archived_and_terminated(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, state: str
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create_from(manifest("a", **WEB), manifest("brief", type="Ephemeral", **WEB))
        await live.until_phase("Running", "a", "brief")
        await workloads.delete_template()
        await live.edit_all(("a", "brief"), desiredState=state)
        await live.until_phase(state, "a", "brief")
        await workloads.until_owned("a", "PersistentVolumeClaim")
        await workloads.until_owned("brief")

    async def test_a_failing_instance_without_its_template_can_be_stopped(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "crash:1")
        await live.until_phase("Error", "a")
        await workloads.delete_template("a")
        await live.until_reason("a", "TemplateResolved", "TemplateNotFound")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")


class TestInvalidTemplate:
    async def test_an_invalid_template_is_reported_and_its_users_keep_running(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        uids, pods = owned_uids(workloads), workloads.pods("a").keys()
        await workloads.edit_template(domains=INVALID_DOMAINS)
        await live.until_reason("a", "Ready", "ServiceInvalid")
        message = "template: spec.domains[web.example.com].proxyPort: is 81, which is no TCP port of the container"
        assert message in live.condition("a", "Ready")["message"]
        assert template_resolved(live, "a") == ("False", "ServiceInvalid")
        assert live.condition("a", "Stalled")["reason"] == "ServiceInvalid"
        assert (live.phase("a"), live.status("a")["templateGeneration"]) == ("Running", 1)
        await live.create("b", **WEB)
        await live.until_reason("b", "Stalled", "ServiceInvalid")
        assert live.phase("b") == "Created"
        assert not workloads.owned_objects("b")
        await live.until(
            lambda: workloads.template_status()["conditions"][0]["reason"] == "ServiceInvalid",
            "the template reports the error",
        )
        assert workloads.template_status()["conditions"][0]["status"] == "False"

        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await workloads.until_endpoints("a", 0)
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        assert owned_uids(workloads) == uids
        assert workloads.pods("a").keys() == pods

        await workloads.edit_template(domains=None, image="web:2")
        await live.until_phase("Running", "a", "b")
        await live.until(
            lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"),
            "the corrected template has rolled out",
        )
        assert template_resolved(live, "a") == ("True", "TemplateFound")
        assert not live.condition("a", "Stalled")
        assert live.phase_history("a") == [*UP, "Paused", "Running"]
        await live.until(
            lambda: workloads.template_status()["conditions"][0]["reason"] == "TemplateFound",
            "the template is valid again",
        )

    async def test_an_invalid_override_affects_only_its_instance(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create_from(manifest("a", **WEB), manifest("b", **WEB))
        await live.until_phase("Running", "a", "b")
        pods = workloads.pods("a").keys()
        await live.edit("a", overrides={"domains": INVALID_DOMAINS})
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        assert "spec.overrides.domains[web.example.com]" in live.condition("a", "Ready")["message"]
        assert live.is_ready("b")
        assert workloads.template_status()["conditions"][0]["status"] == "True"
        assert workloads.pods("a").keys() == pods
        await live.edit("a", overrides=None)
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert workloads.pods("a").keys() == pods

    async def test_a_stopped_user_of_an_invalid_template_stays_stopped(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.edit_template(domains=INVALID_DOMAINS)
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")
        await live.edit("a", desiredState="Running")
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        assert live.phase("a") == "Stopped"
        await workloads.edit_template(domains=None)
        await live.until_phase("Running", "a")


class TestChangedReference:
    async def test_another_template_is_rolled_out(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE | {"volumes": [{"target": "/data", "size": "2Mi"}]})
        await workloads.create_template("other", image="web:2", volumes=[{"target": "/data", "size": "1Mi"}])
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_template_users("a")
        await live.edit("a", templateRef={"name": "other"})
        await live.until_phase("Running", "a")
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert workloads.container("a")["image"] == "web:2"
        await workloads.until_owned("a", "Deployment", "PersistentVolumeClaim")
        claim = workloads.owned_objects("a")["PersistentVolumeClaim"]
        assert claim["metadata"]["labels"]["app.kubernetes.io/name"] == "other"
        assert claim["spec"]["resources"]["requests"]["storage"] == "2Mi", "a claim cannot shrink"
        await workloads.until_template_users()
        await workloads.until_template_users("a", template="other")
        assert live.status("a")["workloadName"] == "hopper-a"

    async def test_removing_the_template_reference_deletes_the_workload(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await live.edit("a", templateRef=None)
        await workloads.until_owned("a")
        await workloads.until_pods("a", 0)
        await live.until(lambda: live.is_ready("a") and "workloadName" not in live.status("a"), "a has no workload")
        assert not live.condition("a", "TemplateResolved")
        assert live.phase("a") == "Running"

    async def test_adding_a_template_reference_creates_the_workload(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(image="held:1")
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", **WEB)
        await live.until_reason("a", "Ready", "RollingOut")
        await workloads.until_pods("a", 1)
        await workloads.set_pod_behavior("a", "well")
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert live.status("a")["workloadName"] == "hopper-a"


class TestTemplateStatus:
    async def test_the_status_of_a_template_counts_and_names_its_users(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template()
        await workloads.until_template_users()
        ready = workloads.template_status()["conditions"][0]
        assert (ready["type"], ready["status"], ready["observedGeneration"]) == ("Ready", "True", 1)
        names = [f"n-{number:02}" for number in range(22)]
        await live.create_from(*(manifest(name, desiredState="Stopped", **WEB) for name in names))
        await workloads.until_template_users(*names)
        for name in names[2:]:
            await live.delete(name)
        await live.edit("n-01", templateRef=None)
        await workloads.until_template_users("n-00")
        await workloads.edit_template(image="web:2")
        await live.until(lambda: workloads.template_status()["observedGeneration"] == 2, "the template is observed")
        versions = recorded_versions(workloads.recorders["HopperTemplate"], "web")
        assert len(versions) < 12, "far fewer writes than changes of users"


class TestDependsOn:
    async def test_an_instance_starts_after_the_siblings_it_depends_on(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("db", image="held:1")
        await workloads.create_template(dependsOn=["db", "notes"])
        await live.create("shop")
        await live.create("shop-web", "Orchestration", "shop", **WEB)
        waiting = await live.until_reason("shop-web", "Ready", "DependencyNotReady")
        assert waiting["message"] == (
            "waits for db, which does not exist, notes, which does not exist (dependsOn in the template)"
        )
        assert live.phase("shop-web") == "Created"
        # A dependency matches with or without the name of the parent as a prefix.
        await live.create("notes", "Orchestration", "shop")
        await live.create("shop-db", "Orchestration", "shop", templateRef={"name": "db"})
        await workloads.until_pods("shop-db", 1)
        await live.until(
            lambda: (
                live.condition("shop-web", "Ready")["message"]
                == "waits for shop-db, which is Starting (dependsOn in the template)"
            ),
            "shop-web waits only for shop-db",
        )
        assert not workloads.owned_objects("shop-web")
        await workloads.set_pod_behavior("shop-db", "well")
        await live.until_phase("Running", "shop-web")
        assert live.index_of_phase("shop-db", "Running") < live.index_of_phase("shop-web", "Starting")

        await workloads.set_pod_behavior("shop-db", "crash")
        await live.until_phase("Error", "shop-db")
        await live.edit("shop-web", reason="requeued")
        await live.until(
            lambda: live.condition("shop-web", "Ready").get("message") == "requeued", "shop-web is reconciled"
        )
        assert live.phase("shop-web") == "Running"

    async def test_a_root_can_depend_on_another_root(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("db", image="held:1")
        await workloads.create_template(dependsOn=["db"])
        await live.create("web", **WEB)
        await live.until_reason("web", "Ready", "DependencyNotReady")
        await live.create("db", templateRef={"name": "db"})
        await workloads.until_pods("db", 1)
        await workloads.set_pod_behavior("db", "well")
        await live.until_phase("Running", "web")

    async def test_a_stack_starts_in_the_order_of_its_dependencies(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("db")
        await workloads.create_template("api", dependsOn=["db"])
        await workloads.create_template("web", dependsOn=["api", "db"])
        await live.create_from(
            *(manifest(f"s-{name}", "Orchestration", "s", templateRef={"name": name}) for name in ("web", "api", "db")),
            manifest("s"),
        )
        await live.until_phase("Running", "s", "s-web", "s-api", "s-db")
        started = [live.index_of_phase(name, "Running") for name in ("s-db", "s-api", "s-web")]
        assert started == sorted(started)
        await live.edit("s", desiredState="Stopped")
        await live.until_phase("Stopped", "s", "s-web", "s-api", "s-db")
        await live.edit("s", desiredState="Running")
        await live.until_phase("Running", "s", "s-web", "s-api", "s-db")
