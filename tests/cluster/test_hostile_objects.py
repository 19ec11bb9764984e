"""Objects that the API server stores and Python cannot decode by recursion, beside healthy ones.

They are reported on themselves. Operator, gateway and command line serve everything else.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import yaml
from typer.testing import CliRunner

from hopper.cli.main import app
from hopper.local import Cluster
from tests.cluster.support.gateway_process import running_gateway_process
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.operator_process import running_operator_process

TEMPLATE = "/apis/hopper.dev/v1/namespaces/{}/hoppertemplates"
WEB = {"templateRef": {"name": "web"}}
REASON = "spec.config.extra: nested more than 64 levels deep"
MERGE_PATCH = "application/merge-patch+json"


def nested(depth: int, *, lists: bool = False) -> str:
    """Return the JSON of `config.extra` with this number of levels, which `json.dumps` cannot write."""
    if lists:
        return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    return '{"a":' * depth + "1" + "}" * depth


async def create_nested(live: LiveInstances, name: str, extra: str, scope: str = "Project", **spec: object) -> None:
    body = json.dumps(manifest(name, scope, **spec, config={"extra": "EXTRA", "capabilities": ["gpu"]}))  # type: ignore[arg-type]
    await live.request("POST", live.path, body.replace('"EXTRA"', extra))


async def create_template(live: LiveInstances) -> None:
    body = {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": "web"}}
    await live.request("POST", TEMPLATE.format(live.namespace), {**body, "spec": {"image": "shop:1"}})


async def until_reported(live: LiveInstances, *names: str) -> None:
    for name in names:
        stalled = await live.until_reason(name, "Stalled", "SpecInvalid", seconds=60)
        assert REASON in stalled["message"]


async def test_processes_start_restart_and_serve_beside_deep_instances(
    live: LiveInstances, kubeconfig: str, tmp_path: Path
) -> None:
    operator_log, gateway_log = tmp_path / "operator.log", tmp_path / "gateway.log"
    await live.create("shop")
    await create_nested(live, "deep-1200", nested(1200))
    await create_nested(live, "deep-lists", nested(1200, lists=True))
    await create_nested(live, "deep-9000", nested(9000))
    await create_nested(live, "deep-65", nested(65), "Orchestration", parentRef={"name": "shop"})
    await create_nested(live, "deep-64", nested(64), "Orchestration", parentRef={"name": "shop"})
    for run in range(2):  # the second run starts with statuses and managedFields of the first
        async with (
            running_operator_process(live.namespace, Path(kubeconfig), operator_log) as operator,
            running_gateway_process(live.namespace, Path(kubeconfig), gateway_log) as gateway,
        ):
            await operator.until_ready()
            await until_reported(live, "deep-1200", "deep-lists", "deep-9000", "deep-65")
            await live.until_phase("Running", "shop", "deep-64")
            # Now as watch events, of kopf too.
            await create_nested(live, f"late-{run}", nested(5000))
            await live.edit("deep-9000", displayName=f"run {run}")
            await live.create(f"healthy-{run}")
            await until_reported(live, f"late-{run}", "deep-9000")
            await live.until_phase("Running", f"healthy-{run}")
            await gateway.rest.until(f"/instances/late-{run}", status="created")
            await gateway.rest.until("/instances/deep-9000", name=f"run {run}")
            await live.delete(f"late-{run}")
            await live.until_gone(f"late-{run}")
            async with asyncio.timeout(30):
                while (await gateway.rest.get(f"/instances/late-{run}")).code != 404:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            for path in ("/instances", "/instances/shop/tree", "/registry/topology", "/instances/deep-1200/status"):
                assert (await gateway.rest.get(path)).code == 200, path
            assert operator.is_running
            assert gateway.is_running
            operator.kill()
            await operator.wait()


async def test_the_gateway_shows_the_rest_of_a_deep_instance_and_keeps_what_it_cannot_read(
    live: LiveInstances, cluster: Cluster, kubeconfig: str, tmp_path: Path
) -> None:
    await live.create("shop")
    await create_nested(live, "deep", nested(1200), "Orchestration", parentRef={"name": "shop"})
    async with (
        running_operator_process(live.namespace, Path(kubeconfig), tmp_path / "operator.log") as operator,
        running_gateway_process(live.namespace, Path(kubeconfig), tmp_path / "gateway.log") as gateway,
    ):
        await operator.until_ready()
        await until_reported(live, "deep")
        rest = gateway.rest
        shown = (await rest.get("/instances/deep")).body
        assert shown["config"] == {"capabilities": ["gpu"]}
        for body in ({"config": {"extra": {"a": 1}}}, {"config": {"capabilities": ["cpu"]}}, {"config": None}):
            refused = await rest.put("/instances/deep", body)
            assert (refused.code, refused["error_type"]) == (409, "Conflict"), body
            assert REASON in refused["detail"]
        changed = await rest.put("/instances/deep", {"description": "other fields can change"})
        assert changed.code == 200, changed.text
        action = await rest.post("/instances/deep/stop", {})
        assert action.code in (200, 202), action.text
        kept = cluster.kubectl(
            "get", "hi", "deep", "--namespace", live.namespace, "--output=jsonpath={.spec.config.extra}"
        )
        assert kept == nested(1200)
        # kubectl can correct it.
        await live.request("PATCH", f"{live.path}/deep", {"spec": {"config": {"extra": None}}}, MERGE_PATCH)
        await live.until(lambda: live.condition("deep", "Stalled") == {}, "no longer stalled")
        corrected = await rest.put("/instances/deep", {"config": {"extra": {"a": {"b": [1]}}}})
        assert corrected.code == 200, corrected.text


async def test_server_sent_events_continue(live: LiveInstances, kubeconfig: str, tmp_path: Path) -> None:
    async with (
        running_operator_process(live.namespace, Path(kubeconfig), tmp_path / "operator.log") as operator,
        running_gateway_process(live.namespace, Path(kubeconfig), tmp_path / "gateway.log") as gateway,
    ):
        await operator.until_ready()
        url = f"{gateway.rest.url}/api/v1/registry/events"
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession() as session, session.get(url, timeout=timeout) as stream:
            assert stream.status == 200
            await stream.content.readuntil(b"event: snapshot")
            await create_nested(live, "deep", nested(9000))
            await live.create("healthy")
            received = b""
            while b'"id":"healthy"' not in received or b'"id":"deep"' not in received:
                received += await stream.content.readany()


async def test_render_and_diff_report_the_deep_instance_only(
    live: LiveInstances, kubeconfig: str, tmp_path: Path
) -> None:
    await create_template(live)
    await live.create("shop")
    await live.create("good", "Orchestration", "shop", **WEB)
    await create_nested(live, "deep", nested(1200), "Orchestration", parentRef={"name": "shop"}, **WEB)
    for verb in ("render", "diff"):
        done = await asyncio.to_thread(CliRunner().invoke, app, [verb, "--namespace", live.namespace])
        assert done.exit_code == 2, done.output
        assert f"error: deep: {REASON}" in done.stderr
        assert "hopper-shop-good" in done.stdout
        assert done.exception is None or isinstance(done.exception, SystemExit)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["render", "good", "--namespace", live.namespace])
    assert done.exit_code == 0, done.output
    assert {document["kind"] for document in yaml.safe_load_all(done.stdout)} >= {"Deployment"}


async def test_a_deep_instance_with_children_is_deleted(live: LiveInstances, kubeconfig: str, tmp_path: Path) -> None:
    await create_nested(live, "deep", nested(9000))
    await live.create("child", "Orchestration", "deep")
    async with running_operator_process(live.namespace, Path(kubeconfig), tmp_path / "operator.log") as operator:
        await operator.until_ready()
        await until_reported(live, "deep")
        await live.until(lambda: live["deep"]["metadata"].get("finalizers"), "a finalizer")
        await live.delete("deep")
        await live.until_gone("deep", "child")
