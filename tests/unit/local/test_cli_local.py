"""`hopper local`, as a user types it."""

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
from hopper.local import LocalCluster, processes
from hopper.local.catalogue import BINARIES, KUBERNETES, TOOLS, Store, this_platform

Script = Callable[[Path, str], Path]


def hopper(*args: str) -> Result:
    return CliRunner().invoke(app, args)


@pytest.fixture
def clusters(kube_bin: Path) -> Iterator[None]:
    yield
    for name in ("a", "b", "hopper"):
        LocalCluster(name).down()


def test_up_prints_how_to_use_it(clusters: None, kube_bin: Path, path_of: Path, cache: Path, script: Script) -> None:
    done = hopper("local", "up")
    assert done.exit_code == 0
    assert done.stdout == (f"export KUBECONFIG={cache}/clusters/hopper/kubeconfig\nexport PATH={kube_bin}:$PATH\n")
    assert re.fullmatch(r"Starting cluster 'hopper': done in \d+\.\d s\n", done.stderr)
    script(path_of / "kubectl", "")
    helm = script(Store(cache, this_platform()).paths(TOOLS)["helm"], "")
    with_helm = hopper("local", "up")
    assert with_helm.stdout.splitlines()[1:] == [f"export PATH={helm.parent}:$PATH"]
    script(path_of / "helm", "")
    again = hopper("local", "up")
    assert again.stdout == f"export KUBECONFIG={cache}/clusters/hopper/kubeconfig\n"
    assert again.stderr == "Cluster 'hopper' is already running\n"
    assert hopper("local", "kubeconfig").stdout == f"{cache}/clusters/hopper/kubeconfig\n"


def test_status_shows_all_clusters_and_its_exit_code_says_whether_they_run(clusters: None) -> None:
    none = hopper("local", "status")
    assert (none.exit_code, none.stdout) == (1, "")
    assert none.stderr == "There are no clusters. To start one: hopper local up\n"

    hopper("local", "up", "--name", "a")
    hopper("local", "up", "--name", "b")
    both = hopper("local", "status")
    assert both.exit_code == 0
    assert re.sub(r":\d{5}", ":PORT", both.stdout).splitlines() == [
        "NAME   PROVIDER   STATE     VERSION   SERVER",
        f"a      local      Running   {KUBERNETES.version}   https://127.0.0.1:PORT",
        f"b      local      Running   {KUBERNETES.version}   https://127.0.0.1:PORT",
    ]

    processes.kill(process for process in processes.recorded(LocalCluster("a").directory) if process.name == "etcd")
    stale = hopper("local", "status")
    assert stale.exit_code == 1
    assert "a      local      Stale" in stale.stdout
    assert stale.stderr.splitlines() == [
        "a: etcd is not running",
        "a: start it anew, empty, with `hopper local up --name a`, or remove it with `hopper local down --name a`",
    ]
    assert hopper("local", "status", "--name", "b").exit_code == 0
    refused = hopper("local", "kubeconfig", "--name", "a")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "error: cluster 'a' is Stale (etcd is not running): start it with `hopper local up --name a`\n"
    )


def test_status_of_one_that_is_not_there(cache: Path) -> None:
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
    assert (second.exit_code, second.stderr) == (0, "Nothing to stop: there is no cluster 'a'\n")


def test_build_prints_where_the_binaries_are(kube_bin: Path, script: Script) -> None:
    script(kube_bin / "helm", "")
    done = hopper("local", "build")
    assert done.exit_code == 0
    wanted = (*BINARIES, *TOOLS)
    assert done.stdout.splitlines() == [f"{binary.name}\t{kube_bin / binary.name}" for binary in wanted]
    (kube_bin / "etcd").unlink()
    failed = hopper("local", "build")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"error: HOPPER_KUBE_BIN={kube_bin} lacks etcd v")
    assert hopper("local", "build", "--provider", "current").exit_code == 0


def test_bad_names_are_refused(cache: Path) -> None:
    done = hopper("local", "up", "--name", "Not_Good")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: 'Not_Good' cannot name a cluster: use at most 40 lower-case letters")


def test_the_current_cluster(kube_bin: Path, script: Script) -> None:
    script(kube_bin / "kubectl", """print('{"gitVersion": "v1.30.0"}')""")
    done = hopper("local", "up", "--provider", "current")
    assert (done.exit_code, done.stdout) == (0, "")
    assert hopper("local", "status", "--provider", "current").exit_code == 0
    down = hopper("local", "down", "--provider", "current")
    assert (down.exit_code, down.stderr) == (0, "The current cluster was not started by Hopper: left as it is\n")


def test_kind_without_docker(path_of: Path) -> None:
    for verb in ("up", "build"):
        done = hopper("local", verb, "--provider", "kind")
        assert done.exit_code == 1
        assert "docker is not installed" in done.stderr


def test_only_nodes_that_run_containers_take_images(kube_bin: Path) -> None:
    done = hopper("local", "load", "an/image")
    assert done.exit_code == 1
    assert "cluster 'hopper' runs no containers" in done.stderr


def test_an_interruption_says_how_to_go_on(kube_bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalCluster, "up", interrupt)
    done = hopper("local", "up")
    assert done.exit_code == 130
    assert done.stderr == "Interrupted. The same command goes on with what is missing.\n"


@pytest.mark.parametrize("command", [("local", "up"), ("demo",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_in_the_middle_leaves_nothing_behind(
    number: signal.Signals, command: tuple[str, ...], kube_bin: Path, cache: Path, wait_until: Callable[..., None]
) -> None:
    (kube_bin / "plan.json").write_text('{"hang": true}')
    starting = subprocess.Popen([sys.executable, "-m", "hopper.cli.main", *command, "--name=a"], stderr=subprocess.PIPE)
    cluster = LocalCluster("a")
    try:
        wait_until(lambda: len(running := processes.recorded(cluster.directory)) == 5 and all(p.alive for p in running))
        left = [*processes.recorded(cluster.directory), *processes.starters(cluster.directory)]
        starting.send_signal(number)
        _, said = starting.communicate(timeout=20)
    finally:
        starting.kill()
        cluster.down()
    assert starting.returncode == 128 + number
    assert said.decode().splitlines()[-1].startswith("Interrupted.")
    assert [process.name for process in left if process.alive] == []
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("command", [("local", "up"), ("demo",)])
def test_a_cache_that_cannot_be_written_is_named(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kube_bin: Path
) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    monkeypatch.setenv("HOPPER_CACHE", str(cache))
    done = hopper(*command)
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {cache / 'locks'}: Not a directory. "
        f"Set HOPPER_CACHE (now {cache}) to a directory that you may write to and that has room\n"
    )


def test_the_demo_leaves_alone_a_cluster_that_runs_already(clusters: None) -> None:
    hopper("local", "up", "--name", "a")
    done = hopper("demo", "--name", "a")
    assert done.exit_code == 1
    assert done.stderr == (
        "error: cluster 'a' is already running, and the demo would remove it: choose another --name, "
        "or `hopper local down --name a` first\n"
    )
    assert LocalCluster("a").status().running


def test_version_and_help() -> None:
    assert re.fullmatch(r"hopper \d+\.\d+\.\d+\n", hopper("--version").stdout)
    assert "local" in hopper("--help").stdout
    for verb in ("up", "down", "status", "kubeconfig", "build", "load"):
        assert hopper("local", verb, "--help").exit_code == 0


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    program = "import sys, hopper.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"kopf", "kubernetes", "pydantic", "aiohttp", "yaml", "hopper.local.cluster"}
    assert heavy & set(done.stdout.split()) == set()
