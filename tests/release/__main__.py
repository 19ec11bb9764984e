"""The command that makes a release: `python -m tests.release VERSION [--dry-run]`, as `make release VERSION=x` does.

Without `--dry-run` it edits the versions and the changelog, generates what follows from them, commits and tags.
Nothing is pushed. With `--dry-run` it prints the edits and commands, and changes nothing.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.release.versions import ReleaseError, release_edits

GENERATORS = ("tests.generators.crds crds", "tests.packaging", "tests.generators.rest_docs docs/reference")


def main(arguments: list[str], root: Path) -> None:
    """Make a release of the checkout at `root`, or show it. Exits with a message where it cannot be made."""
    dry_run = "--dry-run" in arguments
    versions = [argument for argument in arguments if argument != "--dry-run"]
    if len(versions) != 1 or not versions[0]:
        sys.exit("usage: make release VERSION=MAJOR.MINOR.PATCH [DRY_RUN=1]")
    (version,) = versions
    try:
        edits = release_edits(root, version, datetime.now(UTC).date())
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    if not dry_run and _git(root, "status", "--porcelain"):
        sys.exit("release: the checkout has uncommitted changes; commit or stash them first")
    if dry_run:
        _show(root, edits, version)
        return
    for path, text in edits.items():
        path.write_text(text, encoding="utf-8")
    for generator in GENERATORS:
        subprocess.run([sys.executable, "-m", *generator.split()], cwd=root, check=True)
    _git(root, "commit", "--quiet", "--all", "--message", f"release: {version}")
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Hopper {version}")
    sys.stdout.write(f"release: committed and tagged v{version}; publish with: git push --follow-tags\n")


def _show(root: Path, edits: dict[Path, str], version: str) -> None:
    for path, text in edits.items():
        name = str(path.relative_to(root))
        before = path.read_text(encoding="utf-8").splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(before, text.splitlines(keepends=True), name, name))
    for generator in GENERATORS:
        sys.stdout.write(f"would run: python -m {generator}\n")
    sys.stdout.write(f"would commit and tag: v{version}\n")


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:], Path.cwd())
