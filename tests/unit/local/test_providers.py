"""Choosing a provider; the current cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopper.local import CurrentCluster, State, open_cluster, record
from hopper.local.errors import ProviderError

Script = Callable[[Path, str], Path]


def test_the_provider_that_started_a_cluster_is_remembered(cache: Path) -> None:
    assert open_cluster("c").provider == "local"
    assert open_cluster("c", "kind").provider == "kind"
    directory = cache / "clusters" / "c"
    directory.mkdir(parents=True)
    record.Record("kind", "v1").write(directory)
    assert open_cluster("c").provider == "kind"
    assert open_cluster("c", "current").provider == "current"
    with pytest.raises(ProviderError, match="'c' was started by the provider 'kind'"):
        open_cluster("c", "local")


def test_the_current_cluster_is_used_and_never_touched(
    kube_bin: Path, tmp_path: Path, notes: Any, script: Script
) -> None:
    script(kube_bin / "kubectl", """print('{"gitVersion": "v1.30.0"}')""")
    current = CurrentCluster(tmp_path / "config")
    assert current.status().running
    assert current.status().version == "v1.30.0"
    current.up(notes)
    assert not current.down(notes)
    assert "its life is not Hopper's business" in notes.lines[0]
    assert "left as it is" in notes.lines[1]


def test_a_current_cluster_that_does_not_answer_is_an_error(kube_bin: Path, tmp_path: Path) -> None:
    (kube_bin / "kubectl-fails").write_text("connection refused")
    current = CurrentCluster(tmp_path / "config")
    assert current.status().state is State.ABSENT
    with pytest.raises(ProviderError, match=r"config does not answer \(connection refused\): point KUBECONFIG"):
        current.up()


def test_the_current_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert CurrentCluster().kubeconfig == tmp_path / ".kube" / "config"
    monkeypatch.setenv("KUBECONFIG", "/one:/two")
    assert CurrentCluster().kubeconfig == Path("/one")
    assert CurrentCluster(Path("/own")).kubeconfig == Path("/own")
