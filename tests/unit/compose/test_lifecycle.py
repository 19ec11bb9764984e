"""Conversion of restart settings, replicas and profiles, and the instances of a stack."""

from __future__ import annotations

import pytest

from hopper.api.enums import RestartMode
from tests.unit.compose.compose_directory import ComposeDirectory


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
    def test_restart_modes_are_converted(self, project: ComposeDirectory, text: str, mode: RestartMode) -> None:
        assert project.app(f"restart: {text}").spec().restart is mode

    def test_without_restart_the_template_sets_no_mode(self, project: ComposeDirectory) -> None:
        assert project.app("").spec().restart is None

    def test_retries_are_settings_of_the_instance(self, project: ComposeDirectory) -> None:
        result = project.app("restart: on-failure:3", stack="s")
        assert result.manifest("HopperInstance", "s-app")["spec"]["restartPolicy"] == {
            "policy": "OnFailure",
            "maxRetries": 3,
        }
        assert "settings of an instance" in project.app("restart: on-failure:3").dropped["restart"].message

    def test_the_restart_policy_of_deploy_is_converted(self, project: ComposeDirectory) -> None:
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

    def test_invalid_restart_settings_are_problems(self, project: ComposeDirectory) -> None:
        assert project.app("restart: ''").spec().restart is None
        assert "not a restart policy" in project.app_problems("restart: sometimes")[0]
        assert "not a whole number" in project.app_problems("restart: on-failure:x")[0]


class TestInstances:
    @pytest.mark.parametrize(
        "text", ["scale: 3", 'scale: "3"', "deploy: {replicas: 3}", "scale: 1\ndeploy: {replicas: 3}"]
    )
    def test_replicas_are_a_setting_of_the_instance(self, project: ComposeDirectory, text: str) -> None:
        assert project.app(text, stack="s").manifest("HopperInstance", "s-app")["spec"]["replicas"] == 3
        assert any("number of pods" in finding.message for finding in project.app(text).dropped.values())

    def test_services_with_profiles_start_stopped(self, project: ComposeDirectory) -> None:
        result = project.app("profiles: [debug]", stack="s")
        assert result.manifest("HopperInstance", "s-app")["spec"]["desiredState"] == "Stopped"
        assert "profiles" in result.changed
        assert "profiles" in project.app("profiles: [debug]").dropped

    def test_a_stack_has_a_project_and_an_instance_per_service(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {web_app: {image: a}, db: {image: b}}", stack="shop")
        assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in result.conversion.manifests()] == [
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
        assert "named web-app" in result.notes[""].message

    def test_instance_names_are_limited_to_63_characters(self, project: ComposeDirectory) -> None:
        result = project.convert(f"services: {{{'a' * 80}: {{image: a}}, {'a' * 81}: {{image: a}}}}", stack="s" * 40)
        names = [manifest["metadata"]["name"] for manifest in result.conversion.manifests()]
        assert len(set(names)) == len(names) == 5
        assert max(map(len, names)) <= 63

    @pytest.mark.parametrize("name", ["Shop", "global", "a_b", "-a", "", "s" * 41, "a.b"])
    def test_invalid_stack_names_are_problems(self, project: ComposeDirectory, name: str) -> None:
        (problem,) = project.problems("services: {a: {image: a}}", stack=name)
        assert "invalid stack name" in problem
