"""Helm chart: installation, upgrade, rollback, removal and reinstallation, and the objects that each step keeps."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from hopper.local import LocalCluster
from hopper.local.loopback_ports import free_ports
from tests.cluster.conftest import STAGES
from tests.cluster.support.live_instances import LiveInstances, RefusedError, fresh_namespace
from tests.cluster.support.operator_process import OperatorProcess
from tests.packaging.helm import CHART, NAMESPACE, RELEASE, ROOT, HelmError, Manifest, helm, render

CRD_NAMES = ["hopperinstances.hopper.dev", "hoppertemplates.hopper.dev"]
RELEASE_SELECTOR = f"--selector=app.kubernetes.io/instance={RELEASE}"
KINDS = (
    "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings,secrets,configmaps"
)


class Release:
    """Release of the chart on a cluster."""

    def __init__(self, cluster: LocalCluster, namespace: str = NAMESPACE) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def helm(self, verb: str, *args: str, values: Manifest | None = None) -> str:
        where = f"--namespace={self.namespace}"
        return helm(verb, RELEASE, *args, where, values=values, kubeconfig=self.cluster.kubeconfig)

    def install(self, values: Manifest | None = None, *args: str) -> str:
        return self.helm("install", str(CHART), "--create-namespace", "--wait", "--timeout=120s", *args, values=values)

    def upgrade(self, values: Manifest) -> str:
        return self.helm("upgrade", str(CHART), "--wait", "--timeout=120s", values=values)

    def uninstall(self) -> str:
        return self.helm("uninstall", "--wait", "--timeout=120s")

    def objects(self) -> list[str]:
        """Return the names of all objects of the release, without CRDs."""
        output = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}{'\\n'}{end}"
        return self.cluster.kubectl("get", KINDS, "--all-namespaces", RELEASE_SELECTOR, output).split()

    def crds(self) -> list[str]:
        names = self.cluster.kubectl("get", "customresourcedefinitions", "--output=name").split()
        return [name.partition("/")[2] for name in names if name.endswith(".hopper.dev")]

    def deployment(self, component: str) -> Manifest:
        name = f"{RELEASE}-{component}"
        output = self.cluster.kubectl("get", "deployment", name, f"--namespace={self.namespace}", "--output=json")
        deployment: Manifest = json.loads(output)
        return deployment


@pytest.fixture
def chart_cluster(new_cluster: Callable[..., LocalCluster], monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    cluster = new_cluster("chart", extra_args={"kwok-controller": {"config": str(STAGES)}})
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return cluster


async def start_operator(cluster: LocalCluster, log: Path) -> OperatorProcess:
    """Start an operator in a process, because the pods of the chart are simulated and run nothing."""
    port = free_ports(1)[0]
    command = ["operator", "run", "--all-namespaces", f"--metrics-port={port}"]
    operator = await OperatorProcess.launch(command, port, cluster.kubeconfig, log)
    await operator.until_ready()
    return operator


async def test_instances_survive_upgrade_rollback_and_reinstallation(
    chart_cluster: LocalCluster, tmp_path: Path
) -> None:
    release = Release(chart_cluster)
    chart_cluster.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        await asyncio.to_thread(release.install)
    await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")
    output = await asyncio.to_thread(release.install, None, "--take-ownership")
    check_notes(output)
    assert release.crds() == CRD_NAMES
    async with fresh_namespace() as live:
        operator = await start_operator(chart_cluster, tmp_path / "log")
        try:
            await live.create("shop", deletionProtection=True)
            await live.create("shop-mail", "Orchestration", "shop")
            await live.until_phase("Running", "shop", "shop-mail")
            with pytest.raises(RefusedError, match="lift the protection first"):
                await live.delete("shop")
            await asyncio.to_thread(run_helm_test, chart_cluster, operator.url, tmp_path)
            before = identities(live)
            await asyncio.to_thread(upgrade_and_roll_back, release)
            assert identities(live) == before
        finally:
            await operator.stop()
        await asyncio.to_thread(release.uninstall)
        assert release.objects() == []
        assert release.crds() == CRD_NAMES
        assert identities(live) == before
        # The same release can take over its CRDs again, and the instances are unchanged.
        await asyncio.to_thread(release.install, {"crds": {"keep": False}})
        assert identities(live) == before
        operator = await start_operator(chart_cluster, tmp_path / "log")
        try:
            await live.edit("shop", deletionProtection=False)
            await live.delete("shop")
            await live.until_gone("shop", "shop-mail")
        finally:
            await operator.stop()
    await asyncio.to_thread(release.uninstall)
    assert release.crds() == []
    assert release.objects() == []


def identities(live: LiveInstances) -> dict[str, tuple[str, int, str | None]]:
    """Return uid, generation and phase of each instance, which no step of the test may change."""
    return {
        name: (instance["metadata"]["uid"], instance["metadata"]["generation"], instance["status"]["phase"])
        for name, instance in live.instances.objects.items()
    }


def check_notes(output: str) -> None:
    """Check that the notes show the next commands, with a manifest that is valid."""
    notes = output.partition("NOTES:")[2]
    commands = re.findall(r"^ {7}((?:helm|kubectl) .*)$", notes, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [
        ["helm", "test"],
        ["kubectl", "apply"],
        ["kubectl", "get"],
        ["kubectl", "port-forward"],
    ]
    manifest = notes.partition("<<END\n")[2].partition("       END\n")[0]
    assert yaml.safe_load(manifest)["spec"] == {"scope": "Project"}


def upgrade_and_roll_back(release: Release) -> None:
    """Change the operator and the gateway, and then roll back the release."""
    release.upgrade({"operator": {"replicas": 2, "podLabels": {"round": "two"}}, "gateway": {"replicas": 3}})
    assert release.deployment("operator")["status"]["readyReplicas"] == 2
    assert release.deployment("operator")["spec"]["template"]["metadata"]["labels"]["round"] == "two"
    assert release.deployment("gateway")["status"]["readyReplicas"] == 3
    release.helm("rollback", "1", "--wait", "--timeout=120s")
    assert release.deployment("operator")["spec"]["replicas"] == 1
    assert "round" not in release.deployment("operator")["spec"]["template"]["metadata"]["labels"]


def run_helm_test(cluster: LocalCluster, operator_url: str, scratch: Path) -> None:
    """Run the program of the `helm test` pod in a process with the rights of the pod: simulated pods run nothing."""
    hooks = [hook for hook in render(tests=True) if "helm.sh/hook" in hook["metadata"].get("annotations", {})]
    (pod,) = (hook for hook in hooks if hook["kind"] == "Pod")
    others = [hook for hook in hooks if hook["kind"] != "Pod"]
    for hook in others:
        cluster.kubectl("create", "--filename=-", input=json.dumps(hook))
    (container,) = pod["spec"]["containers"]
    account = pod["spec"]["serviceAccountName"]
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
    (scratch / "token").write_text(cluster.kubectl("create", "token", account, f"--namespace={NAMESPACE}"))
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    (scratch / "ca.crt").write_bytes(authority)
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    environment = {
        **os.environ,
        **{variable["name"]: variable["value"] for variable in container["env"]},
        "KUBERNETES_SERVICE_HOST": server.hostname or "",
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "SERVICE_ACCOUNT": str(scratch),
        "HEALTH": f"{operator_url}/readyz",
    }
    program = [sys.executable, *container["command"][1:], *container["args"]]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ok"] * 3
    for hook in others:
        cluster.kubectl("delete", "--filename=-", input=json.dumps(hook))


def test_two_releases_share_a_cluster(chart_cluster: LocalCluster) -> None:
    """Each release watches a namespace of its own, and only one installs the CRDs and the admission policies."""
    for name in ("team-a", "team-b"):
        chart_cluster.kubectl("create", "namespace", name)
    first, second = Release(chart_cluster, "first"), Release(chart_cluster, "second")
    first.install({"watchNamespaces": ["team-a"]})
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        second.install({"watchNamespaces": ["team-b"]})
    second.helm("uninstall", "--ignore-not-found")
    cluster_scoped = {name: {"enabled": False} for name in ("deletionProtection", "admission")}
    second.install({"watchNamespaces": ["team-b"], "crds": {"install": False}} | cluster_scoped)
    second.uninstall()
    assert first.deployment("operator")["status"]["readyReplicas"] == 1
    assert first.crds() == CRD_NAMES
