"""The layout of the repository and the names of the distribution."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    *("operator", "crds", "manifests", "tests", "charts", "docs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("pyproject.toml", "Makefile", "Dockerfile"),
}
CONTRACTS = {
    "Layers point one way",
    "Only the adapters import kubernetes",
    "Only the watch imports kopf",
    "The domain does no I/O",
}


def test_the_operator_directory_is_not_a_package() -> None:
    """As a package, it would shadow the module `operator` of the standard library in this directory."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    code = "import operator; operator.itemgetter"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_operator_directory_contains_one_package() -> None:
    entries = {path.parts[1] for path in _tracked_files() if path.parts[0] == "operator"}
    assert {entry for entry in entries if not entry.endswith(".txt")} == {"hopper"}


def test_the_top_level_contains_known_entries_only() -> None:
    entries = {path.parts[0] for path in _tracked_files()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


def test_the_distribution_provides_the_package() -> None:
    distribution = importlib.metadata.distribution("hopper-operator")
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert set(importlib.metadata.packages_distributions()["hopper"]) == {"hopper-operator"}


@pytest.mark.parametrize("name", ["hopper", "kubectl-hopper"])
def test_the_console_script_is_installed(name: str) -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    assert script.value == "hopper.cli.main:main"
    assert callable(script.load())
    assert shutil.which(name, path=str(Path(sys.executable).parent))


def test_the_package_is_marked_as_typed() -> None:
    assert (ROOT / "operator" / "hopper" / "py.typed").exists()


def test_the_layer_contracts_exist() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert settings["root_package"] == "hopper"
    assert {contract["name"] for contract in settings["contracts"]} >= CONTRACTS


def _tracked_files() -> list[Path]:
    """Return the files that git tracks, because untracked files are private."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"not a git checkout: {done.stderr.strip()}"
        pytest.fail(reason) if os.environ.get("HOPPER_REQUIRE_ALL") else pytest.skip(reason)
    return [Path(line) for line in done.stdout.splitlines()]
