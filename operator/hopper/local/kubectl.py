"""Running kubectl against one cluster, untouched by the user's own configuration and caches."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import KubectlError
from hopper.local.kwokctl import kubectl_environment


@dataclass(frozen=True)
class Kubectl:
    """`program` against the cluster of `kubeconfig`; None means what kubectl finds by itself.

    `directory` takes its cache.
    """

    program: Path
    kubeconfig: Path | None
    directory: Path

    def __call__(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl with `input` on its standard input and return its standard output.

        Raises KubectlError when it fails, unless `check` is off.
        """
        chosen = [] if self.kubeconfig is None else [f"--kubeconfig={self.kubeconfig}"]
        environment = os.environ | kubectl_environment(self.directory)
        done = subprocess.run(
            [str(self.program), *chosen, *args],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise KubectlError(args, done.returncode, done.stderr)
        return done.stdout

    def succeeds(self, *args: str) -> bool:
        """Whether kubectl ends well within a few seconds."""
        try:
            self(*args, "--request-timeout=3s")
        except KubectlError:
            return False
        return True
