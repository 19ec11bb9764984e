"""A kind cluster: real containers, for what simulated nodes cannot show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from hopper.local import binaries, record
from hopper.local.binaries import find_kubectl
from hopper.local.catalogue import BINARIES, KIND_COMMAND
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, DockerError
from hopper.local.kind import debian, engine, node_image
from hopper.local.kind.docker import Docker
from hopper.local.kind.engine import OwnEngine
from hopper.local.kind.node_image import NodeImage
from hopper.local.kubectl import Kubectl
from hopper.local.paths import DEFAULT_NAME, cache_dir, clusters_dir, valid_name
from hopper.local.progress import SILENT, Progress
from hopper.local.status import KUBECONFIG, State, Status

_TOOLS = (KIND_COMMAND, *(binary for binary in BINARIES if binary.name == "kubectl"))
_CREATE_SECONDS = 40.0
_SYSTEM_SECONDS = 20.0
_NODE_WITHIN = "240s"
_SYSTEM_WITHIN = "300s"


class KindCluster:
    """The kind cluster `hopper-<name>`."""

    provider = "kind"

    def __init__(self, name: str = DEFAULT_NAME, *, cache: Path | None = None) -> None:
        """Raises InvalidNameError."""
        self.name = valid_name(name)
        self._cache = cache or cache_dir()
        self._directory = clusters_dir(self._cache) / name
        self._kind_name = f"hopper-{name}"
        self._own_engine = OwnEngine(self._cache / "engine")

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig."""
        return self._directory / KUBECONFIG

    @property
    def docker(self) -> Docker:
        """The engine that the cluster runs in, for building images."""
        return self._own_engine.docker if self._runs_in_own_engine else Docker()

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output. Raises ClusterNotRunningError, KubectlError."""
        if not self.kubeconfig.exists():
            raise ClusterNotRunningError(
                f"cluster {self.name!r} is not running: `hopper local up --provider kind --name {self.name}`"
            )
        return self._kubectl(*args, input=input, check=check)

    def status(self) -> Status:
        """How the cluster is now."""
        if not self._directory.exists():
            return Status(self.name, self.provider, State.ABSENT)
        found = record.read(self._directory) or record.Record(self.provider, "")
        if found.complete and self.kubeconfig.exists() and self._kubectl.succeeds("get", "--raw=/readyz"):
            return Status(self.name, self.provider, State.RUNNING, found.version, found.server)
        problem = "its containers do not answer" if found.complete else "its start was interrupted"
        return Status(self.name, self.provider, State.STALE, found.version, found.server, (problem,))

    def up(self, progress: Progress = SILENT) -> None:
        """Have the cluster running, with everything that takes. Raises LocalError; then nothing is left behind."""
        with engine.engine_lock(self._cache, progress):
            status = self.status()
            if status.running:
                progress.note(f"Cluster {self.name!r} is already running")
                return
            docker, own = engine.find(self._cache)
            try:
                if own:
                    own.start(progress)
                if status.state is State.STALE:
                    progress.note(
                        f"Cluster {self.name!r} is stale ({'; '.join(status.problems)}): starting it anew, empty"
                    )
                    self._remove(docker)
                self._start(docker, own is not None, progress)
            except BaseException:
                self._remove(docker)
                self._stop_idle_engine(progress)
                raise

    def down(self, progress: Progress = SILENT) -> bool:
        """Remove the containers and every file of the cluster, and end an engine of ours that nobody else uses.

        Returns whether there was anything. Raises EngineError.
        """
        if not self._directory.exists() and not self._own_engine.left_anything:
            return False
        with engine.engine_lock(self._cache, progress):
            found = self._directory.exists()
            if found:
                with progress.step(f"Stopping kind cluster {self._kind_name!r}"):
                    self._remove(self.docker)
            return self._stop_idle_engine(progress) or found

    def load(self, *images: str) -> None:
        """Make images of the cluster's engine known to its nodes. Raises DockerError."""
        self._kind(self.docker, "load", "docker-image", f"--name={self._kind_name}", *images)

    def python_image(self, progress: Progress = SILENT) -> str:
        """A base for images with Python, put together from packages. Raises DockerError, ProviderError."""
        return debian.python_image(self.docker, self._cache, progress)

    def _start(self, docker: Docker, in_own_engine: bool, progress: Progress) -> None:
        binaries.ensure(self._cache, progress, _TOOLS)
        image = node_image.choose(docker, self._cache, progress, may_assemble=os.geteuid() == 0)
        self._directory.mkdir(parents=True, mode=0o700)
        begun = record.Record(self.provider, "", arguments={"ownEngine": in_own_engine, "image": image.name})
        begun.write(self._directory)
        with progress.step(f"Starting kind cluster {self._kind_name!r}", _CREATE_SECONDS):
            self._create(docker, image)
        with progress.step("Waiting for its name service and storage", _SYSTEM_SECONDS):
            self._await_system()
        server = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        version = yaml.safe_load(self.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
        replace(begun, version=version, server=server, complete=True).write(self._directory)

    def _create(self, docker: Docker, image: NodeImage) -> None:
        config = self._directory / "kind.yaml"
        config.write_text(yaml.safe_dump(configuration(image), sort_keys=False), encoding="utf-8")
        options = [f"--name={self._kind_name}", f"--kubeconfig={self.kubeconfig}", f"--config={config}"]
        try:
            self._kind(
                docker, "create", "cluster", *options, f"--image={image.name}", f"--wait={_NODE_WITHIN}", "--retain"
            )
        except DockerError as error:
            raise ClusterStartError(f"{error}\nThe node says at its end:\n{self._last_words(docker)}") from error

    def _await_system(self) -> None:
        for namespace in ("kube-system", "local-path-storage"):
            self.kubectl(
                *("wait", "deployments", "--all", f"--namespace={namespace}"),
                *("--for=condition=Available", f"--timeout={_SYSTEM_WITHIN}"),
            )

    def _remove(self, docker: Docker) -> None:
        """What `kind delete cluster` does; that needs no kind."""
        mine = f"--filter=label=io.x-k8s.kind.cluster={self._kind_name}"
        if docker.answers() is None and (containers := docker("ps", "--all", "--quiet", mine).split()):
            docker("rm", "--force", "--volumes", *containers)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _stop_idle_engine(self, progress: Progress) -> bool:
        """End an engine of ours unless it still runs something. Returns whether there was one to end."""
        own = self._own_engine
        if not own.left_anything or (own.running and own.docker("ps", "--quiet").split()):
            return False
        own.stop(progress)
        return True

    def _last_words(self, docker: Docker) -> str:
        logs = docker("logs", "--tail=20", f"{self._kind_name}-control-plane", check=False)
        kubelet = docker(
            *("exec", f"{self._kind_name}-control-plane"),
            *("journalctl", "--no-pager", "--lines=20", "--unit=kubelet", "--unit=containerd"),
            check=False,
        )
        return f"{logs}{kubelet}"

    def _kind(self, docker: Docker, *args: str) -> None:
        program = binaries.ensure(self._cache, SILENT, (KIND_COMMAND,))[KIND_COMMAND.name]
        docker.run([str(program), *args, "--quiet"])

    @property
    def _runs_in_own_engine(self) -> bool:
        found = record.read(self._directory)
        return bool(found and found.arguments.get("ownEngine"))

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(find_kubectl(self._cache), self.kubeconfig, self._directory)


def configuration(image: NodeImage) -> Mapping[str, object]:
    """What kind is told, for hosts of all sorts."""
    patches: list[Mapping[str, object]] = [
        # Hosts with cgroup v1 only are still about.
        {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "failCgroupV1": False},
        # These limits of the kernel may not be ours to set.
        {
            "kind": "KubeProxyConfiguration",
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": image.assembled},
        "nodes": [{"role": "control-plane"}],
        "kubeadmConfigPatches": [yaml.safe_dump(patch, sort_keys=False) for patch in patches],
    }


def prepare(cache: Path, progress: Progress = SILENT) -> Mapping[str, str]:
    """Get everything that `up` needs. What it is → where or what it is called.

    Raises BinariesError, DockerError, ProviderError.
    """
    with engine.engine_lock(cache, progress):
        docker, own = engine.find(cache)
        begun = own is not None and not own.running
        try:
            if own:
                own.start(progress)
            tools = binaries.ensure(cache, progress, _TOOLS)
            image = node_image.choose(docker, cache, progress, may_assemble=os.geteuid() == 0)
            got = {**{name: str(path) for name, path in tools.items()}, "node image": image.name}
            if image.assembled:
                got["image with Python"] = debian.python_image(docker, cache, progress)
            return got
        finally:
            if own and begun:
                own.stop(progress)
