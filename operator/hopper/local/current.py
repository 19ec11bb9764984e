"""Whatever cluster KUBECONFIG points at. It is used, and never started, stopped or changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hopper.local.binaries import find_kubectl
from hopper.local.errors import KubectlError, ProviderError
from hopper.local.kubectl import Kubectl
from hopper.local.paths import cache_dir
from hopper.local.progress import SILENT, Progress
from hopper.local.status import State, Status

_NAME = "current"


class CurrentCluster:
    """The cluster of `path`; without one, of the environment, exactly as kubectl sees it."""

    provider = "current"
    name = _NAME

    def __init__(self, path: Path | None = None, *, cache: Path | None = None) -> None:
        """`cache` is Hopper's cache directory, for a kubectl where none is on the PATH."""
        self._path = path
        self._cache = cache or cache_dir()

    @property
    def kubeconfig(self) -> Path:
        """The file given or named by KUBECONFIG (the first, if it lists several), else the user's default one."""
        if self._path is not None:
            return self._path
        named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
        return Path(named[0]) if named else Path("~/.kube/config").expanduser()

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output. Raises MissingBinaryError, KubectlError."""
        return self._kubectl(*args, input=input, check=check)

    def status(self) -> Status:
        """Whether the cluster answers, and where."""
        try:
            version = json.loads(self.kubectl("get", "--raw=/version", "--request-timeout=5s"))["gitVersion"]
            server = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        except KubectlError as error:
            return Status(self.name, self.provider, State.ABSENT, problems=(error.stderr.strip(),))
        return Status(self.name, self.provider, State.RUNNING, version, server)

    def up(self, progress: Progress = SILENT) -> None:
        """Check that the cluster answers. Raises ProviderError."""
        status = self.status()
        if not status.running:
            raise ProviderError(
                f"the cluster of {self.kubeconfig} does not answer ({'; '.join(status.problems)}): point KUBECONFIG "
                "at a running cluster, or leave out --provider current to start a local one"
            )
        progress.note(f"Using the cluster at {status.server} ({status.version}); its life is not Hopper's business")

    def down(self, progress: Progress = SILENT) -> bool:
        """Do nothing."""
        progress.note("The current cluster was not started by Hopper: left as it is")
        return False

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(find_kubectl(self._cache), self._path, self._cache)
