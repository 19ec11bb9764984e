"""The binaries of local clusters: their versions, their Go packages, and their paths in the cache.

The go.mod files in `toolchain/` pin the versions, also for binaries that are downloaded.
"""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from hopper.local.errors import UnsupportedPlatformError


@dataclass(frozen=True)
class GoProject:
    """A Go module that provides binaries, pinned by `toolchain/<toolchain>/go.mod`."""

    name: str
    module: str
    toolchain: str

    @property
    def version(self) -> str:
        """Pinned version, such as `v1.36.3`."""
        return pinned_version(self.toolchain, self.module)


@dataclass(frozen=True)
class Binary:
    """A program. `seconds` is its build time on two cores after the programs that precede it in the list."""

    name: str
    project: GoProject
    package: str
    seconds: int

    @property
    def title(self) -> str:
        """Name and version for messages."""
        return f"{self.name} {self.project.version}"


KUBERNETES = GoProject("kubernetes", "k8s.io/kubernetes", "kubernetes")
ETCD = GoProject("etcd", "go.etcd.io/etcd/server/v3", "kubernetes")
KWOK = GoProject("kwok", "sigs.k8s.io/kwok", "kwok")
HELM = GoProject("helm", "helm.sh/helm/v3", "helm")
KIND = GoProject("kind", "sigs.k8s.io/kind", "kind")

# The binaries that an embedded cluster needs.
CLUSTER_BINARIES = (
    Binary("etcd", ETCD, "go.etcd.io/etcd/server/v3", 35),
    Binary("kube-apiserver", KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 145),
    Binary("kube-controller-manager", KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 40),
    Binary("kube-scheduler", KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 5),
    Binary("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", 15),
    Binary("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", 55),
    Binary("kwokctl", KWOK, "sigs.k8s.io/kwok/cmd/kwokctl", 10),
)
# Optional tools for users of a cluster.
TOOL_BINARIES = (Binary("helm", HELM, "helm.sh/helm/v3/cmd/helm", 60),)
KIND_BINARY = Binary("kind", KIND, "sigs.k8s.io/kind", 10)


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, named as in Go."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"


@dataclass(frozen=True)
class BinaryStore:
    """The binaries in the cache, with one directory per project, version and platform."""

    cache: Path
    platform: Platform

    def path(self, binary: Binary) -> Path:
        """Return the path of the binary, which may not exist yet."""
        project = binary.project
        return self.cache / "bin" / f"{project.name}-{project.version}-{self.platform}" / binary.name

    def missing(self, wanted: Iterable[Binary] = CLUSTER_BINARIES) -> list[Binary]:
        """Return the binaries that are not in the store. The store never holds an incomplete binary."""
        return [binary for binary in wanted if not self.path(binary).is_file()]

    def paths(self, wanted: Iterable[Binary] = CLUSTER_BINARIES) -> Mapping[str, Path]:
        """Return the path of each binary by its name."""
        return {binary.name: self.path(binary) for binary in wanted}

    def partial_path(self, binary: Binary) -> Path:
        """Return a path for the unfinished file, on the same file system as the final path."""
        final = self.path(binary)
        final.parent.mkdir(parents=True, exist_ok=True)
        return final.with_name(f".{binary.name}.part")

    def commit(self, binary: Binary) -> None:
        """Move the unfinished file to the final path atomically, and make it executable."""
        part = self.partial_path(binary)
        part.chmod(0o755)
        part.replace(self.path(binary))


def this_platform() -> Platform:
    """Return the platform of this machine.

    Raises UnsupportedPlatformError.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    arch = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    if system not in ("linux", "darwin") or arch is None:
        raise UnsupportedPlatformError(
            f"local clusters do not support {system}/{machine}, only Linux and macOS on amd64 or arm64: "
            "set KUBECONFIG to the kubeconfig of another cluster and add --provider current"
        )
    return Platform(system, arch)


def binaries_in_directory(directory: Path, wanted: Sequence[Binary] = CLUSTER_BINARIES) -> dict[str, Path]:
    """Return the path of each wanted binary that is an executable file in the directory, by its name."""
    candidates = {binary.name: directory / binary.name for binary in wanted}
    return {name: path.absolute() for name, path in candidates.items() if path.is_file() and os.access(path, os.X_OK)}


def toolchain_directory(name: str) -> Traversable:
    """Return the directory of a pinned Go module, with its go.mod and go.sum."""
    return resources.files("hopper.local") / "toolchain" / name


@functools.cache
def pinned_version(toolchain: str, module: str) -> str:
    """Return the version of a module in the go.mod of a toolchain, such as `v1.36.3`.

    Raises LookupError.
    """
    text = (toolchain_directory(toolchain) / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise LookupError(f"toolchain/{toolchain}/go.mod does not require {module}")
    return match[1]
