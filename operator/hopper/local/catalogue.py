"""The binaries of a local cluster: which, of what version, and where they lie in the cache.

The versions are those of the pinned Go modules in `toolchain/`, whichever way a binary is had.
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
class Project:
    """A Go module that binaries come from, pinned by the go.mod in `toolchain/<toolchain>`."""

    name: str
    module: str
    toolchain: str

    @property
    def version(self) -> str:
        """The pinned version, such as `v1.36.3`."""
        return pinned_version(self.toolchain, self.module)


@dataclass(frozen=True)
class Binary:
    """One program. `seconds` is how long it takes to build on two cores, after those that stand before it."""

    name: str
    project: Project
    package: str
    seconds: int

    @property
    def title(self) -> str:
        """How the user sees it."""
        return f"{self.name} {self.project.version}"


KUBERNETES = Project("kubernetes", "k8s.io/kubernetes", "kubernetes")
ETCD = Project("etcd", "go.etcd.io/etcd/server/v3", "kubernetes")
KWOK = Project("kwok", "sigs.k8s.io/kwok", "kwok")
HELM = Project("helm", "helm.sh/helm/v3", "helm")
KIND = Project("kind", "sigs.k8s.io/kind", "kind")
COREDNS = Project("coredns", "github.com/coredns/coredns", "kind")
LOCAL_PATH = Project("local-path-provisioner", "github.com/rancher/local-path-provisioner", "kind")

# What a cluster consists of.
BINARIES = (
    Binary("etcd", ETCD, "go.etcd.io/etcd/server/v3", 35),
    Binary("kube-apiserver", KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 145),
    Binary("kube-controller-manager", KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 40),
    Binary("kube-scheduler", KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 5),
    Binary("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", 15),
    Binary("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", 55),
    Binary("kwokctl", KWOK, "sigs.k8s.io/kwok/cmd/kwokctl", 10),
)
# What its users work with beside it: it starts without them.
TOOLS = (Binary("helm", HELM, "helm.sh/helm/v3/cmd/helm", 60),)
# What the kind provider takes: kind itself, and what a node image consists of beside the control plane.
KIND_COMMAND = Binary("kind", KIND, "sigs.k8s.io/kind", 10)
NODE = (
    Binary("kubeadm", KUBERNETES, "k8s.io/kubernetes/cmd/kubeadm", 20),
    Binary("kubelet", KUBERNETES, "k8s.io/kubernetes/cmd/kubelet", 30),
    Binary("kube-proxy", KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy", 15),
    Binary("coredns", COREDNS, "github.com/coredns/coredns", 100),
    Binary("local-path-provisioner", LOCAL_PATH, "github.com/rancher/local-path-provisioner", 50),
)


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, in Go's words."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"


@dataclass(frozen=True)
class Store:
    """The binaries in the cache, one directory for each project, version and platform."""

    cache: Path
    platform: Platform

    def path(self, binary: Binary) -> Path:
        """Where the binary lies, or would lie."""
        project = binary.project
        return self.cache / "bin" / f"{project.name}-{project.version}-{self.platform}" / binary.name

    def missing(self, wanted: Iterable[Binary] = BINARIES) -> list[Binary]:
        """Those not there yet. A binary appears in the store complete or not at all."""
        return [binary for binary in wanted if not self.path(binary).is_file()]

    def paths(self, wanted: Iterable[Binary] = BINARIES) -> Mapping[str, Path]:
        """Binary name → path, for all of them."""
        return {binary.name: self.path(binary) for binary in wanted}

    def scratch(self, binary: Binary) -> Path:
        """A path beside the final one, on the same file system, for the file in the making."""
        final = self.path(binary)
        final.parent.mkdir(parents=True, exist_ok=True)
        return final.with_name(f".{binary.name}.part")

    def put(self, binary: Binary) -> None:
        """Turn the scratch file into the binary, in one step, so that an interruption never leaves half a file."""
        part = self.scratch(binary)
        part.chmod(0o755)
        part.replace(self.path(binary))


def this_platform() -> Platform:
    """The machine's platform. Raises UnsupportedPlatformError."""
    system, machine = platform.system().lower(), platform.machine().lower()
    arch = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    if system not in ("linux", "darwin") or arch is None:
        raise UnsupportedPlatformError(
            f"no local cluster on {system}/{machine}: it runs on Linux and macOS with amd64 or arm64. "
            "Use another cluster: export KUBECONFIG and add --provider current"
        )
    return Platform(system, arch)


def in_directory(directory: Path, wanted: Sequence[Binary] = BINARIES) -> dict[str, Path]:
    """Those binaries that lie in a flat directory, as executables."""
    found = {binary.name: directory / binary.name for binary in wanted}
    return {name: path.absolute() for name, path in found.items() if path.is_file() and os.access(path, os.X_OK)}


def toolchain(name: str) -> Traversable:
    """The directory of a pinned Go module (go.mod and go.sum)."""
    return resources.files("hopper.local") / "toolchain" / name


@functools.cache
def pinned_version(toolchain_name: str, module: str) -> str:
    """The version of a module in the go.mod of a toolchain, such as `v1.36.3`. Raises LookupError."""
    text = (toolchain(toolchain_name) / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"toolchain/{toolchain_name}/go.mod does not require {module}")
    return found[1]
