"""The image: locked dependencies and the wheel only, for any user."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
REQUIRED = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "requirements-build.txt": PROJECT["build-system"]["requires"],
}


def locked(name: str) -> dict[str, str]:
    """Return the entry of each package in a requirements file by its normalized name."""
    text = (ROOT / "operator" / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries}


def required(name: str) -> Iterator[Requirement]:
    return map(Requirement, REQUIRED[name])


@pytest.mark.parametrize("name", REQUIRED)
def test_locked_versions_satisfy_the_requirements(name: str) -> None:
    """If this fails, run `make lock`."""
    entries = locked(name)
    for requirement in required(name):
        entry = entries.get(canonicalize_name(requirement.name), "")
        version = re.match(r"[^=]+==([^ ;]+)", entry)
        assert version, f"{requirement} is not in operator/{name}: run make lock"
        assert Version(version[1]) in requirement.specifier, f"{requirement}, but {version[1]} is locked: run make lock"
    direct = {package for package, entry in entries.items() if "hopper-operator (pyproject.toml)" in entry}
    if name == "requirements.txt":
        assert direct == {canonicalize_name(requirement.name) for requirement in required(name)}, "run make lock"


@pytest.mark.parametrize("name", REQUIRED)
def test_every_locked_package_has_a_hash(name: str) -> None:
    assert all("--hash=sha256:" in entry for entry in locked(name).values())
    assert f"--require-hashes --requirement operator/{name}" in re.sub(r"--only-binary :all: ", "", DOCKERFILE)


def test_the_image_runs_as_a_non_root_user_by_number() -> None:
    *_, last_stage = DOCKERFILE.split("\nFROM ")
    (user,) = re.findall(r"^USER (.*)$", last_stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "runAsNonRoot needs a numeric user"
    assert " USER=" in last_stage
    assert " HOME=/tmp " in last_stage


def test_the_image_has_labels() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', DOCKERFILE))
    assert labels["description"] == PROJECT["project"]["description"]
    assert labels["licenses"] == PROJECT["project"]["license"]
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")


def test_the_base_image_and_its_digest_are_build_arguments() -> None:
    base = "${BASE_IMAGE}${BASE_DIGEST:+@}${BASE_DIGEST}"
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == [base, base]
    assert re.search(r"^ARG BASE_DIGEST=$", DOCKERFILE, re.MULTILINE)
    labels = dict(re.findall(r'org\.opencontainers\.image\.base\.(\w+)="([^"]*)"', DOCKERFILE))
    assert labels == {"name": "${BASE_IMAGE}", "digest": "${BASE_DIGEST}"}
    assert re.search(r"^ARG BASE_IMAGE=docker\.io/library/python:3\.\d+-slim$", DOCKERFILE, re.MULTILINE)


def test_the_build_context_contains_only_the_inputs_of_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == {"pyproject.toml", "README.md", "LICENSE", "operator/requirements*.txt", "operator/hopper"}


def test_the_image_contains_the_locked_dependencies_and_the_wheel_only() -> None:
    """tests/packaging/test_wheel.py checks the content of the wheel."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.strip().startswith("#")]
    instructions = "\n".join(lines).replace("\\\n", " ")
    build, last_stage = instructions.split("\nFROM ")[1:]
    assert re.findall(r"^(?:COPY|ADD) .*$", last_stage, re.MULTILINE) == ["COPY --from=build /opt/hopper /opt/hopper"]
    assert "RUN" not in last_stage.split()
    installed = re.findall(r"/opt/hopper/bin/python install (.*?)(?: &&|$)", build, re.MULTILINE)
    assert [command.split()[-1] for command in installed] == ["operator/requirements.txt", "/wheels/*.whl"]
    assert "pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels ." in build
