"""`hopper local` and `hopper demo` on the command line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hopper.cli.main import app
from hopper.local import LocalCluster
from hopper.local.binary_catalogue import CLUSTER_BINARIES, KUBERNETES, TOOL_BINARIES, BinaryStore, this_platform
from hopper.local.processes import kill_processes, recorded_kwokctl, recorded_processes

Script = Callable[[Path, str], Path]


def hopper(*args: str) -> Result:
    return CliRunner().invoke(app, args)


@pytest.fixture
def clusters(kube_bin: Path) -> Iterator[None]:
    yield
    for name in ("a", "b", "hopper"):
        LocalCluster(name).down()


def test_up_prints_the_shell_commands_to_use_the_cluster(
    clusters: None, kube_bin: Path, path_of: Path, cache: Path, script: Script
) -> None:
    done = hopper("local", "up")
    assert done.exit_code == 0
    assert done.stdout == (f"export KUBECONFIG={cache}/clusters/hopper/kubeconfig\nexport PATH={kube_bin}:$PATH\n")
    assert re.fullmatch(r"Starting cluster 'hopper': done in \d+\.\d s\n", done.stderr)
    script(path_of / "kubectl", "")
    helm = script(BinaryStore(cache, this_platform()).paths(TOOL_BINARIES)["helm"], "")
    with_helm = hopper("local", "up")
    assert with_helm.stdout.splitlines()[1:] == [f"export PATH={helm.parent}:$PATH"]
    script(path_of / "helm", "")
    again = hopper("local", "up")
    assert again.stdout == f"export KUBECONFIG={cache}/clusters/hopper/kubeconfig\n"
    assert again.stderr == "Cluster 'hopper' is already running\n"
    assert hopper("local", "kubeconfig").stdout == f"{cache}/clusters/hopper/kubeconfig\n"


def test_status_shows_all_clusters_and_exits_with_0_only_if_all_are_running(clusters: None) -> None:
    none = hopper("local", "status")
    assert (none.exit_code, none.stdout) == (1, "")
    assert none.stderr == "There are no clusters. Start one with `hopper local up`\n"

    hopper("local", "up", "--name", "a")
    hopper("local", "up", "--name", "b")
    both = hopper("local", "status")
    assert both.exit_code == 0
    assert re.sub(r":\d{5}", ":PORT", both.stdout).splitlines() == [
        "NAME   PROVIDER   STATE     VERSION   SERVER",
        f"a      local      Running   {KUBERNETES.version}   https://127.0.0.1:PORT",
        f"b      local      Running   {KUBERNETES.version}   https://127.0.0.1:PORT",
    ]

    kill_processes(process for process in recorded_processes(LocalCluster("a").directory) if process.name == "etcd")
    stale = hopper("local", "status")
    assert stale.exit_code == 1
    assert "a      local      Stale" in stale.stdout
    assert stale.stderr.splitlines() == [
        "a: etcd is not running",
        "a: replace it with an empty one: `hopper local up --name a`, or remove it: `hopper local down --name a`",
    ]
    assert hopper("local", "status", "--name", "b").exit_code == 0
    refused = hopper("local", "kubeconfig", "--name", "a")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "error: cluster 'a' is Stale (etcd is not running): start it with `hopper local up --name a`\n"
    )


def test_status_of_an_absent_cluster(cache: Path) -> None:
    done = hopper("local", "status", "--name", "x")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1] == "x      local      Absent   -         -"


def test_status_as_json(clusters: None) -> None:
    assert json.loads(hopper("local", "status", "--output", "json").stdout) == []
    hopper("local", "up", "--name", "a")
    (shown,) = json.loads(hopper("local", "status", "-o", "json").stdout)
    assert shown["name"] == "a"
    assert shown["state"] == "Running"
    assert shown["problems"] == []


def test_down_is_idempotent(clusters: None) -> None:
    hopper("local", "up", "--name", "a")
    first, second = hopper("local", "down", "--name", "a"), hopper("local", "down", "--name", "a")
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.startswith("Stopping cluster 'a': done in")
    assert (second.exit_code, second.stderr) == (0, "Nothing to stop: cluster 'a' does not exist\n")


def test_build_prints_the_paths_of_the_binaries(kube_bin: Path, script: Script) -> None:
    script(kube_bin / "helm", "")
    done = hopper("local", "build")
    assert done.exit_code == 0
    wanted = (*CLUSTER_BINARIES, *TOOL_BINARIES)
    assert done.stdout.splitlines() == [f"{binary.name}\t{kube_bin / binary.name}" for binary in wanted]
    (kube_bin / "etcd").unlink()
    failed = hopper("local", "build")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"error: HOPPER_KUBE_BIN: {kube_bin} lacks etcd v")
    assert hopper("local", "build", "--provider", "current").exit_code == 0


def test_an_invalid_name_is_rejected(cache: Path) -> None:
    done = hopper("local", "up", "--name", "Not_Good")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: --name: invalid cluster name 'Not_Good': use at most 40 lower-case letters")


def test_the_current_cluster_is_only_checked(kube_bin: Path, script: Script) -> None:
    script(kube_bin / "kubectl", """print('{"gitVersion": "v1.30.0"}')""")
    done = hopper("local", "up", "--provider", "current")
    assert (done.exit_code, done.stdout) == (0, "")
    assert hopper("local", "status", "--provider", "current").exit_code == 0
    down = hopper("local", "down", "--provider", "current")
    assert (down.exit_code, down.stderr) == (0, "The current cluster keeps running, because Hopper did not start it\n")


def test_kind_needs_a_container_engine(path_of: Path) -> None:
    done = hopper("local", "up", "--provider", "kind")
    assert done.exit_code == 1
    assert "no container engine answers (docker is not installed): start Docker" in done.stderr


def test_build_for_kind_prints_the_paths_of_kind_and_kubectl(kube_bin: Path, script: Script) -> None:
    for name in ("kind", "helm"):
        script(kube_bin / name, "")
    done = hopper("local", "build", "--provider", "kind")
    assert done.stdout.splitlines() == [f"{name}\t{kube_bin / name}" for name in ("kind", "kubectl", "helm")]


def test_images_can_be_loaded_into_kind_clusters_only(kube_bin: Path) -> None:
    done = hopper("local", "load", "an/image")
    assert done.exit_code == 1
    assert "cluster 'hopper' runs no containers" in done.stderr


def test_an_interruption_names_the_next_step(kube_bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalCluster, "up", interrupt)
    done = hopper("local", "up")
    assert done.exit_code == 130
    assert done.stderr == "Interrupted. Run the same command again to continue.\n"


@pytest.mark.parametrize("command", [("local", "up"), ("demo",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_command_leaves_no_files_or_processes(
    number: signal.Signals, command: tuple[str, ...], kube_bin: Path, cache: Path, wait_until: Callable[..., None]
) -> None:
    (kube_bin / "plan.json").write_text('{"hang": true}')
    starting = subprocess.Popen([sys.executable, "-m", "hopper.cli.main", *command, "--name=a"], stderr=subprocess.PIPE)
    cluster = LocalCluster("a")
    try:
        wait_until(
            lambda: len(running := recorded_processes(cluster.directory)) == 5 and all(p.is_alive for p in running)
        )
        left = [*recorded_processes(cluster.directory), *recorded_kwokctl(cluster.directory)]
        starting.send_signal(number)
        _, output = starting.communicate(timeout=20)
    finally:
        starting.kill()
        cluster.down()
    assert starting.returncode == 128 + number
    assert output.decode().splitlines()[-1].startswith("Interrupted.")
    assert [process.name for process in left if process.is_alive] == []
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("command", [("local", "up"), ("demo",)])
def test_an_unwritable_cache_is_reported(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kube_bin: Path
) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    monkeypatch.setenv("HOPPER_CACHE", str(cache))
    done = hopper(*command)
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {cache / 'locks'}: Not a directory: "
        f"set HOPPER_CACHE (now {cache}) to a writable directory with enough free space\n"
    )


def test_the_demo_refuses_to_replace_a_running_cluster(clusters: None) -> None:
    hopper("local", "up", "--name", "a")
    done = hopper("demo", "--name", "a")
    assert done.exit_code == 1
    assert done.stderr == (
        "error: cluster 'a' is already running, and the demo would remove it: choose another --name, "
        "or run `hopper local down --name a` first\n"
    )
    assert LocalCluster("a").status().is_running


def test_version_and_help_are_printed() -> None:
    assert re.fullmatch(r"hopper \d+\.\d+\.\d+\n", hopper("--version").stdout)
    assert "local" in hopper("--help").stdout
    for verb in ("up", "down", "status", "kubeconfig", "build", "load"):
        assert hopper("local", verb, "--help").exit_code == 0


def test_the_command_line_starts_without_heavy_imports() -> None:
    program = "import sys, hopper.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"kopf", "kubernetes", "pydantic", "aiohttp", "yaml", "hopper.local.local_cluster"}
    assert heavy & set(done.stdout.split()) == set()
