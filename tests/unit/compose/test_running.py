"""Users, restarts, replicas, profiles, dependencies, resources, and keys without a counterpart."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.enums import RestartMode, SecurityProfile
from hopper.api.template import ResourceAmounts, Resources
from hopper.compose.services.unsupported import DEPLOY, KEYS
from tests.unit.compose.converting import Project


class TestUser:
    @pytest.mark.parametrize(
        ("text", "user", "profile"),
        [
            ('"1000"', "1000", SecurityProfile.RESTRICTED),
            ("1000", "1000", SecurityProfile.RESTRICTED),
            ('"1000:1000"', "1000:1000", SecurityProfile.RESTRICTED),
            ('"1000:0"', "1000:0", SecurityProfile.RESTRICTED),
            ('"0"', "0", SecurityProfile.BASELINE),
            ("root", "0", SecurityProfile.BASELINE),
            ("root:root", "0:0", SecurityProfile.BASELINE),
            ('"0:1000"', "0:1000", SecurityProfile.BASELINE),
            ("node", None, SecurityProfile.BASELINE),
            ("1000:users", None, SecurityProfile.BASELINE),
            ("${UID}:${GID}", None, SecurityProfile.BASELINE),
        ],
    )
    def test_users(self, project: Project, text: str, user: str | None, profile: SecurityProfile) -> None:
        result = project.app(f"user: {text}")
        assert (result.spec().user, result.spec().security_profile) == (user, profile)
        assert ("user" in result.dropped) is (user is None)
        assert ("securityProfile" in result.notes) is (profile is SecurityProfile.BASELINE)

    def test_without_a_user(self, project: Project) -> None:
        result = project.app("")
        assert result.spec().security_profile is SecurityProfile.BASELINE
        assert [finding.key for finding in result.conversion.findings].count("securityProfile") == 1


class TestRestart:
    @pytest.mark.parametrize(
        ("text", "mode"),
        [
            ("no", RestartMode.NEVER),
            ('"no"', RestartMode.NEVER),
            ("false", RestartMode.NEVER),
            ("always", RestartMode.ALWAYS),
            ("unless-stopped", RestartMode.ALWAYS),
            ("on-failure", RestartMode.ON_FAILURE),
        ],
    )
    def test_modes(self, project: Project, text: str, mode: RestartMode) -> None:
        assert project.app(f"restart: {text}").spec().restart is mode

    def test_without_one_nothing_is_set(self, project: Project) -> None:
        assert project.app("").spec().restart is None

    def test_retries_belong_to_the_instance(self, project: Project) -> None:
        result = project.app("restart: on-failure:3", stack="s")
        assert result.manifest("HopperInstance", "s-app")["spec"]["restartPolicy"] == {
            "policy": "OnFailure",
            "maxRetries": 3,
        }
        assert "belong to an instance" in project.app("restart: on-failure:3").dropped["restart"].message

    def test_the_policy_of_swarm(self, project: Project) -> None:
        text = "deploy: {restart_policy: {condition: on-failure, delay: 400s, max_attempts: 2, window: 5s}}"
        result = project.app(text, stack="s")
        assert result.spec().restart is RestartMode.ON_FAILURE
        assert result.manifest("HopperInstance", "s-app")["spec"]["restartPolicy"] == {
            "policy": "OnFailure",
            "maxRetries": 2,
            "backoffSeconds": 400,
            "maxBackoffSeconds": 400,
        }
        assert "deploy.restart_policy.window" in result.dropped

    def test_what_is_refused(self, project: Project) -> None:
        assert project.app("restart: ''").spec().restart is None
        assert "no restart policy" in project.app_problems("restart: sometimes")[0]
        assert "no whole number" in project.app_problems("restart: on-failure:x")[0]


class TestInstances:
    @pytest.mark.parametrize(
        "text", ["scale: 3", 'scale: "3"', "deploy: {replicas: 3}", "scale: 1\ndeploy: {replicas: 3}"]
    )
    def test_replicas(self, project: Project, text: str) -> None:
        assert project.app(text, stack="s").manifest("HopperInstance", "s-app")["spec"]["replicas"] == 3
        assert any("number of pods" in finding.message for finding in project.app(text).dropped.values())

    def test_profiles_are_started_on_demand(self, project: Project) -> None:
        result = project.app("profiles: [debug]", stack="s")
        assert result.manifest("HopperInstance", "s-app")["spec"]["desiredState"] == "Stopped"
        assert "profiles" in result.changed
        assert "profiles" in project.app("profiles: [debug]").dropped

    def test_a_stack(self, project: Project) -> None:
        result = project.convert("services: {web_app: {image: a}, db: {image: b}}", stack="shop")
        assert [(one["kind"], one["metadata"]["name"]) for one in result.conversion.manifests()] == [
            ("HopperTemplate", "web-app"),
            ("HopperTemplate", "db"),
            ("HopperInstance", "shop"),
            ("HopperInstance", "shop-web-app"),
            ("HopperInstance", "shop-db"),
        ]
        assert result.manifest("HopperInstance", "shop")["spec"] == {"scope": "Project"}
        assert result.manifest("HopperInstance", "shop-db")["spec"] == {
            "scope": "Orchestration",
            "parentRef": {"name": "shop"},
            "templateRef": {"name": "db"},
        }
        assert "called web-app" in result.notes[""].message

    def test_names_fit_below_the_stack(self, project: Project) -> None:
        result = project.convert(f"services: {{{'a' * 80}: {{image: a}}, {'a' * 81}: {{image: a}}}}", stack="s" * 40)
        names = [one["metadata"]["name"] for one in result.conversion.manifests()]
        assert len(set(names)) == len(names) == 5
        assert max(map(len, names)) <= 63

    @pytest.mark.parametrize("name", ["Shop", "global", "a_b", "-a", "", "s" * 41, "a.b"])
    def test_names_that_no_stack_can_have(self, project: Project, name: str) -> None:
        (problem,) = project.problems("services: {a: {image: a}}", stack=name)
        assert "a stack cannot be called" in problem


class TestDependencies:
    def test_lists_and_mappings(self, project: Project) -> None:
        services = "  b_b: {image: a}\n  c: {image: a}\n"
        assert project.convert(
            f"services:\n  app: {{image: a, depends_on: [b_b, c]}}\n{services}"
        ).spec().depends_on == (
            "b-b",
            "c",
        )
        text = """{b_b: {condition: service_healthy, restart: true}, c: {condition: service_started},
            d: {required: false, condition: service_started}}"""
        result = project.convert(f"services:\n  app: {{image: a, depends_on: {text}}}\n{services}")
        assert result.spec().depends_on == ("b-b", "c")
        assert {"depends_on.b_b.restart"} == {key for key in result.dropped if key.startswith("depends_on")}
        assert "depends_on.d" in result.notes

    def test_those_that_are_not_imported_are_waited_for(self, project: Project) -> None:
        result = project.app("depends_on: [elsewhere]")
        assert result.spec().depends_on == ("elsewhere",)
        assert "waits for elsewhere" in result.notes["depends_on.elsewhere"].message

    def test_those_that_are_not_required_and_begin_stopped_are_not_waited_for(self, project: Project) -> None:
        text = """
            services:
              app:
                image: a
                depends_on:
                  debug: {condition: service_started, required: false}
                  db: {condition: service_started}
              debug: {image: a, profiles: [debug]}
              db: {image: a, profiles: [full]}
            """
        result = project.convert(text, stack="s")
        assert result.spec().depends_on == ("db",)
        assert "begins Stopped" in result.notes["depends_on.debug"].message
        project.write(".env", "COMPOSE_PROFILES=other, debug\n")
        result = project.convert(text, stack="s")
        assert result.spec().depends_on == ("debug", "db")
        states = {
            name: result.manifest("HopperInstance", f"s-{name}")["spec"].get("desiredState") for name in ("debug", "db")
        }
        assert states == {"debug": None, "db": "Stopped"}

    def test_those_that_are_left_out_are_not_waited_for(self, project: Project) -> None:
        result = project.convert("services: {app: {image: a, depends_on: [db]}, db: {provider: {type: cloud}}}")
        assert result.spec().depends_on is None
        assert "left out" in result.dropped["depends_on.db"].message

    def test_what_never_completes_is_not_waited_for(self, project: Project) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, depends_on: {init: {condition: service_completed_successfully}}}
              init: {image: a}
            """
        )
        assert result.spec().depends_on is None
        (told,) = (one for one in result.conversion.findings if (one.service, one.key) == ("init", "restart"))
        assert "started again whenever it ends" in told.message
        assert (
            "never completed" in result.dropped["depends_on.init"].message
            or "completed" in result.dropped["depends_on.init"].message
        )

    def test_links_keep_the_order(self, project: Project) -> None:
        result = project.convert("services: {app: {image: a, links: ['db:database', db]}, db: {image: postgres}}")
        assert result.spec().depends_on == ("db",)
        assert "links" in result.dropped

    def test_circles_are_opened(self, project: Project) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, depends_on: [b, app]}
              b: {image: a, depends_on: [c], expose: [1]}
              c: {image: a, depends_on: [app], expose: [1]}
            """
        )
        assert [result.spec(name).depends_on for name in ("app", "b", "c")] == [("b",), ("c",), None]
        assert "closes a circle" in result.dropped["depends_on.app"].message

    def test_nobody_waits_for_itself(self, project: Project) -> None:
        result = project.convert("services: {app: {image: a, depends_on: [app]}}")
        assert result.spec().depends_on is None
        assert "closes a circle" in result.dropped["depends_on.app"].message


class TestResources:
    @pytest.mark.parametrize(
        ("text", "requests", "limits"),
        [
            ("mem_limit: 512m", None, {"memory": "512Mi"}),
            ("mem_limit: 1g\nmem_reservation: 300M\ncpus: 1.5", {"memory": "300Mi"}, {"cpu": "1500m", "memory": "1Gi"}),
            ("mem_limit: 512Mi", None, {"memory": "512Mi"}),
            ("mem_limit: 1000000000", None, {"memory": "1000000000"}),
            ("cpus: '2'", None, {"cpu": "2"}),
            ("cpus: 0.0001", None, {"cpu": "1m"}),
            ("cpu_quota: 50000", None, {"cpu": "500m"}),
            ("cpu_quota: 25000\ncpu_period: 50000", None, {"cpu": "500m"}),
            ("deploy: {resources: {limits: {cpus: '0.50', memory: 50M}}}", None, {"cpu": "500m", "memory": "50Mi"}),
            (
                "deploy: {resources: {reservations: {cpus: 0.25, memory: 20kb}}}",
                {"cpu": "250m", "memory": "20Ki"},
                None,
            ),
            ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}", None, {"memory": "2Gi"}),
            ("mem_limit: 0\ncpus: 0", None, None),
        ],
    )
    def test_amounts(self, project: Project, text: str, requests: Any, limits: Any) -> None:
        expected = Resources(
            requests=ResourceAmounts(**requests) if requests else None,
            limits=ResourceAmounts(**limits) if limits else None,
        )
        assert project.app(text).spec().resources == (expected if requests or limits else None)

    def test_requests_do_not_exceed_limits(self, project: Project) -> None:
        result = project.app(
            "deploy: {resources: {limits: {memory: 1g, cpus: 1}, reservations: {memory: 2g, cpus: 2}}}"
        )
        assert result.spec().resources == Resources(
            requests=ResourceAmounts(cpu="1", memory="1Gi"), limits=ResourceAmounts(cpu="1", memory="1Gi")
        )
        assert len(result.changed) == 2

    def test_the_rest_is_reported(self, project: Project) -> None:
        text = "deploy: {resources: {limits: {pids: 5, x: 1}, reservations: {devices: [{capabilities: [gpu]}]}, y: 1}}"
        below = "deploy.resources."
        assert {f"{below}limits.pids", f"{below}limits.x", f"{below}reservations.devices", f"{below}y"} == project.app(
            text
        ).dropped.keys()

    @pytest.mark.parametrize(
        "text", ["mem_limit: much", "cpus: many", "cpus: -1", "cpus: 1e99", "mem_limit: 99999999t"]
    )
    def test_what_is_refused(self, project: Project, text: str) -> None:
        assert f"service app: {text.split(':')[0]}: this is no" in project.app_problems(text)[0]


# Values that fit the schema; of all other keys, a text does.
VALUES = {
    **dict.fromkeys(("cap_drop", "device_cgroup_rules", "devices", "dns_opt", "external_links", "group_add"), "[a]"),
    **dict.fromkeys(("models", "networks", "security_opt", "volumes_from"), "[a]"),
    **dict.fromkeys(("annotations", "extra_hosts", "storage_opt", "sysctls"), "{a: b}"),
    **dict.fromkeys(("post_start", "pre_start", "pre_stop"), "[{command: a}]"),
    **dict.fromkeys(("cpu_count", "cpu_percent", "oom_score_adj"), "5"),
    "blkio_config": "{weight: 5}",
    "cgroup": "host",
    "credential_spec": "{file: a}",
    "develop": "{watch: []}",
    "gpus": "all",
    "logging": "{driver: none}",
    "provider": "{type: x}",
    "pull_policy": "always",
    "ulimits": "{nofile: 5}",
    "use_api_socket": "true",
}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_keys_without_a_counterpart_say_what_to_do(project: Project, key: str) -> None:
    finding = project.app(f"{key}: {VALUES.get(key, 'x1')}").dropped[key]
    assert finding.message
    assert finding.advice


@pytest.mark.parametrize("key", ["privileged", "tty", "init", "read_only", "stdin_open"])
def test_what_is_off_is_no_loss(project: Project, key: str) -> None:
    result = project.app(f"{key}: false")
    assert not result.dropped
    assert key in result.notes


def test_the_rest_of_deploy(project: Project) -> None:
    text = """
        deploy:
          mode: global
          endpoint_mode: vip
          placement: {constraints: [a]}
          update_config: {order: stop-first}
          rollback_config: {order: stop-first}
          x: 1
        """
    assert project.app(text).dropped.keys() == {f"deploy.{key}" for key in ("mode", "x", *DEPLOY)}
    assert "deploy.mode" in project.app("deploy: {mode: replicated}").notes


def test_capabilities(project: Project) -> None:
    result = project.app("cap_add: [NET_ADMIN, CAP_CHOWN]")
    assert "NET_ADMIN" in result.dropped["cap_add"].message
    assert "CHOWN" in result.notes["cap_add"].message


def test_networks_that_instances_have_anyway(project: Project) -> None:
    assert not project.app("network_mode: bridge").dropped
    assert "network_mode" in project.app("network_mode: host").dropped


@pytest.mark.parametrize(("text", "path"), [("/app", "/app"), ("/app/", "/app/"), ("app", None), ("${X}", None)])
def test_working_directory(project: Project, text: str, path: str | None) -> None:
    assert project.app(f"working_dir: {text}").spec().working_dir == path


def test_services_that_are_no_containers_are_left_out(project: Project) -> None:
    result = project.convert("services: {app: {image: a}, model: {provider: {type: model}}}")
    assert [one.service for one in result.conversion.services] == ["app"]
    assert "left out" in result.dropped["provider"].message


def test_images_that_are_built(project: Project) -> None:
    result = project.app("build: .")
    assert result.spec().image == "shop-app:latest"
    assert "build" in result.dropped
    assert "image" in result.changed
    assert project.convert("name: Other\nservices: {Web: {build: .}}").spec("Web").image == "other-web:latest"
