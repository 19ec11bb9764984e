"""Starting, stopping and inspecting clusters in every intermediate state, with fake programs.

tests/cluster/test_local_cluster.py tests real clusters.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopper.local import ClusterState, LocalCluster, known_clusters
from hopper.local.cluster_files import read_record
from hopper.local.errors import (
    ClusterNotRunningError,
    ClusterStartError,
    InvalidNameError,
    KubectlError,
    PortTakenError,
)
from hopper.local.file_lock import file_lock
from hopper.local.processes import command_line, kill_processes, recorded_kwokctl, recorded_processes


@pytest.fixture
def cluster(kube_bin: Path) -> Iterator[LocalCluster]:
    """A cluster that has not been started."""
    cluster = LocalCluster("c")
    yield cluster
    cluster.down()


def plan(kube_bin: Path, **wrong: Any) -> None:
    (kube_bin / "plan.json").write_text(json.dumps(wrong))


def pids(cluster: LocalCluster) -> dict[str, int]:
    return {process.name: process.pid for process in recorded_processes(cluster.directory) if process.is_alive}


def kill(cluster: LocalCluster, component: str) -> None:
    kill_processes(process for process in recorded_processes(cluster.directory) if process.name == component)


def test_up_and_down(cluster: LocalCluster, cache: Path, notes: Any) -> None:
    assert cluster.status().state is ClusterState.ABSENT
    cluster.up(notes)
    status = cluster.status()
    assert status.is_running
    assert status.version.startswith("v1.")
    assert status.server.startswith("https://127.0.0.1:")
    assert known_clusters() == ["c"]
    running = pids(cluster)
    assert len(running) == 5

    assert cluster.down(notes)
    assert cluster.status().state is ClusterState.ABSENT
    assert known_clusters() == []
    assert [pid for pid in running.values() if command_line(pid) is not None] == []
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert not cluster.down(notes)
    assert notes.lines == ["Starting cluster 'c': done", "Stopping cluster 'c': done"]


def test_up_on_a_running_cluster_changes_nothing_and_reports_it(cluster: LocalCluster, notes: Any) -> None:
    cluster.up()
    before = pids(cluster)
    cluster.up(notes)
    assert pids(cluster) == before
    assert notes.lines == ["Cluster 'c' is already running"]
    LocalCluster("c", nodes=7).up(notes)
    assert notes.lines[1] == (
        "Cluster 'c' is already running with other arguments: to change them, run `hopper local down --name c` first"
    )


def test_the_kubeconfig_is_self_contained_and_private(cluster: LocalCluster) -> None:
    cluster.up()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    assert config["current-context"] == "hopper-c"
    assert config["clusters"][0]["cluster"]["server"] == cluster.status().server
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.directory.stat().st_mode) == 0o700


def test_arguments_reach_the_components(kube_bin: Path) -> None:
    cluster = LocalCluster(
        "c", extra_args={"kube-apiserver": {"audit-log-path": "/x"}, "etcd": {"unsafe-no-fsync": "0"}}
    )
    cluster.up()
    try:
        config = yaml.safe_load((cluster.directory / "kwokctl.yaml").read_text())
        patches = {
            patch["name"]: {arg["key"]: arg["value"] for arg in patch["extraArgs"]}
            for patch in config["componentsPatches"]
        }
        assert patches["kube-apiserver"] == {"service-cluster-ip-range": "10.96.0.0/14", "audit-log-path": "/x"}
        assert patches["etcd"] == {"unsafe-no-fsync": "0"}
        assert patches["kube-controller-manager"]["use-service-account-credentials"] == "true"
        assert config["options"]["disableQPSLimits"] is True
    finally:
        cluster.down()


def test_arguments_of_unknown_components_are_rejected() -> None:
    with pytest.raises(ClusterStartError, match=r"unknown component 'apiserver': use one of kube-apiserver, etcd,"):
        LocalCluster("c", extra_args={"apiserver": {"v": "4"}})


def test_two_clusters_run_side_by_side(cluster: LocalCluster) -> None:
    other = LocalCluster("other")
    cluster.up()
    other.up()
    try:
        assert known_clusters() == ["c", "other"]
        assert not set(pids(cluster).values()) & set(pids(other).values())
        assert not set(read_record(cluster.directory).ports.values()) & set(read_record(other.directory).ports.values())
    finally:
        other.down()
    assert cluster.status().is_running


def test_a_dead_process_makes_a_cluster_stale_and_up_replaces_it(cluster: LocalCluster, notes: Any) -> None:
    cluster.up()
    before = pids(cluster)
    kill(cluster, "etcd")
    status = cluster.status()
    assert status.state is ClusterState.STALE
    assert status.problems == ("etcd is not running",)
    cluster.up(notes)
    assert notes.lines[0] == "Cluster 'c' is stale (etcd is not running): replacing it with an empty one"
    assert cluster.status().is_running
    assert not set(before.values()) & set(pids(cluster).values())


def test_a_port_that_another_process_took_is_reported(cluster: LocalCluster) -> None:
    cluster.up()
    kill(cluster, "kube-apiserver")
    port = read_record(cluster.directory).ports["kubeApiserverPort"]
    with socket.create_server(("127.0.0.1", port)):
        assert cluster.status().problems == (
            "kube-apiserver is not running",
            f"another process has taken port {port} of kube-apiserver",
        )


@pytest.mark.parametrize("file", ["kwok.yaml", "kubeconfig", "pki/admin.key"])
def test_a_missing_file_makes_a_cluster_stale(file: str, cluster: LocalCluster) -> None:
    cluster.up()
    (cluster.directory / file).unlink()
    assert cluster.status().problems == (f"missing files: {file}",)
    cluster.up()
    assert cluster.status().is_running


def test_an_api_server_that_does_not_answer_makes_a_cluster_stale(cluster: LocalCluster, kube_bin: Path) -> None:
    cluster.up()
    (kube_bin / "kubectl-fails").write_text("connection refused")
    assert cluster.status().problems == (f"the API server does not answer at {cluster.status().server}",)


@pytest.mark.parametrize("leftover", [None, "", "{}", '{"nonsense": 1}'])
def test_files_of_an_interrupted_start_are_removed(leftover: str | None, cluster: LocalCluster) -> None:
    cluster.directory.mkdir(parents=True)
    (cluster.directory / "kwok.yaml").touch()
    if leftover is not None:
        (cluster.directory / "hopper.json").write_text(leftover)
    status = cluster.status()
    assert status.state is ClusterState.STALE
    assert status.problems == (f"an interrupted start or stop left {cluster.directory} behind",)
    cluster.up()
    assert cluster.status().is_running


def test_down_stops_the_processes_of_a_cluster_without_a_record(cluster: LocalCluster) -> None:
    cluster.up()
    running = pids(cluster)
    for file in ("hopper.json", "kwok.yaml", "kubeconfig"):
        (cluster.directory / file).unlink()
    assert cluster.down()
    assert [pid for pid in running.values() if command_line(pid) is not None] == []


def test_an_interrupted_start_is_reported(cluster: LocalCluster) -> None:
    cluster.up()
    record = read_record(cluster.directory)
    assert record is not None
    replace(record, complete=False).write(cluster.directory)
    assert cluster.status().problems == ("its start was interrupted",)


def test_down_stops_a_kwokctl_that_survived_a_killed_start(
    cluster: LocalCluster, kube_bin: Path, wait_until: Callable[..., None]
) -> None:
    plan(kube_bin, hang=True)
    program = "from hopper.local import LocalCluster; LocalCluster('c').up()"
    with subprocess.Popen([sys.executable, "-c", program]) as starting:
        wait_until(lambda: len(pids(cluster)) == 5)
        starting.kill()
    (left,) = recorded_kwokctl(cluster.directory)
    assert left.is_alive
    assert cluster.down()
    assert command_line(left.pid) is None


def test_a_component_that_exits_too_early_is_restarted(cluster: LocalCluster, kube_bin: Path) -> None:
    plan(kube_bin, die={"kube-controller-manager": ["timed out waiting for the API server"] * 2})
    cluster.up()
    assert cluster.status().is_running


def test_a_component_that_keeps_exiting_fails_the_start_with_its_final_output(
    cluster: LocalCluster, kube_bin: Path
) -> None:
    plan(kube_bin, die={"kube-apiserver": ["unknown flag: --nonsense"] * 20})
    with pytest.raises(ClusterStartError, match=r"kube-apiserver has ended:\n(  unknown flag: --nonsense\n)+Try again"):
        cluster.up()
    assert cluster.status().state is ClusterState.ABSENT


def test_the_final_output_of_a_crash_excludes_the_stack_trace(cluster: LocalCluster, kube_bin: Path) -> None:
    crash = "\n".join(
        [
            '{"msg":"failed to create WAL","error":"no space left on device","stacktrace":"' + "x" * 1000,
            "panic: failed to create WAL",
            "",
            "goroutine 1 [running]:",
            *["\tsome/where.go:1 +0x1"] * 9,
        ]
    )
    plan(kube_bin, die={"etcd": [crash] * 20})
    with pytest.raises(ClusterStartError) as caught:
        cluster.up()
    lines = str(caught.value).splitlines()
    assert lines[0] == "etcd has ended:"
    assert "no space left on device" in lines[-3]
    assert len(lines[-3]) < 320
    assert lines[-2:] == [
        "  panic: failed to create WAL",
        "The disk is full: free about 200 MB, or set HOPPER_CACHE to a directory elsewhere",
    ]


def test_other_ports_are_tried_if_another_process_takes_one(cluster: LocalCluster, kube_bin: Path) -> None:
    plan(kube_bin, die={"etcd": ["listen tcp 127.0.0.1:1: bind: address already in use"] * 2})
    cluster.up()
    assert cluster.status().is_running


def test_the_start_fails_if_other_processes_take_every_port(cluster: LocalCluster, kube_bin: Path) -> None:
    plan(kube_bin, die={"etcd": ["bind: address already in use"] * 3})
    with pytest.raises(ClusterStartError, match="address already in use\nTry again: Hopper will choose other ports"):
        cluster.up()
    assert not cluster.directory.exists()


def test_a_failing_kwokctl_leaves_no_files(cluster: LocalCluster, kube_bin: Path) -> None:
    plan(kube_bin, fail="no such runtime")
    with pytest.raises(ClusterStartError, match="kwokctl create cluster failed: no such runtime"):
        cluster.up()
    assert not cluster.directory.exists()


def test_a_cluster_that_does_not_become_ready_in_time_is_an_error(
    cluster: LocalCluster, kube_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopper.local.local_cluster._READY_WITHIN_SECONDS", 0.3)
    (kube_bin / "kubectl-fails").write_text("connection refused")
    with pytest.raises(ClusterStartError, match="not ready within"):
        cluster.up()
    assert not cluster.directory.exists()


def test_an_interrupted_start_leaves_no_files(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LocalCluster, "_wait_until_ready", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cluster.up()
    assert not cluster.directory.exists()


def test_the_api_server_can_be_stopped_and_started_alone(cluster: LocalCluster) -> None:
    cluster.up()
    before = pids(cluster)
    cluster.stop_apiserver()
    assert cluster.status().problems == ("kube-apiserver is not running",)
    cluster.stop_apiserver()
    kill(cluster, "kube-scheduler")
    cluster.start_apiserver()
    after = pids(cluster)
    assert cluster.status().is_running
    assert {name for name in before if before[name] != after[name]} == {"kube-apiserver", "kube-scheduler"}


def test_the_api_server_is_restarted_if_its_port_was_not_free_yet(cluster: LocalCluster, kube_bin: Path) -> None:
    cluster.up()
    cluster.stop_apiserver()
    plan(kube_bin, die={"kube-apiserver": ["listen tcp 127.0.0.1:1: bind: address already in use"] * 2})
    cluster.start_apiserver()
    assert cluster.status().is_running
    cluster.stop_apiserver()
    plan(kube_bin, die={"kube-apiserver": ["bind: address already in use"] * 3})
    with pytest.raises(PortTakenError, match=r"address already in use$"):
        cluster.start_apiserver()


def test_calls_that_need_a_running_cluster_raise_an_error(cluster: LocalCluster) -> None:
    for call in (cluster.stop_apiserver, cluster.start_apiserver, lambda: cluster.kubectl("version")):
        with pytest.raises(ClusterNotRunningError, match="start it with `hopper local up --name c`"):
            call()


def test_kubectl_returns_its_output_or_raises_an_error(cluster: LocalCluster, kube_bin: Path) -> None:
    cluster.up()
    assert cluster.kubectl("get", "pods") == f"--kubeconfig={cluster.kubeconfig} get pods\n"
    assert cluster.kubectl("apply", input="text\n") == f"text\n--kubeconfig={cluster.kubeconfig} apply\n"
    (kube_bin / "kubectl-fails").write_text("not found")
    with pytest.raises(KubectlError, match="kubectl get pods failed with exit code 1: not found") as caught:
        cluster.kubectl("get", "pods")
    assert caught.value.returncode == 1
    assert cluster.kubectl("get", "pods", check=False) == ""


def test_a_cluster_that_another_process_starts_is_changing(cluster: LocalCluster, cache: Path, notes: Any) -> None:
    with file_lock(cache / "locks" / "cluster-c.lock", lambda _: None):
        assert cluster.status().state is ClusterState.CHANGING
        second = threading.Thread(target=cluster.up, args=(notes,))
        second.start()
        while not notes.lines:
            pass
    second.join()
    assert notes.lines[0].startswith("Waiting for process ")
    assert cluster.status().is_running


def test_kwokctl_ignores_the_users_settings(
    cluster: LocalCluster, kube_bin: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[Path, str], Path]
) -> None:
    monkeypatch.setenv("KWOK_KUBE_APISERVER_PORT", "1")
    monkeypatch.setenv("KWOK_WORKDIR", "/nowhere")
    shutil.move(kube_bin / "kwokctl", kube_bin / "kwokctl-fake")
    script(
        kube_bin / "kwokctl",
        """
        import os, sys
        assert "KWOK_KUBE_APISERVER_PORT" not in os.environ
        assert "--kubeconfig=" in sys.argv or sys.argv[1] != "create"
        os.execv(sys.argv[0] + "-fake", [sys.argv[0] + "-fake", *sys.argv[1:]])
        """,
    )
    cluster.up()
    assert cluster.status().is_running


def test_an_invalid_name_is_rejected() -> None:
    with pytest.raises(InvalidNameError):
        LocalCluster("../etc")


@pytest.mark.parametrize("name", ["with blank", "with,comma"])
def test_a_cache_directory_that_kwokctl_does_not_support_is_rejected(name: str, tmp_path: Path, kube_bin: Path) -> None:
    with pytest.raises(ClusterStartError, match="set HOPPER_CACHE to a directory without blanks"):
        LocalCluster("c", cache=tmp_path / name).up()
    assert not (tmp_path / name).exists()
