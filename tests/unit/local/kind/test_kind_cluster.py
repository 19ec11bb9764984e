"""A kind cluster in an existing container engine: start, stop and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopper.local import ClusterState
from hopper.local.docker import Docker
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, DockerError, ProviderError
from hopper.local.kind_cluster import KindCluster, kind_config


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> str:
    """A node image of the user."""
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    return "my/node"


def kind_log(kube_bin: Path) -> list[str]:
    return (kube_bin / "kind-log").read_text().splitlines()


def test_a_cluster_starts_and_stops(
    tools: Path, kube_bin: Path, node: str, notes: Any, docker_calls: Callable[[], list[str]]
) -> None:
    cluster = KindCluster("k")
    with pytest.raises(ClusterNotRunningError, match="--provider kind --name k"):
        cluster.kubectl("version")
    assert cluster.status().state is ClusterState.ABSENT
    cluster.up(notes)
    status = cluster.status()
    assert status.is_running
    assert status.version == "v1.36.3"
    (created,) = kind_log(kube_bin)
    assert f"create cluster --name=hopper-k --kubeconfig={cluster.kubeconfig}" in created
    assert f"--image={node}" in created
    cluster.up(notes)
    cluster.load("an/image")
    assert kind_log(kube_bin)[1:] == ["load docker-image --name=hopper-k an/image --quiet"]
    (tools / "containers").write_text("c1\nc2\n")
    assert cluster.down(notes)
    assert docker_calls()[-1] == "rm --force --volumes c1 c2"
    assert not cluster.kubeconfig.parent.exists()
    assert not cluster.down(notes)
    assert notes.lines == [
        "Starting kind cluster 'hopper-k': done",
        "Waiting for its DNS and storage: done",
        "Cluster 'k' is already running",
        "Stopping kind cluster 'hopper-k': done",
    ]


def test_a_stale_cluster_is_replaced(tools: Path, kube_bin: Path, node: str, notes: Any) -> None:
    cluster = KindCluster("k")
    cluster.up()
    cluster.kubeconfig.unlink()
    assert cluster.status().state is ClusterState.STALE
    (tools / "containers").write_text("old\n")
    cluster.up(notes)
    assert cluster.status().is_running
    assert not (tools / "containers").exists()
    assert notes.lines[0] == "Cluster 'k' is stale (its containers do not answer): replacing it with an empty one"


def test_a_failed_start_shows_the_node_logs_and_leaves_no_containers(tools: Path, kube_bin: Path, node: str) -> None:
    (kube_bin / "kind-fails").write_text("the node is not ready")
    (tools / "containers").write_text("half\n")
    cluster = KindCluster("k")
    with pytest.raises(ClusterStartError, match=r"(?s)the node is not ready.*the end of the node's log"):
        cluster.up()
    assert cluster.status().state is ClusterState.ABSENT
    assert not (tools / "containers").exists()


def test_without_a_container_engine_the_error_names_the_reason(tools: Path) -> None:
    (tools / "engine-is-down").touch()
    with pytest.raises(ProviderError, match=r"no container engine answers \(Cannot connect.*start Docker"):
        KindCluster("k").up()
    (tools / "docker").unlink()
    with pytest.raises(ProviderError, match=r"docker is not installed.*omit --provider kind"):
        KindCluster("k").up()


def test_without_a_node_image_the_error_names_the_variable(tools: Path, kube_bin: Path) -> None:
    (kube_bin / "kind-fails").write_text('failed to pull image "kindest/node:v1": exit status 1')
    with pytest.raises(ProviderError, match=r"(?s)kindest/node:v1.*set HOPPER_KIND_IMAGE to a node image"):
        KindCluster("k").up()
    assert "--image=" not in kind_log(kube_bin)[0], "kind pulls the image that it was released with"


def test_later_commands_use_the_engine_that_the_cluster_was_started_in(
    tools: Path, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///first.sock")
    KindCluster("k").up()
    monkeypatch.setenv("DOCKER_HOST", "unix:///second.sock")
    assert KindCluster("k").docker == Docker("unix:///first.sock")
    KindCluster("k").down()
    assert KindCluster("k").docker == Docker("unix:///second.sock")


def test_only_an_assembled_node_image_brings_its_own_network_plugin() -> None:
    for image, is_assembled in (("hopper.local/kind-node:v1", True), ("my/node", False), ("", False)):
        document = kind_config(image)
        assert document["networking"] == {"disableDefaultCNI": is_assembled}
        patches = [yaml.safe_load(patch) for patch in document["kubeadmConfigPatches"]]  # type: ignore[attr-defined]
        assert {patch["kind"] for patch in patches} == {"KubeletConfiguration", "KubeProxyConfiguration"}


def test_a_docker_error_shows_the_output_of_docker(tools: Path, cache: Path) -> None:
    with pytest.raises(DockerError, match=r"docker pull x failed:\n  no route to the registry"):
        Docker()("pull", "x")
    assert Docker()("pull", "x", check=False) == ""
    assert Docker("unix:///a.sock").environment["DOCKER_HOST"] == "unix:///a.sock"
