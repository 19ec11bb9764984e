"""Access of the operator to the API server: rights of its service account, credentials in a pod, and proxies."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.aio.config import incluster_config

from hopper.adapters import connection
from hopper.adapters.connection import NoClusterError, check_credentials, connect
from hopper.api.resources import INSTANCES, OWNED_RESOURCES, PODS, TEMPLATES, Manifest
from hopper.local import Cluster
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.rights import READ_VERBS, create_service_account, replace_role


def operator_rules(*, with_events: bool = True) -> list[Manifest]:
    """Return the rules of a role with just the rights that the operator needs in one namespace."""
    watched = (TEMPLATES, PODS, *OWNED_RESOURCES.values())
    rules = [
        {"apiGroups": [INSTANCES.group], "resources": [INSTANCES.plural], "verbs": [*READ_VERBS, "patch", "delete"]},
        {"apiGroups": [INSTANCES.group], "resources": [f"{INSTANCES.plural}/status"], "verbs": ["patch"]},
        *({"apiGroups": [kind.group], "resources": [kind.plural], "verbs": READ_VERBS} for kind in watched),
    ]
    if with_events:
        rules.append({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]})
    return rules


async def admin_config(cluster: Cluster) -> Manifest:
    """Return the kubeconfig of the cluster."""
    arguments = ("config", "view", "--raw", "--minify", "--flatten", "--output=json")
    config: Manifest = json.loads(await asyncio.to_thread(cluster.kubectl, *arguments))
    return config


def use_token(config: dict[str, Any], token: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a kubeconfig with this token instead of the user's credentials, and set KUBECONFIG to its path."""
    config["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


class TestServiceAccount:
    async def test_with_the_least_rights_can_run_the_operator(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await create_service_account(live, operator_rules())
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running_operator(live.namespace):
            await live.create_from(manifest("a"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")
            await live.until_event("b", "Running")
            await live.edit("a", desiredState="Paused")
            await live.until_phase("Paused", "a", "b")
            await live.delete("a")
            await live.until_gone("a", "b")

    async def test_without_the_right_to_create_events_drops_events(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await create_service_account(live, operator_rules(with_events=False))
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running_operator(live.namespace) as operator:
            await live.create("a")
            await live.until_phase("Running", "a")
            await live.edit("a", desiredState="Stopped")
            await live.until_phase("Stopped", "a")

            def dropped_events() -> float:
                return PrometheusSamples(operator.metrics.render().decode()).total("hopper_events_dropped_total")

            await live.until(lambda: dropped_events() == 4, "four dropped Events")
        assert not live.events.objects

    async def test_without_the_right_to_write_logs_it_and_recovers(
        self,
        cluster: Cluster,
        live: LiveInstances,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        read_only = [{**rule, "verbs": READ_VERBS} for rule in operator_rules()]
        token = await create_service_account(live, read_only)
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running_operator(live.namespace):
            await live.create("a")
            missing_right = 'cannot patch resource "hopperinstances/status"'
            await live.until(lambda: missing_right in caplog.text, f"log line with {missing_right}")
            await replace_role(live, operator_rules())
            await live.until_phase("Running", "a")


class TestInPod:
    @pytest.fixture
    async def mounted(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """Directory with the files of a mounted service account; the environment variables of a pod are set."""
        config = await admin_config(cluster)
        (tmp_path / "token").write_text(await create_service_account(live, operator_rules()))
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        (tmp_path / "ca.crt").write_bytes(authority)
        (tmp_path / "namespace").write_text(f"{live.namespace}\n")
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        monkeypatch.delenv("KUBECONFIG")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname or "")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
        monkeypatch.setattr(connection, "SERVICE_ACCOUNT_NAMESPACE_FILE", tmp_path / "namespace")
        return tmp_path

    async def test_operator_uses_the_service_account(self, live: LiveInstances, mounted: Path) -> None:
        link = await connect()
        assert link.namespace == live.namespace
        credentials = await link.credentials()
        assert credentials.token == (mounted / "token").read_text()
        assert credentials.certificate_path is None
        async with running_operator(link.namespace):
            await live.create_from(manifest("a"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")

    async def test_rotated_token_is_read_again(self, mounted: Path) -> None:
        """The kubelet replaces the mounted token before it expires."""
        link = await connect()
        (mounted / "token").write_text("another")
        loader = link.configuration.refresh_api_key_hook.__closure__[0].cell_contents
        loader.token_expires_at = loader.token_expires_at.min
        assert (await link.credentials()).token == "another"
        with pytest.raises(NoClusterError, match="does not accept the credentials"):
            await check_credentials(link)

    async def test_missing_token_is_reported(self, mounted: Path) -> None:
        (mounted / "token").unlink()
        with pytest.raises(NoClusterError, match="token file does not exist"):
            await connect()


async def test_proxy_is_taken_from_the_environment(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "example.org")
    link = await connect()
    assert link.configuration.proxy == "http://proxy.example.com:3128"
    assert (await link.credentials()).proxy == "http://proxy.example.com:3128"
    host = urlsplit(link.configuration.host).hostname
    monkeypatch.setenv("no_proxy", f"example.org,{host}")
    assert (await connect()).configuration.proxy is None
