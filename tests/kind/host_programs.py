"""Programs of this machine, and the Debian packages that provide missing ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from hopper.local.errors import DockerError, ProviderError

# Directories of programs for root, which a PATH may lack.
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Return the PATH with the directories of programs for root."""
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*directories, *(system for system in _SYSTEM_DIRECTORIES if system not in directories)])


def is_installed(program: str) -> bool:
    """Whether the program is on the search path."""
    return shutil.which(program, path=search_path()) is not None


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises DockerError.
    """
    if path := shutil.which(name, path=search_path()):
        return path
    raise DockerError(f"{name} is not installed: install it")


def can_install_packages() -> bool:
    """Whether this process may install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure_program(program: str, package: str) -> None:
    """Install the Debian package of a program unless the program is installed.

    Raises ProviderError.
    """
    if is_installed(program):
        return
    if not can_install_packages():
        raise ProviderError(f"{program} is not installed: install it (Debian package {package})")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    result = _run_apt(install)
    if result.returncode:
        # The package lists may be missing or outdated.
        _run_apt(["apt-get", "update", "--quiet"])
        result = _run_apt(install)
    if result.returncode or not is_installed(program):
        raise ProviderError(f"{program} is not installed, and `{' '.join(install)}` failed: {result.stderr.strip()}")


def _run_apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": search_path()}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
