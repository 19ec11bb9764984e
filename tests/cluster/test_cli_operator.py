"""`hopper operator run` as a process: options, logs, signals, exit codes and missing CRDs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hopper.local import Cluster, LocalCluster
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace, manifest, watched_namespace
from tests.cluster.support.operator_process import HOPPER, OperatorProcess, running_operator_process

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "operator.log"


@asynccontextmanager
async def started(kubeconfig: Path, log: Path, *args: str) -> AsyncIterator[OperatorProcess]:
    """Run the operator with these arguments and without a metrics port until the context ends."""
    command = [HOPPER, "operator", "run", "--metrics-port", "-1", *args]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
    with log.open("ab") as output:
        run = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=environment)
    operator = OperatorProcess(run, 0, log)
    try:
        yield operator
    finally:
        if operator.is_running:
            operator.kill()
        await operator.wait()


async def wait_for_log(run: OperatorProcess, text: str) -> None:
    async def has_logged() -> bool:
        return text in run.log

    await run.until(has_logged, f"the log contains {text!r}")


async def run_to_exit(*args: str, **environment: str) -> tuple[int, str]:
    """Run `hopper operator run` until it exits. Return the exit code and its standard error."""
    run = await asyncio.create_subprocess_exec(
        HOPPER, "operator", "run", *args, stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "200"} | environment
    )
    async with asyncio.timeout(60):
        _, stderr = await run.communicate()
    assert run.returncode is not None
    return run.returncode, stderr.decode()


class TestRun:
    async def test_serves_a_namespace_and_stops_on_sigterm(
        self, cluster: Cluster, live: LiveInstances, log: Path
    ) -> None:
        async with running_operator_process(live.namespace, cluster.kubeconfig, log) as run:
            await run.until_ready()
            await live.create_from(manifest("a", reason="spring"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")
            assert await run.metric("hopper_instances", phase="Running") == 2
            assert await run.probe_succeeds("/healthz")
            assert await run.stop() == 0
        lines = run.log.splitlines()
        assert any(f"serving namespaces {live.namespace} of https://" in line for line in lines)
        assert any("synced: 0 instances" in line for line in lines)
        pattern = (
            rf"\d{{4}}-\d\d-\d\d .* INFO +hopper\.\S+: {live.namespace}/a: Created → Starting \(DesiredState\): spring"
        )
        assert any(re.fullmatch(pattern, line) for line in lines)
        assert "Traceback" not in run.log
        assert not any(" kopf" in line and " INFO " in line for line in lines)

    async def test_logs_json_of_the_current_namespace(
        self, cluster: Cluster, live: LiveInstances, log: Path, tmp_path: Path
    ) -> None:
        """Without options, the namespace is the one of the current context."""
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(cluster.kubeconfig.read_text())
        kubeconfig.chmod(0o600)
        set_it = ("config", f"--kubeconfig={kubeconfig}", "set-context", "--current", f"--namespace={live.namespace}")
        await asyncio.to_thread(cluster.kubectl, *set_it)
        async with started(kubeconfig, log, "--log-format", "json") as run:
            await live.create("a", reason='"quoted" ü')
            await live.until_phase("Running", "a")
            assert await run.stop() == 0
        entries = [json.loads(line) for line in run.log.splitlines()]
        assert all(entry.keys() >= {"time", "level", "logger", "message"} for entry in entries)
        assert entries[0]["message"].startswith(f"serving namespaces {live.namespace} of https://")
        start = f"{live.namespace}/a: Starting → Running"
        transition = next(entry for entry in entries if entry["message"].startswith(start))
        assert transition["level"] == "info"
        assert transition["message"].endswith(': "quoted" ü')
        assert (transition["namespace"], transition["instance"], transition["reason"]) == (
            live.namespace,
            "a",
            "DesiredState",
        )

    @pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs files in memory")
    async def test_a_killed_operator_leaves_no_key_files(
        self, cluster: Cluster, live: LiveInstances, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        async with running_operator_process(live.namespace, cluster.kubeconfig, log) as run:
            await run.until_ready()
            run.kill()
            await run.wait()
        assert list((tmp_path / "temporary").iterdir()) == []

    async def test_verbose_logs_debug_lines_and_ctrl_c_stops(
        self, cluster: Cluster, live: LiveInstances, log: Path
    ) -> None:
        async with started(cluster.kubeconfig, log, "--verbose", "-n", live.namespace) as run:
            await live.create("a")
            await live.until_phase("Running", "a")
            for _ in range(100):  # An impatient user presses Ctrl-C repeatedly.
                run.signal(signal.SIGINT)
            assert await run.wait() == 0
        assert " DEBUG " in run.log
        assert " kopf" in run.log
        assert "Traceback" not in run.log

    async def test_serves_several_or_all_namespaces(self, cluster: Cluster, live: LiveInstances, log: Path) -> None:
        async with fresh_namespace() as other, fresh_namespace() as third:
            names = (live.namespace, other.namespace)
            async with started(cluster.kubeconfig, log, *(word for name in names for word in ("-n", name))) as run:
                for instances in (live, other, third):
                    await instances.create("a")
                await live.until_phase("Running", "a")
                await other.until_phase("Running", "a")
                assert await run.stop() == 0
            assert third.phase("a") is None
            async with started(cluster.kubeconfig, log, "--all-namespaces") as run:
                await third.until_phase("Running", "a")
                assert await run.stop() == 0
        assert "serving all namespaces" in run.log


class TestErrors:
    async def test_without_a_cluster_the_operator_exits(self, tmp_path: Path) -> None:
        code, stderr = await run_to_exit(KUBECONFIG=str(tmp_path / "nothing"))
        assert code == 1
        assert "no cluster" in stderr
        assert "hopper local up" in stderr
        assert "Traceback" not in stderr

    @pytest.mark.parametrize(
        "text",
        ["apiVersion: v1\nkind: Config\ncontexts: []\n", "", "[", "- a", "current-context: a\ncontexts: 1\n", "\0"],
    )
    async def test_an_invalid_kubeconfig_is_reported(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "broken").write_text(text)
        code, stderr = await run_to_exit(KUBECONFIG=str(tmp_path / "broken"))
        assert code == 1
        assert f"no cluster in {tmp_path / 'broken'} (" in stderr
        assert "Traceback" not in stderr

    async def test_exclusive_options_are_rejected(self) -> None:
        code, stderr = await run_to_exit("--namespace", "a", "--all-namespaces")
        assert code == 2
        assert "omit one of them" in stderr

    async def test_a_port_in_use_is_reported(self, cluster: Cluster, live: LiveInstances) -> None:
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, stderr = await run_to_exit(
                "-n", live.namespace, "--metrics-port", str(port), KUBECONFIG=str(cluster.kubeconfig)
            )
        assert code == 1
        assert f"port {port} is in use; choose another one with --metrics-port" in stderr
        assert "Traceback" not in stderr

    async def test_rejected_credentials_are_reported(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path
    ) -> None:
        config = json.loads(
            await asyncio.to_thread(cluster.kubectl, "config", "view", "--raw", "--minify", "--output=json")
        )
        config["users"][0]["user"] = {"token": "no-such-token"}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        code, stderr = await run_to_exit("-n", live.namespace, "--metrics-port", "-1", KUBECONFIG=str(kubeconfig))
        assert code == 1
        assert "does not accept the credentials (401: Unauthorized)" in stderr
        assert "Traceback" not in stderr


@pytest.mark.parametrize("verbose", [False, True])
async def test_missing_rights_are_reported_before_the_operator_exits(
    cluster: Cluster, live: LiveInstances, log: Path, tmp_path: Path, verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has one line with the reason. With --verbose, it also has the lines of kopf."""

    def kubectl(*words: str) -> str:
        return cluster.kubectl("--namespace", live.namespace, *words)

    await asyncio.to_thread(kubectl, "create", "serviceaccount", "poor")
    resources = "hopperinstances.hopper.dev,hopperinstances.hopper.dev/status,hoppertemplates.hopper.dev"
    await asyncio.to_thread(kubectl, "create", "role", "poor", "--verb=*", f"--resource={resources}")
    account = f"--serviceaccount={live.namespace}:poor"
    await asyncio.to_thread(kubectl, "create", "rolebinding", "poor", "--role=poor", account)
    config = json.loads(await asyncio.to_thread(kubectl, "config", "view", "--raw", "--minify", "--output=json"))
    config["users"][0]["user"] = {"token": (await asyncio.to_thread(kubectl, "create", "token", "poor")).strip()}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    async with started(kubeconfig, log, "-n", live.namespace, *["--verbose"] * verbose) as run:
        await wait_for_log(run, "list or watch failed: 403: ")
        assert (" kopf" in run.log) is verbose
        if verbose:
            return
        assert await run.wait(90) == 1
    (error,) = (line for line in run.log.splitlines() if " ERROR " in line)
    plurals = "configmaps, deployments, ingresses, persistentvolumeclaims, pods, secrets, services"
    assert f"not allowed to list and watch {plurals} of namespace {live.namespace}: bind the roles" in error
    assert error.endswith("; exiting")
    assert "Traceback" not in run.log


async def test_the_operator_waits_for_the_crds_and_exits_when_they_are_deleted(
    new_cluster: Callable[..., LocalCluster], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users may install the CRDs after the start of the operator, and remove them while it runs."""
    bare = await asyncio.to_thread(new_cluster, "bare", nodes=0)
    monkeypatch.setenv("KUBECONFIG", str(bare.kubeconfig))
    async with started(bare.kubeconfig, log, "-n", "default") as run:
        await wait_for_log(run, "install the CRDs")
        await asyncio.to_thread(bare.kubectl, "apply", "--server-side", "--filename", str(CRDS))
        await asyncio.to_thread(bare.kubectl, "wait", "--for=condition=Established", "--filename", str(CRDS))
        async with watched_namespace("default") as live:
            await live.create_from(manifest("a"), manifest("b", "Event", "a"))
            await live.until_phase("Running", "a", "b")
            await live.edit("a", desiredState="Paused")
            await live.until_phase("Paused", "a", "b")
        # The operator exits without the CRDs. Its next start waits for them.
        await asyncio.to_thread(bare.kubectl, "delete", "--filename", str(CRDS))
        assert await run.wait() == 1
        assert re.search(r"ERROR +hopper: https://.* does not serve hopper.*: install the CRDs.*; exiting", run.log)
        assert "Traceback" not in run.log
