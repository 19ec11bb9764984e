"""Debian packages that the machine lacks, installed where Hopper may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from hopper.local.errors import ProviderError

# Where programs for root lie; a PATH may lack them.
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def lacking(program: str) -> bool:
    """Whether the program is nowhere to be found."""
    return shutil.which(program, path=search_path()) is None


def installable() -> bool:
    """Whether packages can be installed at all."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure(program: str, package: str) -> None:
    """Have the program, by installing Debian's package if need be. Raises ProviderError."""
    if not lacking(program):
        return
    if not installable():
        raise ProviderError(f"{program} is not installed: install it (in Debian, it is in the package {package})")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    done = _apt(install)
    if done.returncode:
        # The lists of packages may be old, or not there yet.
        _apt(["apt-get", "update", "--quiet"])
        done = _apt(install)
    if done.returncode or lacking(program):
        raise ProviderError(f"{program} is not installed, and `{' '.join(install)}` failed: {done.stderr.strip()}")


def search_path() -> str:
    """PATH, with the directories of programs for root."""
    listed = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*listed, *(directory for directory in _SYSTEM if directory not in listed)])


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": search_path()}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
