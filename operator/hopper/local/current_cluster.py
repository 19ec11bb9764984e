"""The cluster of the user's kubeconfig. Hopper uses this cluster but never starts, stops or changes it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hopper.local.binaries import find_kubectl
from hopper.local.cluster_files import cache_dir
from hopper.local.cluster_status import ClusterState, ClusterStatus
from hopper.local.errors import KubectlError, ProviderError
from hopper.local.kubectl import Kubectl
from hopper.local.progress import SILENT, Progress


class CurrentCluster:
    """The cluster of the kubeconfig at `path`, or of the environment, exactly as kubectl sees it."""

    provider = "current"
    name = "current"

    def __init__(self, path: Path | None = None, *, cache: Path | None = None) -> None:
        """Store the paths. `cache` is the cache directory, which provides kubectl if there is none on the PATH."""
        self._path = path
        self._cache = cache or cache_dir()

    @property
    def kubeconfig(self) -> Path:
        """The given file, else the first file in KUBECONFIG, else the user's default kubeconfig."""
        if self._path is not None:
            return self._path
        paths = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
        return Path(paths[0]) if paths else Path("~/.kube/config").expanduser()

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output.

        Raises MissingBinaryError, and KubectlError if kubectl fails and `check` is set.
        """
        return self._kubectl(*args, input=input, check=check)

    def status(self) -> ClusterStatus:
        """Return whether the cluster answers, with its version and address."""
        try:
            version = json.loads(self.kubectl("get", "--raw=/version", "--request-timeout=5s"))["gitVersion"]
            server = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        except KubectlError as error:
            return ClusterStatus(self.name, self.provider, ClusterState.ABSENT, problems=(error.stderr.strip(),))
        return ClusterStatus(self.name, self.provider, ClusterState.RUNNING, version, server)

    def up(self, progress: Progress = SILENT) -> None:
        """Check that the cluster answers.

        Raises ProviderError.
        """
        status = self.status()
        if not status.is_running:
            raise ProviderError(
                f"the cluster of {self.kubeconfig} does not answer ({'; '.join(status.problems)}): set KUBECONFIG to "
                "the kubeconfig of a running cluster, or omit --provider current to start a local cluster"
            )
        progress.note(f"Using the cluster at {status.server} ({status.version}). Hopper does not start or stop it")

    def down(self, progress: Progress = SILENT) -> bool:
        """Report that the cluster keeps running, and return False."""
        progress.note("The current cluster keeps running, because Hopper did not start it")
        return False

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(find_kubectl(self._cache), self._path, self._cache)
