"""The offline audit: locked packages compared with the pinned advisories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tests.supply_chain.lock import LockedPackage

PINNED = Path(__file__).parent / "advisories.json"


@dataclass(frozen=True)
class Finding:
    """A locked package that an advisory affects, or for which no advisories were collected (no `advisory`)."""

    package: LockedPackage
    advisory: dict[str, Any] | None = None

    def __str__(self) -> str:
        name = f"{self.package.name} {self.package.version}"
        if self.advisory is None:
            return f"{name}: not covered by {PINNED.name}; collect the advisories again"
        names = ", ".join([self.advisory["id"], *self.advisory["aliases"]])
        versions = sorted({range_["fixed"] for range_ in self.advisory["ranges"] if "fixed" in range_}, key=Version)
        newer = [version for version in versions if Version(version) > self.package.version]
        fix = f"fixed in {newer[0]}: run make lock UPGRADE=1" if newer else "no fixed version is known"
        return f"{name}: {names}; {fix}"


def pinned_advisories() -> dict[str, Any]:
    """Return the content of the pinned file."""
    pinned: dict[str, Any] = json.loads(PINNED.read_text(encoding="utf-8"))
    return pinned


def findings(packages: Iterable[LockedPackage], pinned: dict[str, Any]) -> list[Finding]:
    """Return one finding for each advisory that affects a package, and for each package that is not covered."""
    results = []
    for package in packages:
        if package.name not in pinned["packages"]:
            results.append(Finding(package))
        results += [
            Finding(package, advisory)
            for advisory in pinned["advisories"]
            if advisory["package"] == package.name and is_affected(package.version, advisory)
        ]
    return results


def is_affected(version: Version, advisory: dict[str, Any]) -> bool:
    """Whether an advisory lists the version, or one of its ranges contains the version."""
    return str(version) in advisory["versions"] or any(_contains(range_, version) for range_ in advisory["ranges"])


def _contains(range_: dict[str, str], version: Version) -> bool:
    if version < Version(range_["introduced"]):
        return False
    if "fixed" in range_:
        return version < Version(range_["fixed"])
    return "last_affected" not in range_ or version <= Version(range_["last_affected"])


def collect(database: Path, packages: Iterable[LockedPackage], source: str, date: str) -> dict[str, Any]:
    """Return the pinned form of the advisories about the packages.

    `database` is a directory of OSV files, `vulns/PACKAGE/ID.yaml`, such as a checkout of the PyPA advisory database.
    """
    names = sorted({package.name for package in packages})
    files = (path for name in names for path in sorted((database / "vulns" / name).glob("*.yaml")))
    advisories = [advisory for path in files for advisory in _advisories(path)]
    return {"source": source, "date": date, "packages": names, "advisories": advisories}


def _advisories(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one advisory for each package that an OSV file says is affected."""
    record = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    if "withdrawn" in record:
        return
    for affected in record["affected"]:
        ranges = [
            span for range_ in affected.get("ranges", []) if range_["type"] == "ECOSYSTEM" for span in _spans(range_)
        ]
        yield {
            "id": record["id"],
            "aliases": record.get("aliases", []),
            "package": canonicalize_name(affected["package"]["name"]),
            "ranges": ranges,
            # With ranges, the list repeats them.
            "versions": [] if ranges else [version for version in affected.get("versions", []) if _is_version(version)],
        }


def _spans(range_: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each pair of an event `introduced` and the event that ends it."""
    span: dict[str, str] = {}
    for event in range_["events"]:
        if "introduced" in event:
            if span:
                yield span
            span = {}
        span |= event
        if "introduced" not in event:
            yield span
            span = {}
    if span:
        yield span


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
