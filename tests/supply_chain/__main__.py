"""Commands of the Makefile: `python -m tests.supply_chain sbom|audit|advisories`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.supply_chain.audit import PINNED, collect, findings, pinned_advisories
from tests.supply_chain.lock import BUILD_LOCK, RUNTIME_LOCK, locked_packages
from tests.supply_chain.sbom import sbom_text


def _sbom(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sbom_text(), encoding="utf-8")
    sys.stdout.write(f"wrote {path}\n")


def _audit() -> int:
    pinned = pinned_advisories()
    packages = [package for lock in (RUNTIME_LOCK, BUILD_LOCK) for package in locked_packages(lock)]
    results = findings(packages, pinned)
    for finding in results:
        sys.stdout.write(f"{finding}\n")
    count = len(pinned["advisories"])
    sys.stdout.write(f"{len(packages)} packages, {count} advisories of {pinned['date']}: {len(results)} findings\n")
    return 1 if results else 0


def _collect(database: Path, source: str, date: str) -> None:
    packages = [package for lock in (RUNTIME_LOCK, BUILD_LOCK) for package in locked_packages(lock)]
    pinned = collect(database, packages, source, date)
    PINNED.write_text(json.dumps(pinned, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {len(pinned['advisories'])} advisories to {PINNED.name}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.supply_chain")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sbom", help="Write the bill of materials.").add_argument("path", type=Path)
    commands.add_parser("audit", help="Compare the locks with the pinned advisories.")
    advisories = commands.add_parser("advisories", help="Pin the advisories of a database with OSV files.")
    advisories.add_argument("database", type=Path)
    advisories.add_argument("--source", required=True, help="Name and revision of the database.")
    advisories.add_argument("--date", required=True, help="Date of the revision.")
    arguments = parser.parse_args()
    if arguments.command == "audit":
        return _audit()
    if arguments.command == "sbom":
        _sbom(arguments.path)
    else:
        _collect(arguments.database, arguments.source, arguments.date)
    return 0


if __name__ == "__main__":
    sys.exit(main())
