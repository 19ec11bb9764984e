"""Errors of local clusters. Every message names the affected object and says what to do.

LocalError
├── InvalidNameError           invalid cluster name.
├── UnsupportedPlatformError   no binaries for this operating system and processor.
├── BinariesError              the Kubernetes binaries are not available.
│   ├── MissingBinaryError     a binary is missing from the user's own directory, or from this machine.
│   ├── DownloadError          a site is unreachable or lacks a file (Hopper builds from source instead).
│   ├── ChecksumError          a downloaded file differs from its published checksum (the file is deleted).
│   ├── GoNotFoundError        no suitable Go toolchain, and none could be installed.
│   └── BuildError             the compiler failed.
├── ProviderError              a requirement of the provider is missing (Docker, a node image, a kubeconfig).
├── DockerError                docker, or a program that uses it, failed.
├── ClusterStartError          the cluster did not start.
│   └── PortTakenError         another process took a chosen port first (Hopper tries other ports).
├── ClusterNotRunningError     the call needs a running cluster.
└── KubectlError               kubectl failed.
"""

from __future__ import annotations


class LocalError(Exception):
    """Base class of the errors of `hopper.local`."""


class InvalidNameError(LocalError):
    """An invalid cluster name."""


class UnsupportedPlatformError(LocalError):
    """An operating system or processor without binaries."""


class BinariesError(LocalError):
    """Base class of the errors in getting the Kubernetes binaries."""


class MissingBinaryError(BinariesError):
    """A binary that is missing from the user's own directory, or from this machine."""


class DownloadError(BinariesError):
    """A download site that is unreachable or lacks a file."""


class ChecksumError(BinariesError):
    """A downloaded file that differs from its published checksum."""


class GoNotFoundError(BinariesError):
    """No suitable Go toolchain, and none could be installed."""


class BuildError(BinariesError):
    """A failure of the compiler."""


class ProviderError(LocalError):
    """A missing requirement of the provider, such as Docker or a node image."""


class DockerError(LocalError):
    """A failure of docker, or of a program that uses it."""


class ClusterStartError(LocalError):
    """A cluster that did not start."""


class PortTakenError(ClusterStartError):
    """A chosen port that another process took first."""


class ClusterNotRunningError(LocalError):
    """A call that needs a running cluster."""


class KubectlError(LocalError):
    """A failure of kubectl, with its exit code (`returncode`) and standard error (`stderr`)."""

    def __init__(self, args: tuple[str, ...], returncode: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(args)} failed with exit code {returncode}: {stderr.strip()}")
        self.returncode = returncode
        self.stderr = stderr
