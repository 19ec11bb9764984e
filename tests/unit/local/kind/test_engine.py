"""An engine of our own: dockerd as a process that comes, goes, and is cleaned up after."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopper.local.errors import EngineError
from hopper.local.kind import debian, engine, node_image, traces
from hopper.local.kind.cluster import KindCluster, prepare
from hopper.local.kind.engine import OwnEngine
from hopper.local.kind.node_image import NodeImage
from hopper.local.progress import SILENT


@pytest.fixture
def short_cache() -> Iterator[Path]:
    """A path that leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="e-") as directory:
        yield Path(directory)


@pytest.fixture
def own(tools: Path, short_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnEngine]:
    (tools / "engine-is-down").touch()
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine.runtime, "dockerd_arguments", lambda directory: [])
    # The machine itself is nothing to try this on.
    monkeypatch.setattr(traces, "look", traces.Before)
    monkeypatch.setattr(traces, "remove", lambda before, directory: (directory / "removed").touch())
    own = OwnEngine(short_cache / "engine")
    yield own
    own.stop(SILENT)


def pid_of(own: OwnEngine) -> int:
    return int((own.directory / "dockerd.pid").read_text())


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_comes_and_goes(
    own: OwnEngine, short_cache: Path, notes: Any, tools: Path, asked: Callable[[], list[str]]
) -> None:
    docker, found = engine.find(short_cache)
    assert found == own
    assert not own.left_anything
    own.start(notes)
    assert own.running
    assert docker.answers() is None
    pid = pid_of(own)
    own.start(notes)
    assert pid_of(own) == pid
    (tools / "containers").write_text("c\n")
    own.stop(notes)
    assert not runs(pid)
    assert not own.left_anything
    assert (own.directory / "removed").exists()
    assert "rm --force --volumes c" in asked()
    assert notes.lines == ["Starting a Docker engine: done", "Stopping the Docker engine: done"]
    own.stop(notes)
    assert len(notes.lines) == 2


def test_what_a_killed_one_left_is_found_by_another(own: OwnEngine, notes: Any, tools: Path) -> None:
    own.start(notes)
    os.kill(pid_of(own), signal.SIGKILL)
    os.waitpid(pid_of(own), 0)
    (own.directory / "docker.sock").unlink()
    (tools / "containers").write_text("orphan\n")
    assert own.left_anything
    own.stop(notes)
    assert not (tools / "containers").exists()
    assert not own.left_anything


def test_what_up_needs_is_got_ready_beforehand(
    own: OwnEngine, short_cache: Path, tools: Path, kube_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an engine that runs for that only."""
    monkeypatch.setattr(node_image, "choose", lambda *_, **__: NodeImage("hopper.local/node", assembled=True))
    monkeypatch.setattr(debian, "python_image", lambda docker, *_: "python" if docker == own.docker else "")
    got = prepare(short_cache)
    assert got["kind"] == str(kube_bin / "kind")
    assert got["node image"] == "hopper.local/node"
    assert got["image with Python"] == "python"
    assert not own.running
    assert not own.left_anything


def test_a_cluster_takes_its_engine_along(
    own: OwnEngine, short_cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    clusters = [KindCluster(name, cache=short_cache) for name in ("one", "two")]
    for cluster in clusters:
        cluster.up()
        assert cluster.docker == own.docker
    (tools / "containers").write_text("of-two\n")
    monkeypatch.setattr(KindCluster, "_remove", lambda cluster, docker: shutil.rmtree(cluster.kubeconfig.parent))
    assert clusters[0].down()
    assert own.running, "another cluster runs in it"
    (tools / "containers").unlink()
    assert clusters[1].down()
    assert not own.left_anything


def test_one_that_does_not_start_says_what_it_said(own: OwnEngine, tools: Path) -> None:
    (tools / "dockerd-fails").touch()
    with pytest.raises(EngineError, match=r"(?s)did not start.*no such device"):
        own.start(SILENT)
    (tools / "dockerd-fails").unlink()


def test_another_process_with_its_number_is_left_alone(own: OwnEngine) -> None:
    for file in ("dockerd.pid", "exec/containerd/containerd.pid"):
        (own.directory / file).parent.mkdir(parents=True, exist_ok=True)
        (own.directory / file).write_text(str(os.getpid()))
    own.start(SILENT)
    assert own.running
    assert pid_of(own) != os.getpid()
    # dockerd would take it for the one that it left running.
    assert not (own.directory / "exec" / "containerd" / "containerd.pid").exists()


def test_a_path_too_long_for_a_socket_is_named(tools: Path, tmp_path: Path) -> None:
    (tools / "engine-is-down").touch()
    with pytest.raises(EngineError, match="HOPPER_CACHE to a shorter path"):
        OwnEngine(tmp_path / ("long" * 30)).start(SILENT)
