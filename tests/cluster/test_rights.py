"""The rights in the chart are those that are used: nothing is forbidden, and nothing granted is left over.

The operator runs with the arguments and the service account of the chart, through everything it ever does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hopper.api.heartbeat import SHARDS, configmap_name
from hopper.api.names import LABEL_API_KEYS, LEASE_NAME
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

WIDE, SOME = "hopper-wide", "hopper-some"
OPERATOR, GATEWAY = "hopper-operator", "hopper-gateway"
# Asked for by the admission plugin that protects owners, in no request of its own.
PROTECTED_OWNERS = {("hopper.dev", "hopperinstances/finalizers", "update")}


class Watched:
    """A cluster that logs what service accounts do, and protects owners as OpenShift does."""

    def __init__(self, cluster: LocalCluster, log: Path) -> None:
        self.cluster = cluster
        self.log = log

    def install(self, namespace: str, values: Manifest) -> list[Manifest]:
        """Install the chart; return its objects."""
        arguments = (RELEASE, str(CHART), "--create-namespace", f"--namespace={namespace}")
        helm("install", *arguments, values=values, kubeconfig=self.cluster.kubeconfig)
        return render(values, namespace=namespace)

    def kubeconfig_of(self, namespace: str, account: str, path: Path) -> Path:
        """Write what a pod of this account has: its token, and its namespace."""
        config = json.loads(self.cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        token = self.cluster.kubectl("create", "token", account, f"--namespace={namespace}").strip()
        config["users"][0]["user"] = {"token": token}
        config["contexts"][0]["context"]["namespace"] = namespace
        path.write_text(json.dumps(config))
        return path

    async def user(self, live: LiveInstances, role: str) -> dict[str, str]:
        """Make somebody who has one of the cluster's own roles in the namespace; return the header that says so."""
        place, name = f"--namespace={live.namespace}", f"user-{role}"
        commands = [
            ("create", "serviceaccount", name),
            ("create", "rolebinding", name, f"--clusterrole={role}", f"--serviceaccount={live.namespace}:{name}"),
        ]
        for command in commands:
            await asyncio.to_thread(self.cluster.kubectl, *command, place)
        account = f"system:serviceaccount:{live.namespace}:{name}"
        await until_allowed(live, account, "list", "hopper.dev", "hopperinstances", live.namespace)
        token = await asyncio.to_thread(self.cluster.kubectl, "create", "token", name, place)
        return {"Authorization": f"Bearer {token.strip()}"}


@pytest.fixture
def watched(new_cluster: Callable[..., LocalCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(audit_policy(WIDE, SOME))
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
    return Watched(own, log)


def arguments(objects: list[Manifest], component: str) -> list[str]:
    """Return what the chart has a component run with."""
    deployments = (it for it in objects if it["kind"] == "Deployment")
    (found,) = (it for it in deployments if it["metadata"]["labels"]["app.kubernetes.io/component"] == component)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    args: list[str] = container["args"]
    return args


@asynccontextmanager
async def at_work(
    watched: Watched, live: LiveInstances, objects: list[Manifest], component: str, scratch: Path
) -> AsyncIterator[OperatorProcess]:
    """Run the operator or the gateway of the chart; in the end, it may not have been refused anything."""
    accounts = (it["metadata"] for it in objects if it["kind"] == "ServiceAccount")
    release, account = next((it["namespace"], it["name"]) for it in accounts if it["name"].endswith(component))
    user = f"system:serviceaccount:{release}:{account}"
    for right in granted_rights(objects, account):
        if right.verb == "list":
            place = release if right.namespace == EVERYWHERE else right.namespace
            await until_allowed(live, user, right.verb, right.group, right.resource, place)
    kubeconfig = await asyncio.to_thread(watched.kubeconfig_of, release, account, scratch / component)
    port = free_ports(1)[0]
    option = {"operator": "--metrics-port", "gateway": "--port"}[component]
    command = [*arguments(objects, component), f"{option}={port}"]
    running = await OperatorProcess.launch(command, port, kubeconfig, scratch / f"{component}.log")
    try:
        await running.until_ready()
        yield running
    finally:
        assert await running.stop() == 0
    assert "forbidden: User" not in running.log


def compare(objects: list[Manifest], log: Path, release: str) -> None:
    """Compare what is granted with what was used."""
    for account in (OPERATOR, GATEWAY):
        requests = AuditLog(log, release, account)
        assert requests.forbidden_requests() == []
        used = requests.used_rights()
        unused = {it[1:] for it in granted_rights(objects, account) if not any(map(it.covers, used))}
        assert unused == (PROTECTED_OWNERS if account == OPERATOR else set())
    assert AuditLog(log, release, OPERATOR).requested_names("leases") == {LEASE_NAME}
    assert AuditLog(log, release, GATEWAY).requested_names("configmaps") <= {
        configmap_name(shard) for shard in range(SHARDS)
    }


async def test_serving_all_namespaces(watched: Watched, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watched_workloads(live) as workloads:
        objects = await asyncio.to_thread(watched.install, WIDE, {"crds": {"install": False}})
        async with (
            at_work(watched, live, objects, "operator", tmp_path),
            at_work(watched, live, objects, "gateway", tmp_path) as it,
        ):
            await exercise_operator(live, workloads)
            editor = AuthenticatedClient(it.url, live.namespace, await watched.user(live, "edit"))
            await exercise_gateway(live, workloads, editor)
            viewer = AuthenticatedClient(it.url, live.namespace, await watched.user(live, "view"))
            await viewer.expect(200, "GET", "/instances")
            await viewer.expect(403, "DELETE", "/instances/called")
            for account in (OPERATOR, GATEWAY):
                places = {right.namespace for right in granted_rights(objects, account)}
                assert places == {EVERYWHERE} | ({WIDE} if account == OPERATOR else set())
            compare(objects, watched.log, WIDE)


async def test_serving_one_namespace(watched: Watched, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watched_workloads(live) as workloads:
        values = {"crds": {"install": False}, "watchNamespaces": [live.namespace], "gateway": {"auth": "apikey"}}
        objects = await asyncio.to_thread(watched.install, SOME, values)
        async with (
            at_work(watched, live, objects, "operator", tmp_path),
            at_work(watched, live, objects, "gateway", tmp_path) as it,
        ):
            await exercise_operator(live, workloads)
            caller = AuthenticatedClient(it.url, live.namespace, await with_a_key(live))
            await caller.until(lambda code, _: code == 200, "/instances")
            await exercise_gateway(live, workloads, caller)
            for account in (OPERATOR, GATEWAY):
                places = {right.namespace for right in granted_rights(objects, account)}
                assert places == {live.namespace} | ({SOME} if account == OPERATOR else set())
            compare(objects, watched.log, SOME)
        await owners_need_the_right_to_protect_them(watched.cluster, live)


async def with_a_key(live: LiveInstances) -> dict[str, str]:
    """Make a key that is good for everything in the namespace; return the header to send it in."""
    key = new_key()
    secret = {"metadata": {"name": "keys", "labels": {LABEL_API_KEYS: "true"}}}
    entry = json.dumps({"hash": hash_of(key), "role": "admin"})
    path = f"/api/v1/namespaces/{live.namespace}/secrets"
    await live.request("POST", path, {**secret, "stringData": {"robot": entry}})
    return {"X-API-Key": key}


async def owners_need_the_right_to_protect_them(cluster: LocalCluster, live: LiveInstances) -> None:
    """The one right that no request shows: without it, nothing can name an instance as its owner any more."""
    owner = (await live.create("owner"))["metadata"]
    reference = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "owner", "uid": owner["uid"]}
    metadata = {"name": "owned", "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}]}
    owned = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    account, place = f"--as=system:serviceaccount:{SOME}:{OPERATOR}", f"--namespace={live.namespace}"

    def refusal() -> str:
        try:
            cluster.kubectl("create", account, place, "--dry-run=server", "--filename=-", input=owned)
        except KubectlError as error:
            return error.stderr
        return ""

    assert refusal() == ""
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{live.namespace}/roles/{OPERATOR}-{SOME}"
    rules = (await live.request("GET", role))["rules"]
    rest = [rule for rule in rules if "hopperinstances/finalizers" not in rule["resources"]]
    assert len(rest) == len(rules) - 1
    await live.request("PATCH", role, {"rules": rest}, MERGE_PATCH)
    await live.until(lambda: "blockOwnerDeletion" in refusal(), "owners are protected")
