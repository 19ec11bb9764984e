"""Building the binaries from the pinned Go modules in `toolchain/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hopper.local import golang
from hopper.local.catalogue import HELM, KUBERNETES, KWOK, Binary, Store, pinned_version, toolchain
from hopper.local.errors import BuildError
from hopper.local.progress import Progress, duration

_TAIL = 15


def build(missing: Sequence[Binary], store: Store, progress: Progress) -> None:
    """Build each binary into the store, one after the other; what is done stays done.

    Raises BuildError, GoNotFoundError.
    """
    go = golang.find(store.cache, store.platform, progress)
    usually = duration(sum(binary.seconds for binary in missing))
    progress.note(f"Building {len(missing)} programs from source, once: usually {usually} on two cores")
    with tempfile.TemporaryDirectory(prefix="build-", dir=store.cache) as scratch:
        for binary in missing:
            with progress.step(f"Building {binary.title}", binary.seconds):
                _build_one(go, binary, store, copied_toolchain(binary.project.toolchain, Path(scratch)))
    go.discard()


def _build_one(go: golang.Go, binary: Binary, store: Store, module: Path) -> None:
    part = store.scratch(binary)
    command = [str(go.program), "build", "-mod=readonly", "-trimpath", "-ldflags", linker_flags(binary)]
    environment = os.environ | go.environment | _environment(store)
    done = subprocess.run(
        [*command, "-o", str(part), binary.package],
        cwd=module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        part.unlink(missing_ok=True)
        tail = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-_TAIL:])
        raise BuildError(
            f"building {binary.title} failed:\n{tail}\n"
            "If it is modules that cannot be fetched, set GOPROXY; if the disk is full, free about 5 GB. "
            "The next try goes on from here"
        )
    store.put(binary)


def linker_flags(binary: Binary) -> str:
    """Strip the binary, and give it its version, as the projects' own builds do."""
    flags = ["-s", "-w"]
    version = binary.project.version
    if binary.project == KUBERNETES:
        major, minor, _ = version.removeprefix("v").split(".", 2)
        told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        flags += [f"-X k8s.io/component-base/version.{key}={value}" for key, value in told.items()]
    elif binary.project == KWOK:
        flags.append(f"-X sigs.k8s.io/kwok/pkg/consts.Version={version}")
    elif binary.project == HELM:
        flags.append(f"-X helm.sh/helm/v3/internal/version.version={version}")
        # The Kubernetes that `helm template` and `helm lint` take for granted: that of its client, v0.N for 1.N.
        minor = pinned_version("helm", "k8s.io/client-go").split(".")[1]
        for package in ("lint/rules", "chartutil"):
            told = {"k8sVersionMajor": "1", "k8sVersionMinor": minor}
            flags += [f"-X helm.sh/helm/v3/pkg/{package}.{key}={value}" for key, value in told.items()]
    return " ".join(flags)


def _environment(store: Store) -> dict[str, str]:
    platform = store.platform
    return {
        "CGO_ENABLED": "0",
        "GOOS": platform.os,
        "GOARCH": platform.arch,
        "GO111MODULE": "on",
        "GOWORK": "off",
        # Build with the toolchain found, and fetch no other.
        "GOTOOLCHAIN": "local",
    }


def copied_toolchain(name: str, scratch: Path) -> Path:
    """The module as a real, writable directory: the package may lie in a zip file, or where nobody may write."""
    directory = scratch / name
    if not directory.exists():
        directory.mkdir()
        for file in ("go.mod", "go.sum"):
            with (toolchain(name) / file).open("rb") as source, (directory / file).open("wb") as target:
                shutil.copyfileobj(source, target)
    return directory
