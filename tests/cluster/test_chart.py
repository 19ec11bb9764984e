"""The chart through its life: installed, upgraded, rolled back, uninstalled, installed again; and what stays."""

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

DEFINITIONS = ["hopperinstances.hopper.dev", "hoppertemplates.hopper.dev"]
OURS = f"--selector=app.kubernetes.io/instance={RELEASE}"
KINDS = (
    "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings,secrets,configmaps"
)


class Release:
    """One release of the chart on a cluster."""

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
        """Name everything that belongs to it, definitions left out."""
        shown = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}{'\\n'}{end}"
        return self.cluster.kubectl("get", KINDS, "--all-namespaces", OURS, shown).split()

    def definitions(self) -> list[str]:
        names = self.cluster.kubectl("get", "customresourcedefinitions", "--output=name").split()
        return [name.partition("/")[2] for name in names if name.endswith(".hopper.dev")]

    def deployment(self, component: str) -> Manifest:
        name = f"{RELEASE}-{component}"
        found: Manifest = json.loads(
            self.cluster.kubectl("get", "deployment", name, f"--namespace={self.namespace}", "--output=json")
        )
        return found


@pytest.fixture
def own(new_cluster: Callable[..., LocalCluster], monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    cluster = new_cluster("chart", extra_args={"kwok-controller": {"config": str(STAGES)}})
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return cluster


async def operator(cluster: LocalCluster, log: Path) -> OperatorProcess:
    """Do what the simulated pod of the operator does not."""
    port = free_ports(1)[0]
    command = ["operator", "run", "--all-namespaces", f"--metrics-port={port}"]
    started = await OperatorProcess.launch(command, port, cluster.kubeconfig, log)
    await started.until_ready()
    return started


async def test_from_installation_to_the_last_trace(own: LocalCluster, tmp_path: Path) -> None:
    release = Release(own)
    own.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        await asyncio.to_thread(release.install)
    await asyncio.to_thread(release.helm, "uninstall", "--ignore-not-found")
    told = await asyncio.to_thread(release.install, None, "--take-ownership")
    says_what_to_do_next(told)
    assert release.definitions() == DEFINITIONS
    async with fresh_namespace() as live:
        working = await operator(own, tmp_path / "log")
        try:
            await live.create("shop", deletionProtection=True)
            await live.create("shop-mail", "Orchestration", "shop")
            await live.until_phase("Running", "shop", "shop-mail")
            with pytest.raises(RefusedError, match="lift the protection first"):
                await live.delete("shop")
            await asyncio.to_thread(smoke, own, working.url, tmp_path)
            before = identities(live)
            await asyncio.to_thread(upgrade_and_back, release)
            assert identities(live) == before
        finally:
            await working.stop()
        await asyncio.to_thread(release.uninstall)
        assert release.objects() == []
        assert release.definitions() == DEFINITIONS
        assert identities(live) == before
        # The same release may have the definitions again, and finds the instances where they were.
        await asyncio.to_thread(release.install, {"crds": {"keep": False}})
        assert identities(live) == before
        working = await operator(own, tmp_path / "log")
        try:
            await live.edit("shop", deletionProtection=False)
            await live.delete("shop")
            await live.until_gone("shop", "shop-mail")
        finally:
            await working.stop()
    await asyncio.to_thread(release.uninstall)
    assert release.definitions() == []
    assert release.objects() == []


def identities(live: LiveInstances) -> dict[str, tuple[str, int, str | None]]:
    """Return what must not change: which objects they are, what is wanted of them, how they are."""
    found = ((it["metadata"], it) for it in live.instances.objects.values())
    return {meta["name"]: (meta["uid"], meta["generation"], it["status"]["phase"]) for meta, it in found}


def says_what_to_do_next(told: str) -> None:
    notes = told.partition("NOTES:")[2]
    commands = re.findall(r"^ {7}((?:helm|kubectl) .*)$", notes, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [
        ["helm", "test"],
        ["kubectl", "apply"],
        ["kubectl", "get"],
        ["kubectl", "port-forward"],
    ]
    manifest = notes.partition("<<END\n")[2].partition("       END\n")[0]
    assert yaml.safe_load(manifest)["spec"] == {"scope": "Project"}


def upgrade_and_back(release: Release) -> None:
    """Change something of each component, then take it back."""
    release.upgrade({"operator": {"replicas": 2, "podLabels": {"round": "two"}}, "gateway": {"replicas": 3}})
    assert release.deployment("operator")["status"]["readyReplicas"] == 2
    assert release.deployment("operator")["spec"]["template"]["metadata"]["labels"]["round"] == "two"
    assert release.deployment("gateway")["status"]["readyReplicas"] == 3
    release.helm("rollback", "1", "--wait", "--timeout=120s")
    assert release.deployment("operator")["spec"]["replicas"] == 1
    assert "round" not in release.deployment("operator")["spec"]["template"]["metadata"]["labels"]


def smoke(cluster: LocalCluster, operator_url: str, scratch: Path) -> None:
    """Run what the pod of `helm test` runs, with its rights: simulated nodes run nothing."""
    hooks = [it for it in render(tests=True) if "helm.sh/hook" in it["metadata"].get("annotations", {})]
    (pod,) = (it for it in hooks if it["kind"] == "Pod")
    for it in hooks:
        if it["kind"] != "Pod":
            cluster.kubectl("create", "--filename=-", input=json.dumps(it))
    (container,) = pod["spec"]["containers"]
    account = pod["spec"]["serviceAccountName"]
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
    (scratch / "token").write_text(cluster.kubectl("create", "token", account, f"--namespace={NAMESPACE}"))
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    (scratch / "ca.crt").write_bytes(authority)
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    environment = {
        **os.environ,
        **{it["name"]: it["value"] for it in container["env"]},
        "KUBERNETES_SERVICE_HOST": server.hostname or "",
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "SERVICE_ACCOUNT": str(scratch),
        "HEALTH": f"{operator_url}/readyz",
    }
    program = [sys.executable, *container["command"][1:], *container["args"]]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ok"] * 3
    for it in hooks:
        if it["kind"] != "Pod":
            cluster.kubectl("delete", "--filename=-", input=json.dumps(it))


def test_two_releases_of_one_name(own: LocalCluster) -> None:
    """They share the cluster: each serves a namespace of its own, and one of them has brought the definitions."""
    for name in ("team-a", "team-b"):
        own.kubectl("create", "namespace", name)
    first, second = Release(own, "first"), Release(own, "second")
    first.install({"watchNamespaces": ["team-a"]})
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        second.install({"watchNamespaces": ["team-b"]})
    second.helm("uninstall", "--ignore-not-found")
    second.install(
        {"watchNamespaces": ["team-b"], "crds": {"install": False}, "deletionProtection": {"enabled": False}}
    )
    second.uninstall()
    assert first.deployment("operator")["status"]["readyReplicas"] == 1
    assert first.definitions() == DEFINITIONS
