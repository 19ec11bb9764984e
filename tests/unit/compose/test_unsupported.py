"""Keys that a template cannot express."""

from __future__ import annotations

import pytest

from hopper.compose.services.unsupported import DEPLOY_KEYS, KEYS
from tests.unit.compose.compose_directory import ComposeDirectory

# Values that the schema accepts. All keys that are missing here accept a text.
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
def test_unsupported_keys_have_advice(project: ComposeDirectory, key: str) -> None:
    finding = project.app(f"{key}: {VALUES.get(key, 'x1')}").dropped[key]
    assert finding.message
    assert finding.advice


@pytest.mark.parametrize("key", ["privileged", "tty", "init", "read_only", "stdin_open"])
def test_a_value_that_is_off_is_only_noted(project: ComposeDirectory, key: str) -> None:
    result = project.app(f"{key}: false")
    assert not result.dropped
    assert key in result.notes


def test_unsupported_keys_of_deploy_are_reported(project: ComposeDirectory) -> None:
    text = """
        deploy:
          mode: global
          endpoint_mode: vip
          placement: {constraints: [a]}
          update_config: {order: stop-first}
          rollback_config: {order: stop-first}
          x: 1
        """
    assert project.app(text).dropped.keys() == {f"deploy.{key}" for key in ("mode", "x", *DEPLOY_KEYS)}
    assert "deploy.mode" in project.app("deploy: {mode: replicated}").notes


def test_only_additional_capabilities_are_lost(project: ComposeDirectory) -> None:
    result = project.app("cap_add: [NET_ADMIN, CAP_CHOWN]")
    assert "NET_ADMIN" in result.dropped["cap_add"].message
    assert "CHOWN" in result.notes["cap_add"].message


def test_the_default_network_mode_is_not_lost(project: ComposeDirectory) -> None:
    assert not project.app("network_mode: bridge").dropped
    assert "network_mode" in project.app("network_mode: host").dropped
