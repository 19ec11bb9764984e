"""Templates that come late, change, go away or are wrong, and what becomes of the instances that use them."""

from __future__ import annotations

import pytest

from hopper.api.names import ANNOTATION_REVISION
from hopper.controller.operator import Operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.watch_recorder import recorded_versions
from tests.cluster.support.workloads import FULL_SERVICE, STATELESS_SERVICE, Workloads

WEB = {"templateRef": {"name": "web"}}
PORTS = [{"containerPort": 80}]
# Accepted by the API server, which does not see that it leads nowhere.
NOWHERE = [{"domain": "web.example.com", "proxyPort": 81}]
UP = ["Created", "Starting", "Running"]


def revision(workloads: Workloads, name: str) -> str:
    found: str = workloads.deployment(name)["metadata"]["annotations"][ANNOTATION_REVISION]
    return found


def resolved(live: LiveInstances, name: str) -> tuple[str, str]:
    condition = live.condition(name, "TemplateResolved")
    return condition["status"], condition["reason"]


class TestLate:
    async def test_an_instance_waits_for_its_template(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await live.create("a", **WEB)
        held = await live.until_reason("a", "Ready", "TemplateNotFound")
        assert 'spec.templateRef.name: template "web" does not exist' in held["message"]
        assert live.phase("a") == "Created"
        assert resolved(live, "a") == ("False", "TemplateNotFound")
        assert live.condition("a", "Reconciling")["status"] == "True"
        await workloads.create_template()
        await live.until_phase("Running", "a")
        assert live.is_ready("a")
        assert resolved(live, "a") == ("True", "TemplateFound")
        assert live.phase_history("a") == UP

    async def test_the_order_of_one_apply_does_not_matter(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await live.create("a", **WEB)
        await workloads.create_template()
        await live.until_phase("Running", "a")
        told = [it.get("status", {}).get("conditions", []) for it in recorded_versions(live.instances, "a")]
        assert not [it for conditions in told for it in conditions if it["reason"] == "TemplateNotFound"]


class TestChanged:
    async def test_rolls_its_users_out(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_template(ports=PORTS, env=[{"name": "LEVEL", "value": "1"}])
        own = {"overrides": {"env": [{"name": "LEVEL", "value": "9"}]}}
        await live.create_from(manifest("a", **WEB), manifest("b", **WEB), manifest("own", **WEB, **own))
        await live.until_phase("Running", "a", "b", "own")
        before = {name: (revision(workloads, name), workloads.pods(name).keys()) for name in ("a", "b", "own")}
        await workloads.edit_template(env=[{"name": "LEVEL", "value": "2"}])
        for name in ("a", "b"):
            await live.until(
                lambda name=name: live.status(name)["templateGeneration"] == 2 and live.is_ready(name), f"{name} new"
            )
            assert revision(workloads, name) != before[name][0]
            assert workloads.container(name)["env"] == [{"name": "LEVEL", "value": "2"}]
            await workloads.until_pods(name, 1)
            assert not workloads.pods(name).keys() & before[name][1]
            assert live.phase_history(name) == UP
            assert live.status(name)["restarts"] == 0
        await live.until(lambda: live.status("own")["templateGeneration"] == 2, "the third one has seen it")
        assert (revision(workloads, "own"), workloads.pods("own").keys()) == before["own"]

    async def test_says_while_it_rolls_out(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_instance("a", replicas=2)
        await live.until_phase("Running", "a")
        await workloads.edit_template("a", image="held:1")
        await live.until_reason("a", "Ready", "RollingOut")
        assert live.phase("a") == "Running"
        assert live.status("a")["templateGeneration"] == 1
        assert live.condition("a", "Reconciling")["reason"] == "RollingOut"
        await live.until(lambda: len(workloads.pod_uids_ever("a")) > 2, "a new pod")
        await workloads.edit_template("a", image="web:2")
        await live.until(lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"), "rolled out")
        assert live.phase_history("a") == UP

    async def test_a_bad_one_takes_nothing_down(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        before = workloads.ready_endpoints("a")
        await workloads.edit_template(image="crash:1")
        await live.until(lambda: len(workloads.pods("a")) == 2, "a new pod next to the old one")
        await live.until_reason("a", "Ready", "RollingOut")
        await live.create("b", **WEB, restartPolicy={"policy": "Never"})
        await live.until_phase("Error", "b")
        assert live.phase("a") == "Running"
        assert workloads.ready_endpoints("a") == before
        assert live.status("a")["templateGeneration"] == 1
        await workloads.edit_template(image="web:2")
        await live.until_phase("Running", "b")
        await live.until(lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"), "rolled out")
        assert live.phase_history("a") == UP

    async def test_reaches_who_is_held_without_waking_anybody(
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
            await live.until(lambda name=name: workloads.container(name)["image"] == "web:2", f"{name} has it")
        await live.until(lambda: live.status("paused")["templateGeneration"] == 2, "rolled out")
        assert len(workloads.pod_uids_ever("paused")) == 2
        assert not workloads.pod_uids_ever("stopped")
        assert not workloads.endpoints_ever("paused")
        assert live.phase_history("paused") == [*UP, "Paused"]
        await live.until(lambda: live.is_ready("stopped"), "ready")


class TestDeleted:
    async def test_what_runs_is_kept_and_still_obeys(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        pods, owned = (
            workloads.pods("a").keys(),
            {it["metadata"]["uid"] for it in workloads.owned_objects("a").values()},
        )
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
        assert {it["metadata"]["uid"] for it in workloads.owned_objects("a").values()} == owned
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
    async def test_an_end_needs_no_template(
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

    async def test_a_failing_instance_can_be_stopped(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_instance("a", "crash:1")
        await live.until_phase("Error", "a")
        await workloads.delete_template("a")
        await live.until_reason("a", "TemplateResolved", "TemplateNotFound")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")


class TestWrong:
    async def test_is_named_while_the_last_good_one_runs_on(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        before = {
            it["metadata"]["uid"]: it["metadata"]["resourceVersion"] for it in workloads.owned_objects("a").values()
        }
        pods = workloads.pods("a").keys()
        await workloads.edit_template(domains=NOWHERE)
        await live.until_reason("a", "Ready", "ServiceInvalid")
        told = "template: spec.domains[web.example.com].proxyPort: is 81, which is no TCP port of the container"
        assert told in live.condition("a", "Ready")["message"]
        assert resolved(live, "a") == ("False", "ServiceInvalid")
        assert live.condition("a", "Stalled")["reason"] == "ServiceInvalid"
        assert (live.phase("a"), live.status("a")["templateGeneration"]) == ("Running", 1)
        await live.create("b", **WEB)
        await live.until_reason("b", "Stalled", "ServiceInvalid")
        assert live.phase("b") == "Created"
        assert not workloads.owned_objects("b")
        await live.until(
            lambda: workloads.template_status()["conditions"][0]["reason"] == "ServiceInvalid", "the template says so"
        )
        assert workloads.template_status()["conditions"][0]["status"] == "False"

        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await workloads.until_endpoints("a", 0)
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "a")
        await workloads.until_endpoints("a", 1)
        assert before.keys() == {it["metadata"]["uid"] for it in workloads.owned_objects("a").values()}
        assert workloads.pods("a").keys() == pods

        await workloads.edit_template(domains=None, image="web:2")
        await live.until_phase("Running", "a", "b")
        await live.until(lambda: live.status("a")["templateGeneration"] == 3 and live.is_ready("a"), "back to good")
        assert resolved(live, "a") == ("True", "TemplateFound")
        assert not live.condition("a", "Stalled")
        assert live.phase_history("a") == [*UP, "Paused", "Running"]
        await live.until(
            lambda: workloads.template_status()["conditions"][0]["reason"] == "TemplateFound", "good again"
        )

    async def test_wrong_for_one_user_only(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """An override of one instance does no harm to the others, and the template is not to blame."""
        await workloads.create_template(ports=PORTS)
        await live.create_from(manifest("a", **WEB), manifest("b", **WEB))
        await live.until_phase("Running", "a", "b")
        pods = workloads.pods("a").keys()
        await live.edit("a", overrides={"domains": NOWHERE})
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        assert "spec.overrides.domains[web.example.com]" in live.condition("a", "Ready")["message"]
        assert live.is_ready("b")
        assert workloads.template_status()["conditions"][0]["status"] == "True"
        assert workloads.pods("a").keys() == pods
        await live.edit("a", overrides=None)
        await live.until(lambda: live.is_ready("a"), "ready again")
        assert workloads.pods("a").keys() == pods

    async def test_a_stopped_user_stays_stopped(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=PORTS)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.edit_template(domains=NOWHERE)
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert not workloads.pods("a")
        await live.edit("a", desiredState="Running")
        await live.until_reason("a", "Stalled", "ServiceInvalid")
        assert live.phase("a") == "Stopped"
        await workloads.edit_template(domains=None)
        await live.until_phase("Running", "a")


class TestExchanged:
    async def test_another_template_rolls_out(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE | {"volumes": [{"target": "/data", "size": "2Mi"}]})
        await workloads.create_template("other", image="web:2", volumes=[{"target": "/data", "size": "1Mi"}])
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await workloads.until_template_users("a")
        await live.edit("a", templateRef={"name": "other"})
        await live.until_phase("Running", "a")
        await live.until(lambda: live.is_ready("a"), "ready")
        assert workloads.container("a")["image"] == "web:2"
        await workloads.until_owned("a", "Deployment", "PersistentVolumeClaim")
        claim = workloads.owned_objects("a")["PersistentVolumeClaim"]
        assert claim["metadata"]["labels"]["app.kubernetes.io/name"] == "other"
        assert claim["spec"]["resources"]["requests"]["storage"] == "2Mi", "no claim can shrink"
        await workloads.until_template_users()
        await workloads.until_template_users("a", template="other")
        assert live.status("a")["workloadName"] == "hopper-a"

    async def test_without_a_template_nothing_runs_any_more(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("a", **WEB)
        await live.until_phase("Running", "a")
        await live.edit("a", templateRef=None)
        await workloads.until_owned("a")
        await workloads.until_pods("a", 0)
        await live.until(lambda: live.is_ready("a") and "workloadName" not in live.status("a"), "a logical instance")
        assert not live.condition("a", "TemplateResolved")
        assert live.phase("a") == "Running"

    async def test_a_logical_instance_gets_a_template(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(image="held:1")
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", **WEB)
        await live.until_reason("a", "Ready", "RollingOut")
        await workloads.until_pods("a", 1)
        await workloads.set_pod_behavior("a", "well")
        await live.until(lambda: live.is_ready("a"), "ready")
        assert live.status("a")["workloadName"] == "hopper-a"


class TestStatus:
    async def test_counts_and_names_its_users(
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
        await live.until(lambda: workloads.template_status()["observedGeneration"] == 2, "observed")
        versions = recorded_versions(workloads.recorders["HopperTemplate"], "web")
        assert len(versions) < 12, "many users, few writes"


class TestDependsOn:
    async def test_waits_for_its_siblings_and_goes_on_by_itself(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("db", image="held:1")
        await workloads.create_template(dependsOn=["db", "notes"])
        await live.create("shop")
        await live.create("shop-web", "Orchestration", "shop", **WEB)
        held = await live.until_reason("shop-web", "Ready", "DependencyNotReady")
        assert held["message"] == (
            "waits for db, which does not exist, notes, which does not exist (dependsOn in the template)"
        )
        assert live.phase("shop-web") == "Created"
        await live.create("notes", "Orchestration", "shop")  # the plain name will do
        await live.create("shop-db", "Orchestration", "shop", templateRef={"name": "db"})
        await workloads.until_pods("shop-db", 1)
        await live.until(
            lambda: (
                live.condition("shop-web", "Ready")["message"]
                == "waits for shop-db, which is Starting (dependsOn in the template)"
            ),
            "only the database is waited for",
        )
        assert not workloads.owned_objects("shop-web")
        await workloads.set_pod_behavior("shop-db", "well")
        await live.until_phase("Running", "shop-web")
        assert live.index_of_phase("shop-db", "Running") < live.index_of_phase("shop-web", "Starting")

        await workloads.set_pod_behavior("shop-db", "crash")
        await live.until_phase("Error", "shop-db")
        await live.edit("shop-web", reason="look again")
        await live.until(lambda: live.condition("shop-web", "Ready").get("message") == "look again", "was looked at")
        assert live.phase("shop-web") == "Running"

    async def test_roots_depend_on_each_other_too(
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

    async def test_a_stack_starts_in_its_own_order(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template("db")
        await workloads.create_template("api", dependsOn=["db"])
        await workloads.create_template("web", dependsOn=["api", "db"])
        await live.create_from(
            *(manifest(f"s-{it}", "Orchestration", "s", templateRef={"name": it}) for it in ("web", "api", "db")),
            manifest("s"),
        )
        await live.until_phase("Running", "s", "s-web", "s-api", "s-db")
        moments = [live.index_of_phase(name, "Running") for name in ("s-db", "s-api", "s-web")]
        assert moments == sorted(moments)
        await live.edit("s", desiredState="Stopped")
        await live.until_phase("Stopped", "s", "s-web", "s-api", "s-db")
        await live.edit("s", desiredState="Running")
        await live.until_phase("Running", "s", "s-web", "s-api", "s-db")
