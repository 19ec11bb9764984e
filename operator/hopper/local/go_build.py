"""The build of binaries from the pinned Go modules in `toolchain/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hopper.local.binary_catalogue import (
    HELM,
    KUBERNETES,
    KWOK,
    Binary,
    BinaryStore,
    pinned_version,
    toolchain_directory,
)
from hopper.local.errors import BuildError
from hopper.local.go_toolchain import GoToolchain, find_go
from hopper.local.progress import Progress, format_duration

_TAIL_LINES = 15


def build_binaries(missing: Sequence[Binary], store: BinaryStore, progress: Progress) -> None:
    """Build each binary into the store, one after the other. After a failure, finished binaries stay.

    Raises BuildError, GoNotFoundError.
    """
    go = find_go(store.cache, store.platform, progress)
    usual = format_duration(sum(binary.seconds for binary in missing))
    progress.note(f"Building {len(missing)} programs from source, once: usually {usual} on two cores")
    with tempfile.TemporaryDirectory(prefix="build-", dir=store.cache) as scratch:
        for binary in missing:
            with progress.step(f"Building {binary.title}", binary.seconds):
                _build_binary(go, binary, store, copy_toolchain(binary.project.toolchain, Path(scratch)))
    go.discard()


def linker_flags(binary: Binary) -> str:
    """Return the flags that strip the binary and set its version, as the project's own build does."""
    flags = ["-s", "-w"]
    version = binary.project.version
    if binary.project == KUBERNETES:
        major, minor, _ = version.removeprefix("v").split(".", 2)
        variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        flags += [f"-X k8s.io/component-base/version.{key}={value}" for key, value in variables.items()]
    elif binary.project == KWOK:
        flags.append(f"-X sigs.k8s.io/kwok/pkg/consts.Version={version}")
    elif binary.project == HELM:
        flags.append(f"-X helm.sh/helm/v3/internal/version.version={version}")
        # The default Kubernetes version of `helm template` and `helm lint` is that of helm's client: v0.N means 1.N.
        minor = pinned_version("helm", "k8s.io/client-go").split(".")[1]
        for package in ("lint/rules", "chartutil"):
            variables = {"k8sVersionMajor": "1", "k8sVersionMinor": minor}
            flags += [f"-X helm.sh/helm/v3/pkg/{package}.{key}={value}" for key, value in variables.items()]
    return " ".join(flags)


def copy_toolchain(name: str, scratch: Path) -> Path:
    """Copy the go.mod and go.sum of a toolchain into a writable directory in `scratch`, and return that directory.

    The installed package may be read-only or a zip file.
    """
    directory = scratch / name
    if not directory.exists():
        directory.mkdir()
        for file in ("go.mod", "go.sum"):
            with (toolchain_directory(name) / file).open("rb") as source, (directory / file).open("wb") as target:
                shutil.copyfileobj(source, target)
    return directory


def _build_binary(go: GoToolchain, binary: Binary, store: BinaryStore, module: Path) -> None:
    part = store.partial_path(binary)
    command = [str(go.program), "build", "-mod=readonly", "-trimpath", "-ldflags", linker_flags(binary)]
    result = subprocess.run(
        [*command, "-o", str(part), binary.package],
        cwd=module,
        env=os.environ | go.environment | _build_environment(store),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        part.unlink(missing_ok=True)
        tail = "\n".join(f"  {line}" for line in result.stdout.splitlines()[-_TAIL_LINES:])
        raise BuildError(
            f"building {binary.title} failed:\n{tail}\n"
            "If modules cannot be downloaded, set GOPROXY. If the disk is full, free about 5 GB. "
            "The next attempt keeps the finished programs"
        )
    store.commit(binary)


def _build_environment(store: BinaryStore) -> dict[str, str]:
    platform = store.platform
    return {
        "CGO_ENABLED": "0",
        "GOOS": platform.os,
        "GOARCH": platform.arch,
        "GO111MODULE": "on",
        "GOWORK": "off",
        # Use this toolchain, and download no other.
        "GOTOOLCHAIN": "local",
    }
