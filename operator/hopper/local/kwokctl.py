"""kwokctl, which runs a control plane as plain processes: its configuration file and its commands."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from hopper.local.binary_catalogue import KUBERNETES
from hopper.local.cluster_files import clusters_dir
from hopper.local.errors import ClusterStartError
from hopper.local.kubectl import kubectl_environment
from hopper.local.processes import KwokctlProcess, recorded_processes

# Value by flag (without dashes) by component.
ExtraArgs = Mapping[str, Mapping[str, str]]

# The default range is a /24, which holds 254 Services only.
_SERVICE_RANGE = "10.96.0.0/14"
_COMPONENT_ARGS: ExtraArgs = {
    # The data does not outlive the cluster, and writes are much faster without fsync.
    "etcd": {"unsafe-no-fsync": "true"},
    "kube-apiserver": {"service-cluster-ip-range": _SERVICE_RANGE},
    "kube-controller-manager": {
        "service-cluster-ip-range": _SERVICE_RANGE,
        # Without this, every controller, including garbage collection, acts as the admin user.
        "use-service-account-credentials": "true",
        # Bind PersistentVolumeClaims to directories. Simulated pods never write to them.
        "enable-hostpath-provisioner": "true",
        # There is one replica only, and it must survive a stopped API server.
        "leader-elect": "false",
    },
    "kube-scheduler": {"leader-elect": "false"},
}
# Component by kwokctl option for its port. kwokctl names pid and log files after the components.
PORTS = {
    "kubeApiserverPort": "kube-apiserver",
    "etcdPort": "etcd",
    "etcdPeerPort": "etcd",
    "kubeControllerManagerPort": "kube-controller-manager",
    "kubeSchedulerPort": "kube-scheduler",
    "kwokControllerPort": "kwok-controller",
}
COMPONENTS = tuple(dict.fromkeys(PORTS.values()))

_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Kwokctl:
    """The kwokctl command for the clusters in `<workdir>/clusters`, independent of the user's own kwok clusters."""

    binaries: Mapping[str, Path]
    workdir: Path

    def create(self, name: str, config: Path) -> None:
        """Create and start a cluster. Return early if one of its processes dies.

        Raises ClusterStartError.
        """
        # With an empty --kubeconfig, kwokctl does not write to the user's kubeconfig.
        self._run("create", "cluster", name, f"--config={config}", "--kubeconfig=")

    def start(self, name: str) -> None:
        """Start the components that are not running. Return early and raise as `create` does."""
        self._run("start", "cluster", name)

    def scale_nodes(self, name: str, count: int) -> None:
        """Set the number of simulated nodes.

        Raises ClusterStartError.
        """
        self._run("scale", "node", name, f"--replicas={count}")

    def _run(self, verb: str, resource: str, name: str, *args: str) -> None:
        command = [str(self.binaries["kwokctl"]), verb, resource, f"--name={name}", *args, "--v=WARN"]
        directory = clusters_dir(self.workdir) / name
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        with subprocess.Popen(
            command, env=self._environment(directory), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            KwokctlProcess("kwokctl", process.pid, self.binaries["kwokctl"]).write(directory)
            while True:
                try:
                    output, _ = process.communicate(timeout=_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    # kwokctl would wait for minutes for an API server that has ended.
                    if _has_dead_component(directory) or time.monotonic() > deadline:
                        process.kill()
                        return
                except BaseException:
                    process.kill()
                    raise
        if process.returncode:
            cause = output.strip() or f"exit code {process.returncode}"
            raise ClusterStartError(f"kwokctl {verb} {resource} failed: {cause}")

    def _environment(self, directory: Path) -> dict[str, str]:
        # The user's KWOK_* variables would change this cluster.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("KWOK_")}
        # kwokctl uses the first kubectl on the PATH.
        path = os.pathsep.join((str(self.binaries["kubectl"].parent), inherited.get("PATH", os.defpath)))
        return inherited | {"KWOK_WORKDIR": str(self.workdir), "PATH": path} | kubectl_environment(directory)


def check_kwokctl_workdir(workdir: Path) -> None:
    """Raise ClusterStartError for a path with blanks or commas, because kwokctl splits its settings at them."""
    if re.search(r"[\s,]", str(workdir)):
        raise ClusterStartError(
            f"HOPPER_CACHE: kwokctl does not support the blank or comma in {str(workdir)!r}: "
            "set HOPPER_CACHE to a directory without blanks and commas"
        )


def kwokctl_config(binaries: Mapping[str, Path], ports: Mapping[str, int], extra_args: ExtraArgs) -> str:
    """Return kwokctl's configuration file (YAML) for a cluster. The keys of `ports` are those of PORTS."""
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


def _has_dead_component(directory: Path) -> bool:
    """Whether a component has ended after all components were recorded.

    kwokctl may only be killed once all processes are recorded. Otherwise Hopper could not find them again.
    """
    processes = recorded_processes(directory)
    return {process.name for process in processes} == set(COMPONENTS) and any(
        process.has_ended for process in processes
    )
