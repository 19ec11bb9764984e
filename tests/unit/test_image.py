"""The image: built from what is locked, for any user, and with nothing else in it."""

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
    """Package → everything that the file says about it."""
    text = (ROOT / "operator" / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries}


def required(name: str) -> Iterator[Requirement]:
    return map(Requirement, REQUIRED[name])


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_locked_is_what_is_required(name: str) -> None:
    """`make lock` was run after the last change."""
    found = locked(name)
    for requirement in required(name):
        entry = found.get(canonicalize_name(requirement.name), "")
        version = re.match(r"[^=]+==([^ ;]+)", entry)
        assert version, f"{requirement} is not in operator/{name}: make lock"
        assert Version(version[1]) in requirement.specifier, f"{requirement}, but {version[1]} is locked: make lock"
    direct = {package for package, entry in found.items() if "hopper-operator (pyproject.toml)" in entry}
    if name == "requirements.txt":
        assert direct == {canonicalize_name(requirement.name) for requirement in required(name)}, "make lock"


@pytest.mark.parametrize("name", REQUIRED)
def test_every_file_that_is_installed_has_a_hash(name: str) -> None:
    assert all("--hash=sha256:" in entry for entry in locked(name).values())
    assert f"--require-hashes --requirement operator/{name}" in re.sub(r"--only-binary :all: ", "", DOCKERFILE)


def test_it_runs_as_nobody_in_particular() -> None:
    *_, last_stage = DOCKERFILE.split("\nFROM ")
    (user,) = re.findall(r"^USER (.*)$", last_stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes can tell from numbers only that it is not root"
    assert " USER=" in last_stage
    assert " HOME=/tmp " in last_stage


def test_it_says_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', DOCKERFILE))
    assert labels["description"] == PROJECT["project"]["description"]
    assert labels["licenses"] == PROJECT["project"]["license"]
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")


def test_the_base_is_the_builders_choice() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE_IMAGE}", "${BASE_IMAGE}"]
    assert re.search(r"^ARG BASE_IMAGE=docker\.io/library/python:3\.\d+-slim$", DOCKERFILE, re.MULTILINE)


def test_only_what_it_is_made_of_is_sent_to_the_engine() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept[1] == "*"
    allowed = {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert allowed == {"pyproject.toml", "README.md", "LICENSE", "operator/requirements*.txt", "operator/hopper"}
