"""What can go wrong with a local cluster. Every message names the thing and says what to do.

LocalError
├── InvalidNameError           a cluster name that Kubernetes would not take
├── UnsupportedPlatformError   no binaries exist or can be built for this machine
├── BinariesError              the Kubernetes binaries cannot be had
│   ├── MissingBinaryError     the user's own directory lacks one
│   ├── DownloadError          a site is unreachable or lacks a file (the next way is tried)
│   ├── ChecksumError          a downloaded file is not what was published: never used
│   ├── GoNotFoundError        no Go toolchain, and none could be installed
│   └── BuildError             the compiler failed
├── ProviderError              what a provider needs is missing (Docker, root, a kubeconfig)
├── DockerError                docker, or a program that works through it, ended with an error
├── EngineError                the Docker engine of Hopper's own does not start or stop
├── ClusterStartError          the cluster did not come up
│   └── PortTakenError         somebody else got a port first (another is tried)
├── ClusterNotRunningError     the call needs a running cluster
└── KubectlError               kubectl ended with an error
"""

from __future__ import annotations


class LocalError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidNameError(LocalError):
    """A cluster name that Kubernetes would not take."""


class UnsupportedPlatformError(LocalError):
    """No binaries exist or can be built for this machine."""


class BinariesError(LocalError):
    """The Kubernetes binaries cannot be had."""


class MissingBinaryError(BinariesError):
    """The user's own directory lacks a binary."""


class DownloadError(BinariesError):
    """A site is unreachable or lacks a file."""


class ChecksumError(BinariesError):
    """A downloaded file differs from its published checksum."""


class GoNotFoundError(BinariesError):
    """No Go toolchain, and none could be installed."""


class BuildError(BinariesError):
    """The compiler failed."""


class ProviderError(LocalError):
    """What a provider needs is missing."""


class DockerError(LocalError):
    """docker, or a program that works through it, ended with an error."""


class EngineError(LocalError):
    """The Docker engine of Hopper's own does not start or stop."""


class ClusterStartError(LocalError):
    """The cluster did not come up."""


class PortTakenError(ClusterStartError):
    """Another process got one of the chosen ports first."""


class ClusterNotRunningError(LocalError):
    """The call needs a running cluster."""


class KubectlError(LocalError):
    """kubectl ended with an error.

    `returncode` and `stderr` are kubectl's own.
    """

    def __init__(self, args: tuple[str, ...], returncode: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(args)} ended with {returncode}: {stderr.strip()}")
        self.returncode = returncode
        self.stderr = stderr
