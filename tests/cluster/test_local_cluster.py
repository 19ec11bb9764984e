"""The embedded cluster: start, stop, restart, two at once, and interrupted starts."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.local import Cluster, ClusterState, CurrentCluster, LocalCluster, known_clusters, loopback_ports
from hopper.local.binaries import ensure_binaries
from hopper.local.cluster_files import cache_dir
from hopper.local.errors import KubectlError
from hopper.local.processes import command_line, kill_processes, recorded_processes

NewCluster = Callable[..., LocalCluster]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers: [{name: main, image: example.com/none}]
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {clusterIP: 10.99.255.1, ports: [{port: 80}]}
"""

AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata}]
"""


def pids(cluster: LocalCluster) -> dict[str, int]:
    return {process.name: process.pid for process in recorded_processes(cluster.directory) if process.is_alive}


def have_ended(pids_: dict[str, int]) -> bool:
    return all(command_line(pid) is None for pid in pids_.values())


def command_lines_with(directory: Path) -> list[str]:
    """Return the command lines of all processes that contain the directory."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().decode(errors="replace"))
    return [line for line in lines if str(directory) in line]


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def test_a_real_api_server_answers(cluster: Cluster, namespace: str) -> None:
    assert cluster.status().is_running
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"
    assert "apiserver_request_total" in cluster.kubectl("get", "--raw=/metrics")
    assert cluster.kubectl("get", "namespace", namespace, "--output=name").strip() == f"namespace/{namespace}"
    with pytest.raises(KubectlError, match="not found"):
        cluster.kubectl("get", "namespace", "no-such-namespace")


def test_controllers_use_their_own_service_accounts(cluster: Cluster, namespace: str) -> None:
    wait_until(lambda: cluster.kubectl("get", "serviceaccount", "default", f"-n={namespace}", check=False))
    accounts = cluster.kubectl("get", "serviceaccounts", "--namespace=kube-system", "--output=name")
    assert "serviceaccount/generic-garbage-collector" in accounts


def test_the_service_range_is_larger_than_the_default(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=SERVICE)


def test_pods_run_on_simulated_nodes(cluster: Cluster, namespace: str) -> None:
    wait_until(lambda: cluster.kubectl("get", "serviceaccount", "default", f"-n={namespace}", check=False))
    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=POD)
    cluster.kubectl("wait", "pod/pod", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=60s")


def test_a_running_cluster_can_be_used_as_the_current_one(cluster: Cluster) -> None:
    current = CurrentCluster(cluster.kubeconfig)
    assert current.status().is_running
    assert current.status().server == cluster.status().server
    current.up()
    assert not current.down()
    assert cluster.status().is_running


def test_down_removes_everything_and_up_starts_again(new_cluster: NewCluster) -> None:
    own = new_cluster(nodes=3)
    first = pids(own)
    assert len(first) == 5
    assert len(own.kubectl("get", "nodes", "--output=name").split()) == 3
    own.up()
    assert pids(own) == first

    assert own.down()
    assert have_ended(first)
    assert command_lines_with(own.directory) == []
    assert not own.directory.exists()
    assert own.status().state is ClusterState.ABSENT
    assert not own.down()

    own.up()
    assert own.status().is_running
    assert not set(first.values()) & set(pids(own).values())


def test_two_clusters_are_independent(cluster: Cluster, namespace: str, new_cluster: NewCluster) -> None:
    own = new_cluster()
    assert own.status().server != cluster.status().server
    assert namespace not in own.kubectl("get", "namespaces")
    own.down()
    assert cluster.status().is_running


def test_the_api_server_restarts_on_the_same_port_with_the_same_data(new_cluster: NewCluster) -> None:
    own = new_cluster(nodes=0)
    server = own.status().server
    others = {name: pid for name, pid in pids(own).items() if name != "kube-apiserver"}
    own.kubectl("create", "configmap", "kept")

    own.stop_apiserver()
    with pytest.raises(KubectlError):
        own.kubectl("get", "--raw=/readyz")
    assert own.status().problems == ("kube-apiserver is not running",)

    own.start_apiserver()
    assert own.status().is_running
    assert own.status().server == server
    assert {name: pid for name, pid in pids(own).items() if name != "kube-apiserver"} == others
    own.kubectl("get", "configmap", "kept")
    own.kubectl("create", "namespace", "later")
    wait_until(lambda: own.kubectl("get", "serviceaccount", "default", "-n=later", check=False))


def test_a_stale_cluster_is_reported_and_replaced(new_cluster: NewCluster) -> None:
    own = new_cluster(nodes=0)
    own.kubectl("create", "configmap", "lost")
    kill_processes(process for process in recorded_processes(own.directory) if process.name == "etcd")
    assert "etcd is not running" in own.status().problems
    own.up()
    assert own.status().is_running
    assert own.kubectl("get", "configmap", "lost", "--ignore-not-found") == ""


@pytest.mark.parametrize("then", ["up", "down"])
def test_up_and_down_work_after_a_killed_start(then: str, new_cluster: NewCluster, cluster: Cluster) -> None:
    own = LocalCluster(f"test-{os.getpid()}-own", nodes=0)
    program = f"from hopper.local import LocalCluster; LocalCluster({own.name!r}).up()"
    with subprocess.Popen([sys.executable, "-c", program]) as starting:
        wait_until(lambda: len(pids(own)) == 5)
        starting.kill()
    left = pids(own)
    status = own.status()
    assert status.state is ClusterState.STALE
    assert "its start was interrupted" in status.problems
    assert own.name in known_clusters()
    if then == "up":
        assert new_cluster(nodes=0).status().is_running
    else:
        assert own.down()
        assert not own.directory.exists()
        assert command_lines_with(own.directory) == []
    assert have_ended(left)


def test_a_port_that_another_process_takes_is_replaced(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_ports = loopback_ports.free_ports
    with socket.create_server(("127.0.0.1", 0)) as other_server:
        taken = other_server.getsockname()[1]
        drawn = [[taken, *free_ports(5)]]
        monkeypatch.setattr(loopback_ports, "free_ports", lambda count, _: drawn.pop() if drawn else free_ports(count))
        own = new_cluster(nodes=0)
        assert not drawn
        assert own.status().is_running
        assert str(taken) not in own.status().server


def test_arguments_are_passed_to_the_api_server(new_cluster: NewCluster, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(AUDIT_POLICY)
    arguments = {"audit-policy-file": str(policy), "audit-log-path": str(tmp_path / "audit.log")}
    own = new_cluster(nodes=0, extra_args={"kube-apiserver": arguments})
    name = uuid.uuid4().hex
    own.kubectl("get", "configmap", name, "--ignore-not-found")
    wait_until(lambda: name in (tmp_path / "audit.log").read_text())
    entry = json.loads((tmp_path / "audit.log").read_text().splitlines()[0])
    assert entry["kind"] == "Event"


def test_the_command_line_writes_nothing_to_the_home_directory(cluster: Cluster, tmp_path: Path) -> None:
    home = tmp_path / "home"
    tools = tmp_path / "kube bin"
    for directory in (home, tools):
        directory.mkdir()
    for name, path in ensure_binaries(cache_dir()).items():
        (tools / name).symlink_to(path)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "HOPPER", "XDG", "COV"))},
        "HOME": str(home),
        "HOPPER_KUBE_BIN": str(tools),
    }

    def hopper(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from hopper.cli.main import main; main()", "local", *args]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    try:
        up = hopper("up")
        assert up.returncode == 0, up.stderr
        exported = up.stdout.splitlines()[0]
        shell = f"{exported}; {tools / 'kubectl'!s}".replace("kube bin", "'kube bin'") + " get --raw=/readyz"
        assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout == "ok"
        assert hopper("status").returncode == 0
    finally:
        down = hopper("down")
    assert down.returncode == 0, down.stderr
    assert hopper("status").returncode == 1
    files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert files == []
