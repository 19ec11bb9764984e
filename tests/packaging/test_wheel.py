"""The content of the wheel, from which the image is built: the code that users run, and nothing else."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import grimp
import pytest

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# The files that the Dockerfile builds the wheel from.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "operator/hopper")
DATA_FILES = (
    "hopper/py.typed",
    "hopper/api/defaults/*.yaml",
    "hopper/cli/demo/*.yaml",
    "hopper/local/toolchain/*/go.mod",
    "hopper/local/toolchain/*/go.sum",
)
ENTRY_POINT = "hopper.cli.main"
# Modules that users import, although no command does.
PUBLIC_MODULES: set[str] = set()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all files in the wheel, built offline from a copy of the sources."""
    _require_build_backend()
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tree), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = tree.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_contains_the_package_and_its_metadata_only(files: set[str]) -> None:
    top_level = {file.partition("/")[0] for file in files}
    (metadata,) = top_level - {"hopper"}
    assert fnmatch(metadata, "hopper_operator-*.dist-info")


def test_the_wheel_contains_every_file_of_the_package(files: set[str]) -> None:
    package = ROOT / "operator" / "hopper"
    sources = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {file for file in files if file.startswith("hopper/")} == {
        path.relative_to(package.parent).as_posix() for path in sources
    }


def test_every_module_is_a_part_of_the_command(files: set[str]) -> None:
    """Test tooling and generators belong in tests/, where no command imports them."""
    graph = grimp.build_graph("hopper", cache_dir=None)
    used = graph.find_upstream_modules(ENTRY_POINT) | {ENTRY_POINT} | PUBLIC_MODULES
    used |= {module.rsplit(".", count)[0] for module in used for count in range(1, module.count(".") + 1)}
    modules = {_module_name(file) for file in files if file.endswith(".py")}
    data_packages = {"hopper.cli.demo"}
    assert modules - used - data_packages == set()


def test_all_other_files_are_known_data_files(files: set[str]) -> None:
    others = {file for file in files if file.startswith("hopper/") and not file.endswith(".py")}
    assert {file for file in others if not any(fnmatch(file, pattern) for pattern in DATA_FILES)} == set()
    assert [pattern for pattern in DATA_FILES if not any(fnmatch(file, pattern) for file in others)] == []


def test_the_package_imports_no_development_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    development = {Requirement(text).name for text in project["optional-dependencies"]["dev"]}
    imported = grimp.build_graph("hopper", include_external_packages=True, cache_dir=None).modules
    modules = importlib.metadata.packages_distributions()
    distributions = {name for module in imported if not module.startswith("hopper") for name in modules.get(module, [])}
    assert {name for name in distributions if name in development} == set()


def _module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _require_build_backend() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    for requirement in map(Requirement, requires):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "0"
        if version not in requirement.specifier:
            reason = f"the build needs {requirement}, and {version} is installed: run make check"
            pytest.fail(reason) if os.environ.get("HOPPER_REQUIRE_ALL") else pytest.skip(reason)
