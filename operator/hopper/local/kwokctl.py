"""kwokctl, which starts a control plane as plain processes: the configuration it is given, and calling it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from hopper.local import processes
from hopper.local.catalogue import KUBERNETES
from hopper.local.errors import ClusterStartError
from hopper.local.paths import clusters_dir

# Component → flag without dashes → value.
ExtraArgs = Mapping[str, Mapping[str, str]]

# The default Service range is a /24, which 254 Services fill.
_SERVICE_RANGE = "10.96.0.0/14"
_COMPONENT_ARGS: ExtraArgs = {
    # The data is thrown away with the cluster; without fsync a write takes a fraction of the time.
    "etcd": {"unsafe-no-fsync": "true"},
    "kube-apiserver": {"service-cluster-ip-range": _SERVICE_RANGE},
    "kube-controller-manager": {
        "service-cluster-ip-range": _SERVICE_RANGE,
        # Otherwise every controller, garbage collection too, acts as the admin user.
        "use-service-account-credentials": "true",
        # Claims get volumes: directories that no simulated pod ever writes to.
        "enable-hostpath-provisioner": "true",
        # There is only one, and it should outlive an API server that is stopped for a while.
        "leader-elect": "false",
    },
    "kube-scheduler": {"leader-elect": "false"},
}
# Option of kwokctl → the component that listens there. The names are those of its pid and log files.
PORTS = {
    "kubeApiserverPort": "kube-apiserver",
    "etcdPort": "etcd",
    "etcdPeerPort": "etcd",
    "kubeControllerManagerPort": "kube-controller-manager",
    "kubeSchedulerPort": "kube-scheduler",
    "kwokControllerPort": "kwok-controller",
}
COMPONENTS = tuple(dict.fromkeys(PORTS.values()))

_TIMEOUT = 120.0
_POLL = 0.1


@dataclass(frozen=True)
class Kwokctl:
    """Calls kwokctl for the clusters below `<workdir>/clusters`, apart from any that the user has."""

    binaries: Mapping[str, Path]
    workdir: Path

    def create(self, name: str, config: Path) -> None:
        """Create and start a cluster. Returns early when one of its processes dies. Raises ClusterStartError."""
        # An empty --kubeconfig keeps it from writing to the user's own.
        self._run("create", "cluster", name, f"--config={config}", "--kubeconfig=")

    def start(self, name: str) -> None:
        """Start those components that are not running. Returns early, and raises, as `create` does."""
        self._run("start", "cluster", name)

    def scale_nodes(self, name: str, count: int) -> None:
        """Have `count` simulated nodes. Raises ClusterStartError."""
        self._run("scale", "node", name, f"--replicas={count}")

    def _run(self, verb: str, what: str, name: str, *args: str) -> None:
        command = [str(self.binaries["kwokctl"]), verb, what, f"--name={name}", *args, "--v=WARN"]
        directory = clusters_dir(self.workdir) / name
        deadline = time.monotonic() + _TIMEOUT
        with subprocess.Popen(
            command, env=self._environment(directory), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as running:
            processes.Starter("kwokctl", running.pid, self.binaries["kwokctl"]).write(directory)
            while True:
                try:
                    said, _ = running.communicate(timeout=_POLL)
                    break
                except subprocess.TimeoutExpired:
                    # It would wait minutes for an API server that has ended.
                    if _one_has_died(directory) or time.monotonic() > deadline:
                        running.kill()
                        return
                except BaseException:
                    running.kill()
                    raise
        if running.returncode:
            why = said.strip() or f"it ended with exit code {running.returncode}"
            raise ClusterStartError(f"kwokctl {verb} {what} failed: {why}")

    def _environment(self, directory: Path) -> dict[str, str]:
        # KWOK_* variables of the user's would change our cluster.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("KWOK_")}
        # kwokctl takes the first kubectl on the PATH.
        path = os.pathsep.join((str(self.binaries["kubectl"].parent), kept.get("PATH", os.defpath)))
        return kept | {"KWOK_WORKDIR": str(self.workdir), "PATH": path} | kubectl_environment(directory)


def kubectl_environment(directory: Path) -> dict[str, str]:
    """Keeps kubectl from the user's preferences, and its cache inside the cluster's directory."""
    return {"KUBERC": "off", "KUBECACHEDIR": str(directory / "kubectl-cache")}


def check_workdir(workdir: Path) -> None:
    """Raise ClusterStartError for a path that kwokctl would cut short: it splits its settings at blanks and commas."""
    if re.search(r"[\s,]", str(workdir)):
        raise ClusterStartError(
            f"kwokctl cannot work in {str(workdir)!r} because of the blank or comma: "
            "set HOPPER_CACHE to a directory without one"
        )


def _one_has_died(directory: Path) -> bool:
    """Whether all are on record (so that none can be lost by stopping kwokctl) and one has ended."""
    found = processes.recorded(directory)
    return {process.name for process in found} == set(COMPONENTS) and any(process.ended for process in found)


def configuration(binaries: Mapping[str, Path], ports: Mapping[str, int], extra_args: ExtraArgs) -> str:
    """kwokctl's configuration file (YAML) for a cluster of these binaries, on these ports (keys of PORTS)."""
    merged = {name: {**_COMPONENT_ARGS.get(name, {}), **extra_args.get(name, {})} for name in COMPONENTS}
    document = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "runtime": "binary",
            "kubeVersion": KUBERNETES.version,
            "bindAddress": "127.0.0.1",
            "disableQPSLimits": True,
            "etcdBinary": str(binaries["etcd"]),
            "kubeApiserverBinary": str(binaries["kube-apiserver"]),
            "kubeControllerManagerBinary": str(binaries["kube-controller-manager"]),
            "kubeSchedulerBinary": str(binaries["kube-scheduler"]),
            "kwokControllerBinary": str(binaries["kwok"]),
            "kubectlBinary": str(binaries["kubectl"]),
            **ports,
        },
        "componentsPatches": [
            {"name": name, "extraArgs": [{"key": key, "value": value} for key, value in args.items()]}
            for name, args in merged.items()
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)
