"""The locked dependencies of the image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker, default_environment
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
# What the image contains, and what builds it.
RUNTIME_LOCK = ROOT / "operator" / "requirements.txt"
BUILD_LOCK = ROOT / "operator" / "requirements-build.txt"

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\\n]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# `# via aiohttp`, or a list of such lines after `# via`.
_DEPENDENT = re.compile(r"^ +# +(?:via +)?(?!via$)(\S+)", re.MULTILINE)


class LockError(Exception):
    """A lock file that cannot be read."""


@dataclass(frozen=True)
class LockedPackage:
    """A package at a version, with the SHA-256 of every file that pip accepts for it."""

    name: str
    version: Version
    hashes: tuple[str, ...]
    # The packages that require this one. The project itself is one of them.
    dependents: tuple[str, ...]
    # Whether the image contains the package. Others are for operating systems besides Linux.
    is_in_image: bool


def locked_packages(lock: Path) -> list[LockedPackage]:
    """Return the packages of a file that `make lock` wrote. Raises `LockError`."""
    text = "".join(line for line in lock.read_text(encoding="utf-8").splitlines(True) if not line.startswith("#"))
    packages = [_package(entry, lock) for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if entry.strip()]
    if not packages:
        raise LockError(f"{lock}: no locked packages; run make lock")
    return packages


def _package(entry: str, lock: Path) -> LockedPackage:
    parts = _ENTRY.match(entry)
    hashes = tuple(_HASH.findall(entry))
    if not parts or not hashes:
        line = entry.partition("\n")[0]
        raise LockError(f"{lock}: {line!r} has no version or no hash; run make lock")
    marker = parts["marker"]
    return LockedPackage(
        name=canonicalize_name(parts["name"]),
        version=Version(parts["version"]),
        hashes=hashes,
        dependents=tuple(canonicalize_name(name) for name in _DEPENDENT.findall(entry)),
        is_in_image=marker is None or Marker(marker.strip()).evaluate(_image_environment()),
    )


def _image_environment() -> dict[str, str]:
    environment = {key: str(value) for key, value in default_environment().items()}
    return environment | {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"}
