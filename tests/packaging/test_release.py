"""`make release` keeps every version in step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.packaging.helm import ROOT
from tests.release.versions import ReleaseError, current_version, release_edits

DAY = date(2030, 1, 2)
NEXT = "9.8.7"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository, with the uncommitted changes of the checkout, and something to release."""
    target = tmp_path / "hopper"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target)], check=True)
    changes = _git(ROOT, "diff", "HEAD", "--binary")
    if changes:
        subprocess.run(["git", "apply"], cwd=target, input=changes, text=True, check=True)
    changelog = target / "CHANGELOG.md"
    head, heading, tail = changelog.read_text().partition("## [Unreleased]\n")
    changelog.write_text(f"{head}{heading}\n### Added\n\n- A thing that users notice.\n{tail}")
    for key, value in (("user.name", "Release Test"), ("user.email", "release@example.org")):
        _git(target, "config", key, value)
    _git(target, "commit", "--quiet", "--all", "--allow-empty", "--message", "wip: changes of the checkout")
    return target


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def _release(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root / "operator")}
    command = [sys.executable, "-m", "tests.release", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_dry_run_shows_the_edits_and_changes_nothing(clone: Path) -> None:
    shown = _release(clone, NEXT, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f'+version = "{NEXT}"' in shown.stdout
    assert f"+appVersion: {NEXT}" in shown.stdout
    assert re.search(rf"^\+## \[{NEXT}\] - \d{{4}}-\d\d-\d\d$", shown.stdout, re.MULTILINE)
    assert _git(clone, "status", "--porcelain") == ""
    assert _git(clone, "tag", "--list", f"v{NEXT}") == ""


def test_a_release_leaves_no_file_with_the_old_version(clone: Path) -> None:
    old = current_version(clone)
    done = _release(clone, NEXT)
    assert done.returncode == 0, done.stderr
    assert _git(clone, "tag", "--list", f"v{NEXT}").strip() == f"v{NEXT}"
    assert _git(clone, "log", "-1", "--format=%s").strip() == f"release: {NEXT}"
    assert _git(clone, "status", "--porcelain") == ""
    tracked = [clone / name for name in _git(clone, "ls-files").splitlines()]
    stale = [
        path.name
        for path in tracked
        if re.search(rf'hopper[:-]{re.escape(old)}|version: "?{re.escape(old)}', path.read_text())
    ]
    assert stale == [], "name the place in tests/release/versions.py, or generate the file"


def test_a_release_needs_a_clean_checkout(clone: Path) -> None:
    (clone / "LICENSE").write_text("changed")
    refused = _release(clone, NEXT)
    assert refused.returncode == 1
    assert "uncommitted changes" in refused.stderr


@pytest.mark.parametrize(
    ("version", "message"),
    [("1.0", "MAJOR.MINOR.PATCH"), ("v9.0.0", "MAJOR.MINOR.PATCH"), ("0.0.1", "must be newer"), ("01.2.3", "MAJOR")],
)
def test_an_unfit_version_is_refused(version: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        release_edits(ROOT, version, DAY)


def test_a_release_without_notes_is_refused(clone: Path) -> None:
    changelog = clone / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(re.sub(r"(## \[Unreleased\]\n).*?(?=\n## \[)", r"\1", text, flags=re.DOTALL))
    with pytest.raises(ReleaseError, match="say what users will notice"):
        release_edits(clone, NEXT, DAY)


def test_the_changelog_names_the_current_version() -> None:
    assert f"\n## [{current_version(ROOT)}] - " in (ROOT / "CHANGELOG.md").read_text()
