"""The rights in the chart are those that are used: nothing is forbidden, and nothing granted is left over.

The operator runs with the arguments and the service account of the chart, through everything it ever does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.api.names import LEASE_NAME
from hopper.api.resources import CHILDREN
from hopper.local import LocalCluster
from hopper.local.errors import KubectlError
from hopper.local.processes import free_ports
from tests.cluster.conftest import STAGES
from tests.cluster.live import MERGE_PATCH, Live, fresh_namespace
from tests.cluster.process import OperatorProcess
from tests.cluster.rights import EVERYWHERE, AuditLog, Manifest, Right, audit_policy, granted
from tests.cluster.workloads import ALL, Workloads, watching_workloads
from tests.packaging.helm import CHART, RELEASE, ROOT, helm, render

WIDE, SOME = "hopper-wide", "hopper-some"
OPERATOR = "hopper-operator"
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


async def run_everything(live: Live, workloads: Workloads) -> None:
    """Have the operator do all that it ever does."""
    await workloads.template("web", **ALL)
    await live.create("shop")
    await live.create("shop-web", "Orchestration", "shop", templateRef={"name": "web"})
    await live.create("short", ttlSecondsAfterFinished=0)
    await live.until_phase("Running", "shop", "shop-web", "short")
    await workloads.until_users("shop-web")
    await take_back_everything(live, workloads)
    await live.edit("short", desiredState="Stopped")
    await live.until_gone("short")
    # A claim goes only with an instance that leaves nothing behind.
    await live.edit("shop-web", type="Ephemeral", desiredState="Terminated")
    await live.until_phase("Terminated", "shop-web")
    await workloads.until_owned("shop-web")
    await live.create("shop-mail", "Orchestration", "shop")
    await live.until_phase("Running", "shop-mail")
    await live.until_event("shop-mail", "Running")
    await live.delete("shop")
    await live.until_gone("shop", "shop-web", "shop-mail")


async def take_back_everything(live: Live, workloads: Workloads) -> None:
    """Strip all objects of what says whose they are: they are recognised by a look at each."""
    owned = workloads.owned("shop-web")
    assert owned.keys() == CHILDREN.keys()
    names = {kind: it["metadata"]["name"] for kind, it in owned.items()}
    await asyncio.gather(*(workloads.edit(kind, name, {"metadata": {"labels": None}}) for kind, name in names.items()))
    await workloads.until_owned("shop-web", *names)
    await live.until(lambda: live.is_ready("shop-web"), "shop-web is ready again")


async def work(watched: Watched, objects: list[Manifest], live: Live, workloads: Workloads, scratch: Path) -> str:
    """Run the operator of the chart through everything; return what it has logged."""
    release = next(it["metadata"]["namespace"] for it in objects if it["kind"] == "ServiceAccount")
    kubeconfig = await asyncio.to_thread(watched.kubeconfig_of, release, OPERATOR, scratch / "kubeconfig")
    port = free_ports(1)[0]
    command = [*arguments(objects, "operator"), f"--metrics-port={port}"]
    operator = await OperatorProcess.launch(command, port, kubeconfig, scratch / "operator.log")
    try:
        await operator.until_ready()
        await run_everything(live, workloads)
    finally:
        assert await operator.stop() == 0
    return operator.log


def compare(given: set[Right], log: AuditLog) -> None:
    assert log.forbidden() == []
    assert {right[1:] for right in given} >= PROTECTED_OWNERS
    used = log.used()
    assert [it for it in given if it[1:] not in PROTECTED_OWNERS and not any(map(it.covers, used))] == []
    assert log.names("leases") == {LEASE_NAME}


async def test_serving_all_namespaces(watched: Watched, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watching_workloads(live) as workloads:
        objects = await asyncio.to_thread(watched.install, WIDE, {"crds": {"install": False}})
        said = await work(watched, objects, live, workloads, tmp_path)
        assert "403" not in said
        given = granted(objects, OPERATOR)
        assert {it.namespace for it in given} == {EVERYWHERE, WIDE}
        compare(given, AuditLog(watched.log, WIDE, OPERATOR))


async def test_serving_one_namespace(watched: Watched, tmp_path: Path) -> None:
    async with fresh_namespace() as live, watching_workloads(live) as workloads:
        values = {"crds": {"install": False}, "watchNamespaces": [live.namespace]}
        objects = await asyncio.to_thread(watched.install, SOME, values)
        said = await work(watched, objects, live, workloads, tmp_path)
        assert "403" not in said
        given = granted(objects, OPERATOR)
        assert {it.namespace for it in given} == {live.namespace, SOME}
        compare(given, AuditLog(watched.log, SOME, OPERATOR))
        await owners_need_the_right_to_protect_them(watched.cluster, live)


async def owners_need_the_right_to_protect_them(cluster: LocalCluster, live: Live) -> None:
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
