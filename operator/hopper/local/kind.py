"""A kind cluster: real containers, for what simulated nodes cannot show. It needs Docker, kind and a node image."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hopper.local import record
from hopper.local.binaries import find_kubectl
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, LocalError, ProviderError
from hopper.local.kubectl import Kubectl
from hopper.local.paths import DEFAULT_NAME, cache_dir, clusters_dir, valid_name
from hopper.local.progress import SILENT, Progress
from hopper.local.status import KUBECONFIG, State, Status

NODE_IMAGE = "HOPPER_KIND_IMAGE"
_CREATE_SECONDS = 60.0


class KindCluster:
    """The kind cluster `hopper-<name>`."""

    provider = "kind"

    def __init__(self, name: str = DEFAULT_NAME, *, cache: Path | None = None) -> None:
        """Raises InvalidNameError."""
        self.name = valid_name(name)
        self._cache = cache or cache_dir()
        self._directory = clusters_dir(self._cache) / name
        self._kind_name = f"hopper-{name}"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig."""
        return self._directory / KUBECONFIG

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
        if self.kubeconfig.exists() and self._kubectl.succeeds("get", "--raw=/readyz"):
            return Status(self.name, self.provider, State.RUNNING, found.version, found.server)
        problem = "its containers do not answer"
        return Status(self.name, self.provider, State.STALE, found.version, found.server, (problem,))

    def up(self, progress: Progress = SILENT) -> None:
        """Have the cluster running. Raises ProviderError, ClusterStartError."""
        check_requirements()
        status = self.status()
        if status.running:
            progress.note(f"Cluster {self.name!r} is already running")
            return
        if status.state is State.STALE:
            progress.note(f"Cluster {self.name!r} is stale ({'; '.join(status.problems)}): starting it anew")
            self.down()
        self._directory.mkdir(parents=True, mode=0o700)
        try:
            with progress.step(f"Starting kind cluster {self._kind_name!r}", _CREATE_SECONDS):
                image = [f"--image={image}"] if (image := os.environ.get(NODE_IMAGE)) else []
                _kind("create", "cluster", f"--name={self._kind_name}", f"--kubeconfig={self.kubeconfig}", *image)
            server = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
            record.Record(self.provider, _server_version(self._kubectl), server, complete=True).write(self._directory)
        except BaseException:
            self.down()
            raise

    def down(self, progress: Progress = SILENT) -> bool:
        """Delete the containers and every file of the cluster. Returns whether there was anything."""
        if not self._directory.exists():
            return False
        with progress.step(f"Stopping kind cluster {self._kind_name!r}"):
            _kind("delete", "cluster", f"--name={self._kind_name}", f"--kubeconfig={self.kubeconfig}")
            shutil.rmtree(self._directory, ignore_errors=True)
        return True

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(find_kubectl(self._cache), self.kubeconfig, self._directory)


def check_requirements() -> None:
    """Raise ProviderError that lists everything missing and what to do about it."""
    lacking = []
    docker = shutil.which("docker")
    if docker is None:
        lacking.append("docker is not installed: install Docker Engine")
    elif (told := subprocess.run([docker, "info"], capture_output=True, text=True, check=False)).returncode:
        reason = (told.stderr.strip().splitlines() or ["it ends with an error"])[-1]
        lacking.append(f"docker does not work ({reason}): start its engine, and see that you may use it")
    if shutil.which("kind") is None:
        lacking.append("kind is not installed: `go install sigs.k8s.io/kind@latest`, or your system's package")
    if lacking:
        listed = "\n".join(f"  - {item}" for item in lacking)
        raise ProviderError(
            f"the kind provider lacks something:\n{listed}\nOr leave it out: --provider local needs none"
        )


def _kind(*args: str) -> None:
    program = shutil.which("kind")
    if program is None:
        raise ProviderError("kind is not installed, and only it can stop the cluster's containers")
    done = subprocess.run([program, *args, "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterStartError(
            f"kind {' '.join(args[:2])} failed: {done.stderr.strip()}\n"
            f"If it is the node image that cannot be pulled, set {NODE_IMAGE} to one that is there"
        )


def _server_version(kubectl: Kubectl) -> str:
    try:
        return kubectl("version", "--output=jsonpath={.serverVersion.gitVersion}")
    except LocalError:
        return ""
