"""The choice of a node image, and the inputs of its assembly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopper.local.docker import Docker
from hopper.local.errors import ProviderError
from tests.kind import node_image
from tests.kind.images import copy_recipe, recipe_content
from tests.kind.kind_sources import KindSources, go_string_constants
from tests.kind.node_image import assembled_image_name, choose_node_image, repository_name

STORAGE = """
package nodeimage

const storageProvisionerImage = "docker.io/kindest/provisioner:v1"
const storageHelperImage = "docker.io/kindest/helper:v1"

const defaultStorageManifest = `
image: ` + storageProvisionerImage + `
helper: ` + storageHelperImage + `
end: true
`
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KindSources:
    """The part of kind's sources that the assembly reads."""
    files = {
        "pkg/build/nodeimage/const_storage.go": STORAGE,
        "pkg/apis/config/defaults/image.go": 'const Image = "kindest/node:v1@sha256:0"\n',
        "images/base/files/etc/containerd/config.toml": '  sandbox_image = "registry.k8s.io/pause:3"\n',
    }
    for name, text in files.items():
        (tmp_path / "kind" / name).parent.mkdir(parents=True)
        (tmp_path / "kind" / name).write_text(text)
    kept = KindSources(tmp_path / "kind")
    monkeypatch.setattr(node_image, "kind_sources", lambda cache, progress: kept)
    return kept


def test_image_names_and_manifest_come_from_kinds_sources(sources: KindSources) -> None:
    assert sources.default_image == "kindest/node:v1@sha256:0"
    assert sources.sandbox_image == "registry.k8s.io/pause:3"
    assert sources.storage_images == ("docker.io/kindest/provisioner:v1", "docker.io/kindest/helper:v1")
    assert sources.storage_manifest.split() == [
        *("image:", "docker.io/kindest/provisioner:v1"),
        *("helper:", "docker.io/kindest/helper:v1"),
        *("end:", "true"),
    ]
    assert go_string_constants("const other = 1\n") == {}


def test_the_users_image_takes_precedence(
    tools: Path, cache: Path, notes: Any, sources: KindSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools / "images").write_text(assembled_image_name())
    assert choose_node_image(Docker(), cache, notes) == assembled_image_name()
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    assert choose_node_image(Docker(), cache, notes) == "my/node"


def test_the_default_image_is_pulled_once(tools: Path, cache: Path, notes: Any, sources: KindSources) -> None:
    (tools / "pulls").touch()
    for _ in range(2):
        assert choose_node_image(Docker(), cache, notes) == "kindest/node:v1@sha256:0"
    assert notes.lines == ["Pulling kindest/node:v1: done"]


def test_without_a_registry_root_assembles_the_image(
    tools: Path, cache: Path, notes: Any, sources: KindSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_image, "assemble_node_image", lambda docker, cache, progress: "made")
    monkeypatch.setattr(node_image.os, "geteuid", lambda: 0)
    assert choose_node_image(Docker(), cache, notes) == "made"
    assert notes.lines == ["kindest/node:v1 cannot be pulled (no route to the registry)"]
    monkeypatch.setattr(node_image.os, "geteuid", lambda: 1000)
    with pytest.raises(ProviderError, match=r"and assembling one needs root: set HOPPER_KIND_IMAGE"):
        choose_node_image(Docker(), cache, notes)


def test_the_image_name_depends_on_recipes_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = assembled_image_name()
    assert before.startswith("hopper.local/kind-node:v1.")
    assert assembled_image_name() == before
    monkeypatch.setattr(node_image, "recipe_content", lambda name: b"changed")
    assert assembled_image_name() != before


@pytest.mark.parametrize(
    ("image", "expected"),
    [("registry.k8s.io/kube-proxy:v1", "kube-proxy"), ("registry.k8s.io/coredns/coredns:v1", "coredns"), ("a", "a")],
)
def test_the_program_of_an_image_has_the_name_of_its_repository(image: str, expected: str) -> None:
    assert repository_name(image) == expected


def test_every_recipe_is_a_build_context(tmp_path: Path) -> None:
    for recipe in ("node", "busybox", "kube-proxy", "python"):
        context = copy_recipe(recipe, tmp_path)
        assert "Dockerfile" in {file.name for file in context.iterdir()}
        assert recipe_content(recipe)
