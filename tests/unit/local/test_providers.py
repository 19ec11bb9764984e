"""Selection of a provider, and the provider `current`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopper.local import ClusterState, CurrentCluster, open_cluster
from hopper.local.cluster_files import ClusterRecord
from hopper.local.errors import ProviderError

Script = Callable[[Path, str], Path]


def test_the_default_provider_is_the_one_that_started_the_cluster(cache: Path) -> None:
    assert open_cluster("c").provider == "local"
    assert open_cluster("c", "kind").provider == "kind"
    directory = cache / "clusters" / "c"
    directory.mkdir(parents=True)
    ClusterRecord("kind", "v1").write(directory)
    assert open_cluster("c").provider == "kind"
    assert open_cluster("c", "current").provider == "current"
    with pytest.raises(ProviderError, match="cluster 'c' was started with --provider kind"):
        open_cluster("c", "local")


def test_the_current_cluster_is_never_started_or_stopped(
    kube_bin: Path, tmp_path: Path, notes: Any, script: Script
) -> None:
    script(kube_bin / "kubectl", """print('{"gitVersion": "v1.30.0"}')""")
    current = CurrentCluster(tmp_path / "config")
    assert current.status().is_running
    assert current.status().version == "v1.30.0"
    current.up(notes)
    assert not current.down(notes)
    assert "Hopper does not start or stop it" in notes.lines[0]
    assert "keeps running" in notes.lines[1]


def test_a_current_cluster_that_does_not_answer_is_an_error(kube_bin: Path, tmp_path: Path) -> None:
    (kube_bin / "kubectl-fails").write_text("connection refused")
    current = CurrentCluster(tmp_path / "config")
    assert current.status().state is ClusterState.ABSENT
    with pytest.raises(ProviderError, match=r"config does not answer \(connection refused\): set KUBECONFIG"):
        current.up()


def test_the_current_kubeconfig_is_that_of_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert CurrentCluster().kubeconfig == tmp_path / ".kube" / "config"
    monkeypatch.setenv("KUBECONFIG", "/one:/two")
    assert CurrentCluster().kubeconfig == Path("/one")
    assert CurrentCluster(Path("/own")).kubeconfig == Path("/own")
