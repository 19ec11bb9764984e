"""Roles of the chart: every right that operator and gateway need is granted, and every granted right is used.

Both run with the arguments and service accounts of the chart, and send every kind of request they ever send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hopper.api.heartbeat import SHARDS, configmap_name
from hopper.api.names import LABEL_API_KEYS, LABEL_MANAGED_BY, LEASE_NAME, MANAGED_BY
from hopper.api.resources import Manifest
from hopper.gateway.auth.api_keys import hash_of, new_key
from hopper.local import LocalCluster
from hopper.local.errors import KubectlError
from hopper.local.loopback_ports import free_ports
from tests.cluster.conftest import STAGES
from tests.cluster.support.all_requests import AuthenticatedClient, exercise_gateway, exercise_operator
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, fresh_namespace
from tests.cluster.support.operator_process import OperatorProcess
from tests.cluster.support.rights import EVERYWHERE, AuditLog, audit_policy, granted_rights, until_allowed
from tests.cluster.support.workloads import watched_workloads
from tests.packaging.helm import CHART, RELEASE, ROOT, helm, render

# Namespaces of the releases.
CLUSTER_RELEASE, NAMESPACED_RELEASE = "hopper-wide", "hopper-some"
OPERATOR, GATEWAY = "hopper-operator", "hopper-gateway"
# Checked by the admission plugin OwnerReferencesPermissionEnforcement, so no request uses it.
OWNER_PROTECTION = {("hopper.dev", "hopperinstances/finalizers", "update")}


class AuditedCluster:
    """Cluster with an audit log of service accounts, and with OwnerReferencesPermissionEnforcement as in OpenShift."""

    def __init__(self, cluster: LocalCluster, log: Path) -> None:
        self.cluster = cluster
        self.log = log

    def install(self, namespace: str, values: Manifest) -> list[Manifest]:
        """Install the chart; return its objects."""
        options = (RELEASE, str(CHART), "--create-namespace", f"--namespace={namespace}")
        helm("install", *options, values=values, kubeconfig=self.cluster.kubeconfig)
        return render(values, namespace=namespace)

    def kubeconfig_of(self, namespace: str, account: str, path: Path) -> Path:
        """Write a kubeconfig with the token of a service account and its namespace; return the path."""
        config = json.loads(self.cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        token = self.cluster.kubectl("create", "token", account, f"--namespace={namespace}").strip()
        config["users"][0]["user"] = {"token": token}
        config["contexts"][0]["context"]["namespace"] = namespace
        path.write_text(json.dumps(config))
        return path

    async def user_header(self, live: LiveInstances, role: str) -> dict[str, str]:
        """Create a service account with a built-in role in the namespace; return the header with its token."""
        namespace, name = f"--namespace={live.namespace}", f"user-{role}"
        commands = [
            ("create", "serviceaccount", name),
            ("create", "rolebinding", name, f"--clusterrole={role}", f"--serviceaccount={live.namespace}:{name}"),
        ]
        for command in commands:
            await asyncio.to_thread(self.cluster.kubectl, *command, namespace)
        account = f"system:serviceaccount:{live.namespace}:{name}"
        await until_allowed(live, account, "list", "hopper.dev", "hopperinstances", live.namespace)
        token = await asyncio.to_thread(self.cluster.kubectl, "create", "token", name, namespace)
        return {"Authorization": f"Bearer {token.strip()}"}


@pytest.fixture
def audited(
    new_cluster: Callable[..., LocalCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AuditedCluster:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(audit_policy(CLUSTER_RELEASE, NAMESPACED_RELEASE))
    flags = {
        "audit-policy-file": str(policy),
        "audit-log-path": str(log),
        "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
    }
    extra = {"kube-apiserver": flags, "kwok-controller": {"config": str(STAGES)}}
    own = new_cluster("rights", extra_args=extra)
    own.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    own.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(ROOT / "crds"))
    monkeypatch.setenv("KUBECONFIG", str(own.kubeconfig))
    return AuditedCluster(own, log)


def component_arguments(objects: list[Manifest], component: str) -> list[str]:
    """Return the arguments of a component in the chart."""
    deployments = [manifest for manifest in objects if manifest["kind"] == "Deployment"]
    by_component = {item["metadata"]["labels"]["app.kubernetes.io/component"]: item for item in deployments}
    (container,) = by_component[component]["spec"]["template"]["spec"]["containers"]
    args: list[str] = container["args"]
    return args


@asynccontextmanager
async def running_component(
    audited: AuditedCluster, live: LiveInstances, objects: list[Manifest], component: str, scratch: Path
) -> AsyncIterator[OperatorProcess]:
    """Run the operator or gateway with the rights of the chart. At the end, no request may have been forbidden."""
    accounts = (manifest["metadata"] for manifest in objects if manifest["kind"] == "ServiceAccount")
    metadata = next(metadata for metadata in accounts if metadata["name"].endswith(component))
    release, account = metadata["namespace"], metadata["name"]
    user = f"system:serviceaccount:{release}:{account}"
    for right in granted_rights(objects, account):
        if right.verb == "list":
            namespace = release if right.namespace == EVERYWHERE else right.namespace
            await until_allowed(live, user, right.verb, right.group, right.resource, namespace)
    kubeconfig = await asyncio.to_thread(audited.kubeconfig_of, release, account, scratch / component)
    port = free_ports(1)[0]
    option = {"operator": "--metrics-port", "gateway": "--port"}[component]
    command = [*component_arguments(objects, component), f"{option}={port}"]
    process = await OperatorProcess.launch(command, port, kubeconfig, scratch / f"{component}.log")
    try:
        await process.until_ready()
        yield process
    finally:
        assert await process.stop() == 0
    assert "forbidden: User" not in process.log


def assert_rights_match_requests(objects: list[Manifest], log: Path, release: str) -> None:
    """Check that no request was forbidden and that every granted right was used."""
    for account in (OPERATOR, GATEWAY):
        requests = AuditLog(log, release, account)
        assert requests.forbidden_requests() == []
        used = requests.used_rights()
        unused = {right[1:] for right in granted_rights(objects, account) if not any(map(right.covers, used))}
        assert unused == (OWNER_PROTECTION if account == OPERATOR else set())
    assert AuditLog(log, release, OPERATOR).requested_names("leases") == {LEASE_NAME}
    assert AuditLog(log, release, GATEWAY).requested_names("configmaps") <= {
        configmap_name(shard) for shard in range(SHARDS)
    }


async def test_the_rights_to_serve_all_namespaces_are_all_used(audited: AuditedCluster, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watched_workloads(live) as workloads:
        objects = await asyncio.to_thread(audited.install, CLUSTER_RELEASE, {"crds": {"install": False}})
        async with (
            running_component(audited, live, objects, "operator", tmp_path),
            running_component(audited, live, objects, "gateway", tmp_path) as gateway,
        ):
            await exercise_operator(live, workloads)
            editor = AuthenticatedClient(gateway.url, live.namespace, await audited.user_header(live, "edit"))
            await exercise_gateway(live, workloads, editor)
            viewer = AuthenticatedClient(gateway.url, live.namespace, await audited.user_header(live, "view"))
            await viewer.expect(200, "GET", "/instances")
            await viewer.expect(403, "DELETE", "/instances/called")
            for account in (OPERATOR, GATEWAY):
                namespaces = {right.namespace for right in granted_rights(objects, account)}
                assert namespaces == {EVERYWHERE} | ({CLUSTER_RELEASE} if account == OPERATOR else set())
            assert_rights_match_requests(objects, audited.log, CLUSTER_RELEASE)


async def test_the_rights_to_serve_one_namespace_are_all_used(audited: AuditedCluster, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watched_workloads(live) as workloads:
        values = {"crds": {"install": False}, "watchNamespaces": [live.namespace], "gateway": {"auth": "apikey"}}
        objects = await asyncio.to_thread(audited.install, NAMESPACED_RELEASE, values)
        async with (
            running_component(audited, live, objects, "operator", tmp_path),
            running_component(audited, live, objects, "gateway", tmp_path) as gateway,
        ):
            await exercise_operator(live, workloads)
            caller = AuthenticatedClient(gateway.url, live.namespace, await api_key_header(live))
            await caller.until(lambda code, _: code == 200, "/instances")
            await exercise_gateway(live, workloads, caller)
            for account in (OPERATOR, GATEWAY):
                namespaces = {right.namespace for right in granted_rights(objects, account)}
                assert namespaces == {live.namespace} | ({NAMESPACED_RELEASE} if account == OPERATOR else set())
            assert_rights_match_requests(objects, audited.log, NAMESPACED_RELEASE)
        await assert_owner_protection_needs_its_right(audited.cluster, live)


async def api_key_header(live: LiveInstances) -> dict[str, str]:
    """Create an API key with role admin; return the header that sends it."""
    key = new_key()
    secret = {"metadata": {"name": "keys", "labels": {LABEL_API_KEYS: "true"}}}
    entry = json.dumps({"hash": hash_of(key), "role": "admin"})
    path = f"/api/v1/namespaces/{live.namespace}/secrets"
    await live.request("POST", path, {**secret, "stringData": {"robot": entry}})
    return {"X-API-Key": key}


async def assert_owner_protection_needs_its_right(cluster: LocalCluster, live: LiveInstances) -> None:
    """Check that without OWNER_PROTECTION, no owned object with blockOwnerDeletion can be created.

    The audit log does not show this right, because no request uses it.
    """
    owner = (await live.create("owner"))["metadata"]
    reference = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "owner", "uid": owner["uid"]}
    metadata = {
        "name": "owned",
        "labels": {LABEL_MANAGED_BY: MANAGED_BY},  # required by the admission policy of the chart
        "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
    }
    owned = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    account, namespace = f"--as=system:serviceaccount:{NAMESPACED_RELEASE}:{OPERATOR}", f"--namespace={live.namespace}"

    def rejection() -> str:
        try:
            cluster.kubectl("create", account, namespace, "--dry-run=server", "--filename=-", input=owned)
        except KubectlError as error:
            return error.stderr
        return ""

    assert rejection() == ""
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{live.namespace}/roles/{OPERATOR}-{NAMESPACED_RELEASE}"
    rules = (await live.request("GET", role))["rules"]
    other_rules = [rule for rule in rules if "hopperinstances/finalizers" not in rule["resources"]]
    assert len(other_rules) == len(rules) - 1
    await live.request("PATCH", role, {"rules": other_rules}, MERGE_PATCH)
    await live.until(lambda: "blockOwnerDeletion" in rejection(), "the owned object is rejected")
