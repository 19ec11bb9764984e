"""kubectl for one cluster, independent of the user's configuration and caches."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import KubectlError


@dataclass(frozen=True)
class Kubectl:
    """The kubectl at `program`, for the cluster of `kubeconfig`. Its cache goes to `directory`.

    Without `kubeconfig`, kubectl uses the user's configuration.
    """

    program: Path
    kubeconfig: Path | None
    directory: Path

    def __call__(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl with `input` as its standard input, and return its standard output.

        Raises KubectlError if kubectl fails and `check` is set.
        """
        kubeconfig_option = [] if self.kubeconfig is None else [f"--kubeconfig={self.kubeconfig}"]
        result = subprocess.run(
            [str(self.program), *kubeconfig_option, *args],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            env=os.environ | kubectl_environment(self.directory),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and result.returncode:
            raise KubectlError(args, result.returncode, result.stderr)
        return result.stdout

    def succeeds(self, *args: str) -> bool:
        """Whether kubectl succeeds within three seconds."""
        try:
            self(*args, "--request-timeout=3s")
        except KubectlError:
            return False
        return True


def kubectl_environment(directory: Path) -> dict[str, str]:
    """Return variables that make kubectl ignore the user's preferences and keep its cache in `directory`."""
    return {"KUBERC": "off", "KUBECACHEDIR": str(directory / "kubectl-cache")}
