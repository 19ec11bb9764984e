"""`hopper render` and `hopper diff` against a cluster: their output equals what the operator applies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from hopper.api.resources import Manifest
from hopper.cli.main import app
from hopper.controller.operator import Operator
from hopper.domain.service.drift import drifted_paths
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.workloads import FULL_SERVICE, STATELESS_SERVICE, Workloads

WEB = {"templateRef": {"name": "web"}}
CANARY = "t0ken"


class Hopper:
    """The `hopper` command in the namespace of the test."""

    def __init__(self, namespace: str, tmp_path: Path) -> None:
        self._namespace = namespace
        self._file = tmp_path / "changed.yaml"

    async def __call__(self, verb: str, *arguments: str) -> Result:
        run: Callable[..., Result] = CliRunner().invoke
        return await asyncio.to_thread(run, app, [verb, *arguments, "--namespace", self._namespace])

    async def objects(self, *arguments: str) -> list[Manifest]:
        """Return the rendered objects with the values of Secrets."""
        done = await self("render", "--show-secrets", *arguments)
        assert done.exit_code == 0, done.output
        return list(yaml.safe_load_all(done.stdout))

    async def diff_of(self, *documents: Manifest, more: tuple[str, ...] = ()) -> Result:
        """Run `hopper diff` with a file of these documents."""
        self._file.write_text(yaml.safe_dump_all(documents))
        return await self("diff", "-f", str(self._file), *more)


@pytest.fixture
def hopper(live: LiveInstances, tmp_path: Path) -> Hopper:
    return Hopper(live.namespace, tmp_path)


async def run_all(live: LiveInstances, workloads: Workloads, **spec: Any) -> None:
    await workloads.create_template(**FULL_SERVICE)
    await live.create("shop")
    await live.create("a", "Orchestration", "shop", **WEB, **spec)
    await live.until_phase("Running", "shop", "a")
    await live.until(lambda: live.is_ready("a"), "ready")


class TestRender:
    async def test_prints_the_applied_objects_in_every_state(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, hopper: Hopper
    ) -> None:
        await run_all(live, workloads)
        for state, count in (("Running", 6), ("Paused", 6), ("Stopped", 6), ("Archived", 1)):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
            await live.until(lambda wanted=count: len(workloads.owned_objects("a")) == wanted, f"{count} objects")
            rendered = await hopper.objects("a")
            owned = workloads.owned_objects("a")
            assert {manifest["kind"] for manifest in rendered} == owned.keys(), state
            different = [manifest["kind"] for manifest in rendered if drifted_paths(manifest, owned[manifest["kind"]])]
            assert not different, f"{state}: {different}"
            done = await hopper("diff", "a")
            assert (done.exit_code, done.stdout) == (0, ""), state

    async def test_conflicting_names_are_resolved_as_by_the_operator(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, hopper: Hopper
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("web")
        for name in ("worker", "web-worker"):
            await live.create(name, "Orchestration", "web", **WEB)
        await live.until_phase("Running", "worker", "web-worker")
        for name in ("worker", "web-worker"):
            assert {manifest["metadata"]["name"] for manifest in await hopper.objects(name)} == {
                live.status(name)["workloadName"]
            }

    async def test_secrets_are_masked_by_default(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, hopper: Hopper
    ) -> None:
        await run_all(live, workloads)
        done = await hopper("render", "a")
        assert done.exit_code == 0
        assert CANARY not in done.stdout
        assert json.dumps(await hopper.objects("a")) != json.dumps(list(yaml.safe_load_all(done.stdout)))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("missing",), 'HopperInstance "missing" not found'),
            (("shop",), "shop: spec.templateRef is not set"),
            (("lost",), 'HopperTemplate "gone" not found'),
        ],
    )
    async def test_errors_name_the_instance_and_the_field(
        self, live: LiveInstances, hopper: Hopper, arguments: tuple[str, ...], message: str
    ) -> None:
        await live.create("shop")
        await live.create("lost", templateRef={"name": "gone"})
        for verb in ("render", "diff"):
            done = await hopper(verb, *arguments)
            assert done.exit_code == 2
            assert message in done.stderr
            assert not done.stdout


class TestDiff:
    async def test_shows_drifted_and_missing_objects(
        self, live: LiveInstances, workloads: Workloads, hopper: Hopper
    ) -> None:
        async with running_operator(live.namespace):
            await run_all(live, workloads)
        await workloads.edit("Deployment", "hopper-shop-a", {"spec": {"replicas": 7}})
        await workloads.delete("ConfigMap", "hopper-shop-a")
        done = await hopper("diff", "a")
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert "--- live Deployment/hopper-shop-a" in lines
        assert {"-  replicas: 7", "+  replicas: 1"} <= set(lines)
        assert "+++ rendered ConfigMap/hopper-shop-a" in lines
        assert not any("Secret/" in line or "Service/" in line for line in lines)

    async def test_shows_the_changes_of_a_file(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, hopper: Hopper
    ) -> None:
        await run_all(live, workloads)
        env = [{"name": "LEVEL", "value": "9"}, {"name": "TOKEN", "value": "other-canary", "secret": True}]
        changed = manifest("a", "Orchestration", "shop", **WEB, overrides={"env": env})
        done = await hopper.diff_of(changed)
        assert done.exit_code == 1
        assert "+          value: '9'" in done.stdout.splitlines()
        assert "*** (before)" in done.stdout
        assert "*** (after)" in done.stdout
        assert CANARY not in done.stdout + done.stderr
        assert "other-canary" not in done.stdout + done.stderr
        template = {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": "web"}}
        shared = await hopper.diff_of(template | {"spec": {**FULL_SERVICE, "image": "web:9"}})
        assert "+++ rendered Deployment/hopper-shop-a" in shared.stdout.splitlines(), (
            "a changed template affects its instances"
        )
        explained = await hopper.diff_of(changed, more=("--explain",))
        assert ["env[LEVEL].value", "override"] in map(str.split, explained.stdout.splitlines())

    async def test_shows_objects_to_be_removed(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, hopper: Hopper
    ) -> None:
        await run_all(live, workloads)
        gone = {"domains": [{"domain": "web.example.com", "$remove": True}]}
        done = await hopper.diff_of(manifest("a", "Orchestration", "shop", **WEB, overrides=gone))
        assert done.exit_code == 1
        assert "--- live Ingress/hopper-shop-a\n+++ removed" in done.stdout
        assert "PersistentVolumeClaim" not in done.stdout

    async def test_shows_all_objects_of_a_new_instance(
        self, live: LiveInstances, workloads: Workloads, hopper: Hopper
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        done = await hopper.diff_of(manifest("new", **WEB))
        assert done.exit_code == 1
        kinds = {line.split()[2].split("/")[0] for line in done.stdout.splitlines() if line.startswith("+++ rendered")}
        assert kinds == {"Deployment", "Service", "ConfigMap", "Secret"}
        assert CANARY not in done.stdout

    async def test_without_a_cluster_the_command_fails(self, hopper: Hopper, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
        done = await hopper("diff", "a")
        assert done.exit_code == 2
        assert "no cluster" in done.stderr
