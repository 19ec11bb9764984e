"""`hopper gateway run` as a process: options, logs, signals and exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopper.local import Cluster
from hopper.local.loopback_ports import free_ports
from tests.cluster.support.in_process_gateway import GatewayClient
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace
from tests.cluster.support.operator_process import HOPPER, OperatorProcess


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "gateway.log"


@asynccontextmanager
async def started(kubeconfig: Path, log: Path, *args: str) -> AsyncIterator[tuple[OperatorProcess, GatewayClient]]:
    """Run a ready gateway, by default without authentication, until the context ends."""
    port = free_ports(1)[0]
    command = [
        HOPPER,
        "gateway",
        "run",
        "--port",
        str(port),
        *(args if "--auth" in args else ("--auth", "none", *args)),
    ]
    with log.open("ab") as output:
        run = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=os.environ | {"KUBECONFIG": str(kubeconfig)}
        )
    gateway = OperatorProcess(run, port, log)
    try:
        await gateway.until_ready()
        async with aiohttp.ClientSession() as session:
            yield gateway, GatewayClient(session, None, f"http://127.0.0.1:{port}")
    finally:
        if gateway.is_running:
            gateway.kill()
        await gateway.wait()


async def run_to_exit(*args: str, **environment: str) -> tuple[int, str]:
    """Run `hopper gateway run` until it exits. Return the exit code and its standard error."""
    run = await asyncio.create_subprocess_exec(
        HOPPER, "gateway", "run", *args, stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "200"} | environment
    )
    async with asyncio.timeout(60):
        _, stderr = await run.communicate()
    assert run.returncode is not None
    return run.returncode, stderr.decode()


class TestRun:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_open_requests_do_not_delay_a_clean_exit(
        self, cluster: Cluster, live: LiveInstances, log: Path, number: signal.Signals
    ) -> None:
        """Event streams end, waiting requests end, and received heartbeats are stored."""
        await live.create("web", heartbeat={"timeoutSeconds": 60})
        async with started(cluster.kubeconfig, log, "-n", live.namespace) as (run, rest):
            assert (await rest.post("/registry/instances/web/heartbeat")).code == 204
            async with rest.session.get(f"{rest.url}/api/v1/registry/events") as stream:
                assert b"retry" in await stream.content.readline()
                waiting = asyncio.create_task(rest.post("/instances/web/pause?wait=true&timeout=1"))
                await live.until(lambda: live["web"]["spec"].get("desiredState") == "Paused", "the pause is wanted")
                run.signal(number)
                async with asyncio.timeout(10):
                    await stream.read()
            await asyncio.gather(waiting, return_exceptions=True)
            assert await run.wait() == 0
        assert "Traceback" not in run.log
        maps = await live.request("GET", f"/api/v1/namespaces/{live.namespace}/configmaps")
        assert any("web" in shard.get("data", {}) for shard in maps["items"])

    async def test_the_access_log_has_caller_and_request(
        self, cluster: Cluster, live: LiveInstances, log: Path
    ) -> None:
        async with started(cluster.kubeconfig, log, "-n", live.namespace, "--log-format", "json") as (run, rest):
            assert (await rest.get("/instances?limit=3", X_Request_Id="my-id")).headers["x-request-id"] == "my-id"
            assert (await rest.get("/instances/nobody")).code == 404
            assert (await rest.get("/instances/%0Aforged%20line", X_Request_Id="not\tgood")).code == 404
            assert await run.stop() == 0
        entries = [json.loads(line) for line in run.log.splitlines()]
        access_entries: list[dict[str, Any]] = [
            entry for entry in entries if entry["logger"] == "hopper.gateway.access"
        ]
        first, second, third = (entry for entry in access_entries if entry["path"].startswith("/api"))
        assert (first["path"], first["code"], first["request_id"]) == ("/api/v1/instances?limit=3", 200, "my-id")
        assert (first["caller"], first["method"], second["code"]) == ("anonymous", "GET", 404)
        assert third["path"] == "/api/v1/instances/%0Aforged%20line"
        assert re.fullmatch("[0-9a-f]{16}", third["request_id"])

    async def test_serves_several_or_all_namespaces(self, cluster: Cluster, live: LiveInstances, log: Path) -> None:
        async with fresh_namespace() as other, fresh_namespace() as third:
            for instances in (live, other, third):
                await instances.create("web")
            names = ("-n", live.namespace, "-n", other.namespace)
            async with started(cluster.kubeconfig, log, *names) as (run, rest):
                assert (await rest.get("/instances/web"))["namespace"] == live.namespace
                assert (await rest.get(f"/instances/web?namespace={other.namespace}")).code == 200
                assert (await rest.get(f"/instances/web?namespace={third.namespace}")).code == 403
                assert await run.stop() == 0
            async with started(cluster.kubeconfig, log, "--all-namespaces") as (run, rest):
                for instances in (live, other, third):
                    assert (await rest.get(f"/instances/web?namespace={instances.namespace}")).code == 200
                assert (await rest.get("/metrics")).code == 200
                assert await run.stop() == 0


class TestErrors:
    async def test_auth_none_needs_a_loopback_address(self) -> None:
        code, stderr = await run_to_exit("--auth", "none", "--host", "0.0.0.0")
        assert code == 1
        assert "use --host 127.0.0.1" in stderr

    async def test_without_a_cluster_the_gateway_exits(self, tmp_path: Path) -> None:
        code, stderr = await run_to_exit(KUBECONFIG=str(tmp_path / "nothing"))
        assert code == 1
        assert "no cluster" in stderr
        assert "Traceback" not in stderr

    async def test_a_port_in_use_is_reported(self, cluster: Cluster, live: LiveInstances) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            code, stderr = await run_to_exit("-n", live.namespace, "--port", port, KUBECONFIG=str(cluster.kubeconfig))
        assert code == 1
        assert f"port {port} is in use" in stderr
        assert "Traceback" not in stderr

    async def test_rejected_credentials_are_reported(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path
    ) -> None:
        view = ("config", "view", "--raw", "--minify", "--output=json")
        config = json.loads(await asyncio.to_thread(cluster.kubectl, *view))
        config["users"][0]["user"] = {"token": "no-such-token"}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        code, stderr = await run_to_exit("-n", live.namespace, "--port", "0", KUBECONFIG=str(tmp_path / "kubeconfig"))
        assert code == 1
        assert "does not accept the credentials" in stderr
        assert "Traceback" not in stderr


async def test_answers_are_sent_without_delay(rest: GatewayClient) -> None:
    """Without TCP_NODELAY, an answer in two parts waits for the acknowledgement of the first."""
    listening = rest.gateway._socket
    assert listening
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
