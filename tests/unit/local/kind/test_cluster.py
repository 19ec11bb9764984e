"""A kind cluster in the user's own engine: what is started, what is removed, what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopper.local import State
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, ProviderError
from hopper.local.kind import engine
from hopper.local.kind.cluster import KindCluster, configuration
from hopper.local.kind.node_image import NodeImage


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> str:
    """The user's own node image."""
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    return "my/node"


def kind_log(kube_bin: Path) -> list[str]:
    return (kube_bin / "kind-log").read_text().splitlines()


def test_a_cluster_comes_and_goes(
    tools: Path, kube_bin: Path, node: str, notes: Any, asked: Callable[[], list[str]]
) -> None:
    cluster = KindCluster("k")
    with pytest.raises(ClusterNotRunningError, match="--provider kind --name k"):
        cluster.kubectl("version")
    assert cluster.status().state is State.ABSENT
    cluster.up(notes)
    status = cluster.status()
    assert status.running
    assert status.version == "v1.36.3"
    (created,) = kind_log(kube_bin)
    assert f"create cluster --name=hopper-k --kubeconfig={cluster.kubeconfig}" in created
    assert f"--image={node}" in created
    cluster.up(notes)
    cluster.load("an/image")
    assert kind_log(kube_bin)[1:] == ["load docker-image --name=hopper-k an/image --quiet"]
    (tools / "containers").write_text("c1\nc2\n")
    assert cluster.down(notes)
    assert asked()[-1] == "rm --force --volumes c1 c2"
    assert not cluster.kubeconfig.parent.exists()
    assert not cluster.down(notes)
    assert notes.lines == [
        "Starting kind cluster 'hopper-k': done",
        "Waiting for its name service and storage: done",
        "Cluster 'k' is already running",
        "Stopping kind cluster 'hopper-k': done",
    ]


def test_a_stale_cluster_is_started_anew(tools: Path, kube_bin: Path, node: str, notes: Any) -> None:
    cluster = KindCluster("k")
    cluster.up()
    cluster.kubeconfig.unlink()
    assert cluster.status().state is State.STALE
    (tools / "containers").write_text("old\n")
    cluster.up(notes)
    assert cluster.status().running
    assert not (tools / "containers").exists()
    assert notes.lines[0] == "Cluster 'k' is stale (its containers do not answer): starting it anew, empty"


def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing_behind(tools: Path, kube_bin: Path, node: str) -> None:
    (kube_bin / "kind-fails").touch()
    (tools / "containers").write_text("half\n")
    cluster = KindCluster("k")
    with pytest.raises(ClusterStartError, match=r"(?s)the node is not ready.*the node's last words"):
        cluster.up()
    assert cluster.status().state is State.ABSENT
    assert not (tools / "containers").exists()


def test_without_an_engine_it_says_what_stands_against_one(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "engine-is-down").touch()
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    with pytest.raises(ProviderError, match=r"answers \(Cannot connect.*starting one takes root.*--provider local"):
        KindCluster("k").up()
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    (tools / "dockerd").unlink()
    with pytest.raises(ProviderError, match="dockerd, which is not installed"):
        KindCluster("k").up()
    (tools / "docker").unlink()
    with pytest.raises(ProviderError, match="docker is not installed"):
        KindCluster("k").up()


def test_only_an_assembled_node_brings_its_own_network() -> None:
    for assembled in (True, False):
        document = configuration(NodeImage("n", assembled))
        assert document["networking"] == {"disableDefaultCNI": assembled}
        patches = [yaml.safe_load(patch) for patch in document["kubeadmConfigPatches"]]  # type: ignore[attr-defined]
        assert {patch["kind"] for patch in patches} == {"KubeletConfiguration", "KubeProxyConfiguration"}
