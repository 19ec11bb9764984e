"""A kind cluster: real containers in an existing container engine, for tests that simulated nodes cannot cover."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from hopper.local.binaries import ensure_binaries, find_kubectl
from hopper.local.binary_catalogue import CLUSTER_BINARIES, KIND_BINARY
from hopper.local.cluster_files import (
    DEFAULT_CLUSTER_NAME,
    KUBECONFIG_FILE,
    ClusterRecord,
    cache_dir,
    checked_cluster_name,
    clusters_dir,
    read_record,
)
from hopper.local.cluster_status import ClusterState, ClusterStatus
from hopper.local.docker import Docker
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, DockerError, ProviderError
from hopper.local.file_lock import file_lock
from hopper.local.kubectl import Kubectl
from hopper.local.progress import SILENT, Progress

# Names the node image. Without it, kind pulls the image that it was released with.
NODE_IMAGE_VARIABLE = "HOPPER_KIND_IMAGE"
# The programs that a kind cluster needs on this machine.
KIND_TOOLS = (KIND_BINARY, *(binary for binary in CLUSTER_BINARIES if binary.name == "kubectl"))

# Node images with this prefix are built in Hopper's repository and bring their own network plugin.
_OWN_IMAGE_PREFIX = "hopper.local/"
_USUAL_CREATE_SECONDS = 40.0
_USUAL_SYSTEM_SECONDS = 20.0
_NODE_TIMEOUT = "240s"
_SYSTEM_TIMEOUT = "300s"


class KindCluster:
    """The kind cluster `hopper-<name>`. Creating the object does not start the cluster."""

    provider = "kind"

    def __init__(
        self,
        name: str = DEFAULT_CLUSTER_NAME,
        *,
        cache: Path | None = None,
        docker: Docker | None = None,
        image: str | None = None,
    ) -> None:
        """Check the name. `docker` and `image` replace the container engine and the node image of the environment.

        Raises InvalidNameError.
        """
        self.name = checked_cluster_name(name)
        self._cache = cache or cache_dir()
        self._directory = clusters_dir(self._cache) / name
        self._kind_name = f"hopper-{name}"
        self._docker = docker or Docker(os.environ.get("DOCKER_HOST", ""))
        self._image = os.environ.get(NODE_IMAGE_VARIABLE, "") if image is None else image

    @property
    def kubeconfig(self) -> Path:
        """Admin kubeconfig of the cluster. The file exists as long as the cluster does."""
        return self._directory / KUBECONFIG_FILE

    @property
    def docker(self) -> Docker:
        """The container engine that the cluster was started in, for building images."""
        record = read_record(self._directory)
        host = record.arguments.get("dockerHost") if record else None
        return Docker(str(host)) if host else self._docker

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output.

        Raises ClusterNotRunningError, and KubectlError if kubectl fails and `check` is set.
        """
        if not self.kubeconfig.exists():
            raise ClusterNotRunningError(
                f"cluster {self.name!r} is not running: start it with "
                f"`hopper local up --provider kind --name {self.name}`"
            )
        return self._kubectl(*args, input=input, check=check)

    def status(self) -> ClusterStatus:
        """Return the current status of the cluster."""
        if not self._directory.exists():
            return ClusterStatus(self.name, self.provider, ClusterState.ABSENT)
        record = read_record(self._directory) or ClusterRecord(self.provider, "")
        if record.complete and self.kubeconfig.exists() and self._kubectl.succeeds("get", "--raw=/readyz"):
            return ClusterStatus(self.name, self.provider, ClusterState.RUNNING, record.version, record.server)
        problem = "its containers do not answer" if record.complete else "its start was interrupted"
        return ClusterStatus(self.name, self.provider, ClusterState.STALE, record.version, record.server, (problem,))

    def up(self, progress: Progress = SILENT) -> None:
        """Start the cluster unless it is running. Replace a stale cluster with an empty one.

        Raises LocalError. A failed start leaves no files or containers.
        """
        with self._locked(progress):
            status = self.status()
            if status.is_running:
                progress.note(f"Cluster {self.name!r} is already running")
                return
            check_container_engine(self._docker)
            if status.state is ClusterState.STALE:
                progress.note(
                    f"Cluster {self.name!r} is stale ({'; '.join(status.problems)}): replacing it with an empty one"
                )
                self._remove(self.docker)
            try:
                self._start(progress)
            except BaseException:
                self._remove(self._docker)
                raise

    def down(self, progress: Progress = SILENT) -> bool:
        """Remove the containers and every file of the cluster. Return whether the cluster existed."""
        if not self._directory.exists():
            return False
        with self._locked(progress):
            if not self._directory.exists():
                return False
            with progress.step(f"Stopping kind cluster {self._kind_name!r}"):
                self._remove(self.docker)
            return True

    def load(self, *images: str) -> None:
        """Copy images from the container engine to the nodes of the cluster.

        Raises DockerError.
        """
        self._run_kind(self.docker, "load", "docker-image", f"--name={self._kind_name}", *images)

    def _start(self, progress: Progress) -> None:
        ensure_binaries(self._cache, progress, KIND_TOOLS)
        self._directory.mkdir(parents=True, mode=0o700)
        record = ClusterRecord(self.provider, "", arguments={"dockerHost": self._docker.host, "image": self._image})
        record.write(self._directory)
        with progress.step(f"Starting kind cluster {self._kind_name!r}", _USUAL_CREATE_SECONDS):
            self._create()
        with progress.step("Waiting for its DNS and storage", _USUAL_SYSTEM_SECONDS):
            self._wait_for_system_deployments()
        server = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        version = yaml.safe_load(self.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
        replace(record, version=version, server=server, complete=True).write(self._directory)

    def _create(self) -> None:
        config = self._directory / "kind.yaml"
        config.write_text(yaml.safe_dump(kind_config(self._image), sort_keys=False), encoding="utf-8")
        options = [f"--name={self._kind_name}", f"--kubeconfig={self.kubeconfig}", f"--config={config}"]
        if self._image:
            options.append(f"--image={self._image}")
        try:
            # The node is retained so that its logs can explain a failure.
            self._run_kind(self._docker, "create", "cluster", *options, f"--wait={_NODE_TIMEOUT}", "--retain")
        except DockerError as error:
            if "failed to pull image" in str(error):
                raise ProviderError(
                    f"{error}\nkind cannot pull its node image: set {NODE_IMAGE_VARIABLE} to a node image that the "
                    "container engine has or can pull. In a checkout of Hopper, `make kind-image` builds one from "
                    "packages, which needs root"
                ) from error
            raise ClusterStartError(f"{error}\nThe last log lines of the node:\n{self._node_logs()}") from error

    def _wait_for_system_deployments(self) -> None:
        for namespace in ("kube-system", "local-path-storage"):
            self.kubectl(
                *("wait", "deployments", "--all", f"--namespace={namespace}"),
                *("--for=condition=Available", f"--timeout={_SYSTEM_TIMEOUT}"),
            )

    def _remove(self, docker: Docker) -> None:
        """Remove the containers as `kind delete cluster` does, which works without the kind binary."""
        selector = f"--filter=label=io.x-k8s.kind.cluster={self._kind_name}"
        if docker.why_unavailable() is None and (containers := docker("ps", "--all", "--quiet", selector).split()):
            docker("rm", "--force", "--volumes", *containers)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _node_logs(self) -> str:
        node = f"{self._kind_name}-control-plane"
        container_logs = self._docker("logs", "--tail=20", node, check=False)
        journal = self._docker(
            *("exec", node, "journalctl", "--no-pager", "--lines=20", "--unit=kubelet", "--unit=containerd"),
            check=False,
        )
        return f"{container_logs}{journal}"

    def _run_kind(self, docker: Docker, *args: str) -> None:
        kind = ensure_binaries(self._cache, SILENT, (KIND_BINARY,))[KIND_BINARY.name]
        docker.run([str(kind), *args, "--quiet"])

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(find_kubectl(self._cache), self.kubeconfig, self._directory)

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        def report_holder(holder: str) -> None:
            progress.note(f"Waiting for {holder}, which is starting or stopping cluster {self.name!r} ...")

        with file_lock(self._cache / "locks" / f"cluster-{self.name}.lock", report_holder, remove=True):
            yield


def check_container_engine(docker: Docker) -> None:
    """Raise ProviderError if no container engine answers."""
    if reason := docker.why_unavailable():
        raise ProviderError(
            f"no container engine answers ({reason}): start Docker and check that you may use it, or omit "
            "--provider kind, because the default provider needs neither Docker nor root"
        )


def kind_config(image: str) -> Mapping[str, object]:
    """Return kind's configuration for a cluster from this node image, for all kinds of hosts."""
    patches: list[Mapping[str, object]] = [
        # Some hosts support cgroup v1 only.
        {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "failCgroupV1": False},
        # The host may not permit changes of these kernel limits.
        {
            "kind": "KubeProxyConfiguration",
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": image.startswith(_OWN_IMAGE_PREFIX)},
        "nodes": [{"role": "control-plane"}],
        "kubeadmConfigPatches": [yaml.safe_dump(patch, sort_keys=False) for patch in patches],
    }
