"""The edits of a release: every place in the repository that names the version, and the changelog."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_UNRELEASED = "## [Unreleased]\n"
# Text before the version, by file. Generated files follow from these.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "pyproject.toml": ('\nversion = "',),
    "charts/hopper/Chart.yaml": ("\nversion: ", "\nappVersion: "),
    "README.md": ("hopper:",),
    "docs/how-to/install.md": ("hopper:", "newTag: "),
    "tests/cluster/test_manifests.py": ("hopper:",),
}


class ReleaseError(Exception):
    """A release that cannot be made; the message says why and what to do."""


def current_version(root: Path) -> str:
    """Return the version in pyproject.toml."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def release_edits(root: Path, version: str, day: date) -> dict[Path, str]:
    """Return the new text of each file that a release changes by hand.

    Raises `ReleaseError` where the version is not one, is not newer than the current one, or where the changelog has
    nothing to release.
    """
    current = current_version(root)
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"VERSION={version}: must be MAJOR.MINOR.PATCH, such as 1.2.0")
    if _numbers(version) <= _numbers(current):
        raise ReleaseError(f"VERSION={version}: must be newer than {current}, the version in pyproject.toml")
    edits = {root / name: _bumped(root / name, places, current, version) for name, places in _PLACES.items()}
    changelog = root / "CHANGELOG.md"
    return {**edits, changelog: _released(changelog.read_text(encoding="utf-8"), version, day)}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _bumped(path: Path, places: tuple[str, ...], current: str, version: str) -> str:
    text = path.read_text(encoding="utf-8")
    for place in places:
        if place + current not in text:
            raise ReleaseError(
                f'{path.name}: "{(place + current).strip()}" not found; update tests/release/versions.py'
            )
        text = text.replace(place + current, place + version)
    return text


def _released(changelog: str, version: str, day: date) -> str:
    before, heading, after = changelog.partition(_UNRELEASED)
    notes = after.partition("\n## [")[0]
    if not heading or "\n- " not in notes:
        raise ReleaseError("CHANGELOG.md: nothing under [Unreleased]; say what users will notice")
    return f"{before}{_UNRELEASED}\n## [{version}] - {day.isoformat()}\n{after}"
