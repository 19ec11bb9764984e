"""Choosing a provider; the current cluster; kind, with programs that only pretend."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopper.local import CurrentCluster, State, open_cluster, record
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, ProviderError
from hopper.local.kind import KindCluster, check_requirements

Script = Callable[[Path, str], Path]

FAKE_KIND = """
import sys
from pathlib import Path
here = Path(sys.argv[0]).parent
with (here / "kind-log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "create" and (here / "kind-fails").exists():
    sys.exit("cannot pull the node image")
if sys.argv[1] == "create":
    Path(next(arg for arg in sys.argv if arg.startswith("--kubeconfig=")).partition("=")[2]).touch()
"""


@pytest.fixture
def tools(path_of: Path, kube_bin: Path, script: Script) -> Path:
    """A PATH with docker and kind."""
    script(path_of / "docker", "")
    script(path_of / "kind", FAKE_KIND)
    return path_of


def log(tools: Path) -> list[str]:
    return (tools / "kind-log").read_text().splitlines()


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


def test_kind_says_everything_it_lacks(path_of: Path, script: Script) -> None:
    with pytest.raises(ProviderError, match=r"(?s)docker is not installed.*kind is not installed.*--provider local"):
        check_requirements()
    script(path_of / "docker", "raise SystemExit('x\\nCannot connect to the Docker daemon')")
    with pytest.raises(ProviderError, match=r"docker does not work \(Cannot connect to the Docker daemon\): start"):
        check_requirements()


def test_a_kind_cluster_comes_and_goes(tools: Path, notes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    cluster = KindCluster("k")
    with pytest.raises(ClusterNotRunningError, match="--provider kind --name k"):
        cluster.kubectl("version")
    assert cluster.status().state is State.ABSENT
    cluster.up(notes)
    assert cluster.status().running
    assert f"--name=hopper-k --kubeconfig={cluster.kubeconfig} --image=my/node" in log(tools)[0]
    cluster.up(notes)
    assert cluster.down(notes)
    assert log(tools)[1].startswith("delete cluster --name=hopper-k")
    assert not cluster.down(notes)
    assert notes.lines == [
        "Starting kind cluster 'hopper-k': done",
        "Cluster 'k' is already running",
        "Stopping kind cluster 'hopper-k': done",
    ]


def test_a_stale_kind_cluster_is_started_anew(tools: Path, kube_bin: Path, notes: Any) -> None:
    cluster = KindCluster("k")
    cluster.up()
    cluster.kubeconfig.unlink()
    assert cluster.status().state is State.STALE
    cluster.up(notes)
    assert cluster.status().running
    assert notes.lines[0] == "Cluster 'k' is stale (its containers do not answer): starting it anew"
    assert [line.split()[0] for line in log(tools)] == ["create", "delete", "create"]


def test_a_kind_cluster_that_cannot_start_leaves_nothing_behind(tools: Path, cache: Path) -> None:
    (tools / "kind-fails").touch()
    cluster = KindCluster("k")
    with pytest.raises(ClusterStartError, match=r"cannot pull the node image\nIf it is the node image .*HOPPER_KIND"):
        cluster.up()
    assert cluster.status().state is State.ABSENT


def test_only_kind_can_stop_a_kind_cluster(tools: Path) -> None:
    cluster = KindCluster("k")
    cluster.up()
    shutil.move(tools / "kind", tools / "gone")
    with pytest.raises(ProviderError, match="only it can stop"):
        cluster.down()
