"""The private container engine of the tests: start, stop, cleanup, and the clusters in it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopper.local.errors import ProviderError
from hopper.local.kind_cluster import KindCluster
from hopper.local.progress import SILENT
from tests.kind import clusters, engine
from tests.kind.clusters import start_engine, start_kind_cluster, stop_engine, stop_kind_cluster
from tests.kind.engine import EngineError, PrivateEngine, find_engine
from tests.kind.machine_snapshot import MachineSnapshot


@pytest.fixture
def short_cache() -> Iterator[Path]:
    """A cache directory with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="e-") as directory:
        yield Path(directory)


@pytest.fixture
def private(tools: Path, short_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateEngine]:
    (tools / "engine-is-down").touch()
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine, "runtime_options", lambda directory: [])
    # The test must not change the machine.
    monkeypatch.setattr(engine, "take_snapshot", MachineSnapshot)
    monkeypatch.setattr(engine, "restore_machine", lambda snapshot, directory: (directory / "restored").touch())
    private = PrivateEngine(short_cache / "engine")
    yield private
    private.stop(SILENT)


def pid_of(private: PrivateEngine) -> int:
    return int((private.directory / "dockerd.pid").read_text())


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_engine_starts_and_stops(
    private: PrivateEngine, short_cache: Path, notes: Any, tools: Path, docker_calls: Callable[[], list[str]]
) -> None:
    docker, found = find_engine(short_cache)
    assert found == private
    assert not private.needs_cleanup
    private.start(notes)
    assert private.is_running
    assert docker.why_unavailable() is None
    pid = pid_of(private)
    private.start(notes)
    assert pid_of(private) == pid
    (tools / "containers").write_text("c\n")
    private.stop(notes)
    assert not runs(pid)
    assert not private.needs_cleanup
    assert (private.directory / "restored").exists()
    assert "rm --force --volumes c" in docker_calls()
    assert notes.lines == ["Starting a Docker engine: done", "Stopping the Docker engine: done"]
    private.stop(notes)
    assert len(notes.lines) == 2


def test_the_containers_of_a_killed_engine_are_removed(private: PrivateEngine, notes: Any, tools: Path) -> None:
    private.start(notes)
    os.kill(pid_of(private), signal.SIGKILL)
    os.waitpid(pid_of(private), 0)
    (private.directory / "docker.sock").unlink()
    (tools / "containers").write_text("orphan\n")
    assert private.needs_cleanup
    private.stop(notes)
    assert not (tools / "containers").exists()
    assert not private.needs_cleanup


def test_start_engine_returns_the_environment_of_its_images(
    private: PrivateEngine, short_cache: Path, kube_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "choose_node_image", lambda *_: clusters.assembled_image_name())
    monkeypatch.setattr(clusters, "python_image", lambda docker, *_: "python" if docker == private.docker else "")
    assert start_engine(short_cache, SILENT) == {
        "DOCKER_HOST": f"unix://{private.directory}/docker.sock",
        "HOPPER_KIND_IMAGE": clusters.assembled_image_name(),
        "BASE_IMAGE": "python",
    }
    assert private.is_running
    stop_engine(short_cache, SILENT)
    assert not private.needs_cleanup


def test_the_engine_stops_with_the_last_cluster(
    private: PrivateEngine, short_cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    for name in ("one", "two"):
        assert start_kind_cluster(name, short_cache, SILENT).docker == private.docker
    (tools / "containers").write_text("of-two\n")
    monkeypatch.setattr(KindCluster, "_remove", lambda cluster, docker: shutil.rmtree(cluster.kubeconfig.parent))
    assert stop_kind_cluster("one", short_cache, SILENT)
    assert private.is_running, "another cluster runs in it"
    (tools / "containers").unlink()
    assert stop_kind_cluster("two", short_cache, SILENT)
    assert not private.needs_cleanup
    assert not stop_kind_cluster("two", short_cache, SILENT)


def test_the_engine_stops_after_a_failed_start_of_a_cluster(
    private: PrivateEngine, short_cache: Path, kube_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPPER_KIND_IMAGE", "my/node")
    (kube_bin / "kind-fails").write_text("failed to pull image")
    with pytest.raises(ProviderError, match="failed to pull image"):
        start_kind_cluster("one", short_cache, SILENT)
    assert not private.needs_cleanup


def test_without_an_engine_the_error_names_the_obstacle(
    tools: Path, short_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools / "engine-is-down").touch()
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    with pytest.raises(ProviderError, match=r"answers \(Cannot connect.*starting a private engine needs root"):
        find_engine(short_cache)
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    (tools / "dockerd").unlink()
    with pytest.raises(ProviderError, match="dockerd, which is not installed"):
        find_engine(short_cache)


def test_a_failed_start_shows_the_log(private: PrivateEngine, tools: Path) -> None:
    (tools / "dockerd-fails").touch()
    with pytest.raises(EngineError, match=r"(?s)did not start.*no such device"):
        private.start(SILENT)
    (tools / "dockerd-fails").unlink()


def test_another_process_with_the_recorded_pid_is_not_killed(private: PrivateEngine) -> None:
    for file in ("dockerd.pid", "exec/containerd/containerd.pid"):
        (private.directory / file).parent.mkdir(parents=True, exist_ok=True)
        (private.directory / file).write_text(str(os.getpid()))
    private.start(SILENT)
    assert private.is_running
    assert pid_of(private) != os.getpid()
    # dockerd would adopt the process as its containerd.
    assert not (private.directory / "exec" / "containerd" / "containerd.pid").exists()


def test_a_socket_path_that_is_too_long_is_an_error(tools: Path, tmp_path: Path) -> None:
    (tools / "engine-is-down").touch()
    with pytest.raises(EngineError, match="HOPPER_CACHE to a shorter path"):
        PrivateEngine(tmp_path / ("long" * 30)).start(SILENT)
