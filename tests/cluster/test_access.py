"""Ways to the API server and rights there: a service account, in a pod or outside, that may do what is needed."""

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
from hopper.api.resources import INSTANCES, OWNED_RESOURCES, PODS, TEMPLATES
from hopper.local import Cluster
from tests.cluster.support.in_process_operator import running
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.rights import until_allowed

RBAC = "/apis/rbac.authorization.k8s.io/v1"
LOOK = ["get", "list", "watch"]


def rules(*, events: bool = True) -> list[dict[str, Any]]:
    """What the operator needs to serve one namespace."""
    needed = [
        {"apiGroups": [INSTANCES.group], "resources": [INSTANCES.plural], "verbs": [*LOOK, "patch", "delete"]},
        {"apiGroups": [INSTANCES.group], "resources": [f"{INSTANCES.plural}/status"], "verbs": ["patch"]},
        {"apiGroups": [TEMPLATES.group], "resources": [TEMPLATES.plural], "verbs": LOOK},
        {"apiGroups": [PODS.group], "resources": [PODS.plural], "verbs": LOOK},
        *({"apiGroups": [it.group], "resources": [it.plural], "verbs": LOOK} for it in OWNED_RESOURCES.values()),
    ]
    told = [{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]}]
    return needed + told * events


async def service_account(live: LiveInstances, granted: list[dict[str, Any]]) -> str:
    """Make a service account with these rights in the namespace; return a token of it."""
    namespace = live.namespace
    accounts, name = f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "operator"}}
    await live.request("POST", accounts, name)
    await live.request("POST", f"{RBAC}/namespaces/{namespace}/roles", name | {"rules": granted})
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
    }
    await live.request("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", name | binding)
    rule, user = granted[0], f"system:serviceaccount:{namespace}:operator"
    await until_allowed(live, user, rule["verbs"][0], rule["apiGroups"][0], rule["resources"][0], namespace)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = (await live.request("POST", f"{accounts}/operator/token", asked))["status"]["token"]
    return token


async def admin_config(cluster: Cluster) -> dict[str, Any]:
    told = await asyncio.to_thread(cluster.kubectl, "config", "view", "--raw", "--minify", "--flatten", "--output=json")
    found: dict[str, Any] = json.loads(told)
    return found


def use_token(config: dict[str, Any], token: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have KUBECONFIG name a file like the given one, with this token."""
    config["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


class TestServiceAccount:
    async def test_least_rights(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await service_account(live, rules())
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running(live.namespace):
            await live.create_from(manifest("a"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")
            await live.until_event("b", "Running")
            await live.edit("a", desiredState="Paused")
            await live.until_phase("Paused", "a", "b")
            await live.delete("a")
            await live.until_gone("a", "b")

    async def test_without_the_right_to_tell_events(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await service_account(live, rules(events=False))
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running(live.namespace) as operator:
            await live.create("a")
            await live.until_phase("Running", "a")
            await live.edit("a", desiredState="Stopped")
            await live.until_phase("Stopped", "a")

            def dropped() -> float:
                return PrometheusSamples(operator.metrics.render().decode()).total("hopper_events_dropped_total")

            await live.until(lambda: dropped() == 4, "four Events are given up on")
        assert not live.events.now

    async def test_without_the_right_to_write(
        self,
        cluster: Cluster,
        live: LiveInstances,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It says what is missing, and goes on when that is granted."""
        granted = [{**rule, "verbs": LOOK} for rule in rules()]
        token = await service_account(live, granted)
        use_token(await admin_config(cluster), token, tmp_path / "kubeconfig", monkeypatch)
        async with running(live.namespace):
            await live.create("a")
            await live.until(lambda: 'cannot patch resource "hopperinstances/status"' in caplog.text, "it says so")
            role = f"{RBAC}/namespaces/{live.namespace}/roles/operator"
            await live.request("PATCH", role, {"rules": rules()}, "application/merge-patch+json")
            await live.until_phase("Running", "a")


class TestInsideAPod:
    @pytest.fixture
    async def mounted(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """What a pod finds of its service account: environment and files."""
        config = await admin_config(cluster)
        (tmp_path / "token").write_text(await service_account(live, rules()))
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        (tmp_path / "ca.crt").write_bytes(authority)
        (tmp_path / "namespace").write_text(f"{live.namespace}\n")
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        monkeypatch.delenv("KUBECONFIG")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname or "")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
        monkeypatch.setattr(connection, "_SERVICE_ACCOUNT_NAMESPACE", tmp_path / "namespace")
        return tmp_path

    async def test_the_service_account_is_used(self, live: LiveInstances, mounted: Path) -> None:
        found = await connect()
        assert found.namespace == live.namespace
        credentials = await found.credentials()
        assert credentials.token == (mounted / "token").read_text()
        assert credentials.certificate_path is None
        async with running(found.namespace):
            await live.create_from(manifest("a"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")

    async def test_credentials_are_read_anew(self, mounted: Path) -> None:
        """A token that is mounted into a pod is replaced from time to time."""
        found = await connect()
        (mounted / "token").write_text("another")
        loader = found.configuration.refresh_api_key_hook.__closure__[0].cell_contents
        loader.token_expires_at = loader.token_expires_at.min
        assert (await found.credentials()).token == "another"
        with pytest.raises(NoClusterError, match="does not accept the credentials"):
            await check_credentials(found)

    async def test_without_a_mounted_token(self, mounted: Path) -> None:
        (mounted / "token").unlink()
        with pytest.raises(NoClusterError, match="token file does not exist"):
            await connect()


class TestProxies:
    async def test_are_taken_from_the_environment(self, kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
        monkeypatch.setenv("no_proxy", "example.org")
        found = await connect()
        assert found.configuration.proxy == "http://proxy.example.com:3128"
        assert (await found.credentials()).proxy == "http://proxy.example.com:3128"
        host = urlsplit(found.configuration.host).hostname
        monkeypatch.setenv("no_proxy", f"example.org,{host}")
        assert (await connect()).configuration.proxy is None
