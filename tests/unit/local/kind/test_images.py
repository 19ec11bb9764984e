"""Which node image is taken, and what one is put together from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopper.local.errors import DockerError, ProviderError
from hopper.local.kind import assembly, debian, node_image
from hopper.local.kind.docker import Docker
from hopper.local.kind.node_image import NodeImage
from hopper.local.kind.sources import KindSources, constants

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
    """The part of kind's sources that is read."""
    files = {
        "pkg/build/nodeimage/const_storage.go": STORAGE,
        "pkg/apis/config/defaults/image.go": 'const Image = "kindest/node:v1@sha256:0"\n',
        "images/base/files/etc/containerd/config.toml": '  sandbox_image = "registry.k8s.io/pause:3"\n',
    }
    for name, text in files.items():
        (tmp_path / "kind" / name).parent.mkdir(parents=True)
        (tmp_path / "kind" / name).write_text(text)
    found = KindSources(tmp_path / "kind")
    monkeypatch.setattr(node_image, "kind_sources", lambda cache, progress: found)
    return found


def test_what_is_read_from_kinds_sources(sources: KindSources) -> None:
    assert sources.default_image == "kindest/node:v1@sha256:0"
    assert sources.sandbox_image == "registry.k8s.io/pause:3"
    assert sources.storage_images == ("docker.io/kindest/provisioner:v1", "docker.io/kindest/helper:v1")
    assert sources.storage_manifest.split() == [
        *("image:", "docker.io/kindest/provisioner:v1"),
        *("helper:", "docker.io/kindest/helper:v1"),
        *("end:", "true"),
    ]
    assert constants("const other = 1\n") == {}


def choose(cache: Path, notes: Any, *, may_assemble: bool = True) -> NodeImage:
    return node_image.choose(Docker(), cache, notes, may_assemble=may_assemble)


def test_the_users_image_comes_first(
    tools: Path, cache: Path, notes: Any, sources: KindSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools / "images").write_text(assembly.image_name())
    assert choose(cache, notes) == NodeImage(assembly.image_name(), assembled=True)
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    assert choose(cache, notes) == NodeImage("my/node", assembled=False)


def test_it_is_pulled_where_it_can_be(tools: Path, cache: Path, notes: Any, sources: KindSources) -> None:
    (tools / "pulls").touch()
    for _ in range(2):
        assert choose(cache, notes) == NodeImage("kindest/node:v1@sha256:0", assembled=False)
    assert notes.lines == ["Pulling kindest/node:v1: done"]


def test_it_is_put_together_elsewhere_by_root_only(
    tools: Path, cache: Path, notes: Any, sources: KindSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "assemble", lambda docker, cache, progress: "made")
    assert choose(cache, notes) == NodeImage("made", assembled=True)
    assert notes.lines == ["kindest/node:v1 cannot be pulled (no route to the registry)"]
    with pytest.raises(ProviderError, match=r"and putting one together takes root: set HOPPER_KIND_IMAGE"):
        choose(cache, notes, may_assemble=False)


def test_a_change_of_recipe_or_version_makes_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = assembly.image_name()
    assert before.startswith("hopper.local/kind-node:v1.")
    assert assembly.image_name() == before
    monkeypatch.setattr(debian, "recipe_of", lambda name: b"changed")
    assert assembly.image_name() != before


@pytest.mark.parametrize(
    ("image", "expected"),
    [("registry.k8s.io/kube-proxy:v1", "kube-proxy"), ("registry.k8s.io/coredns/coredns:v1", "coredns"), ("a", "a")],
)
def test_the_program_in_an_image_bears_its_name(image: str, expected: str) -> None:
    assert assembly.repository(image) == expected


def test_every_recipe_can_be_built_anywhere(tmp_path: Path) -> None:
    for recipe in ("node", "busybox", "kube-proxy", "python"):
        context = debian.context_of(recipe, tmp_path)
        assert "Dockerfile" in {file.name for file in context.iterdir()}
        assert debian.recipe_of(recipe)


def test_an_error_of_docker_tells_what_docker_said(tools: Path, cache: Path) -> None:
    with pytest.raises(DockerError, match=r"docker pull x failed:\n  no route to the registry"):
        Docker()("pull", "x")
    assert Docker()("pull", "x", check=False) == ""
    assert Docker(cache / "socket").environment["DOCKER_HOST"] == f"unix://{cache}/socket"
