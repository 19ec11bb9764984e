"""What the operator tells besides status: Events, metrics, probes, and log lines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from hopper.adapters import events as lane_module
from hopper.adapters.connection import connect
from hopper.adapters.events import KubeEventRecorder
from hopper.adapters.kube import KubeClient
from hopper.api.instance import parse_instance
from hopper.controller.operator import Operator, OperatorOptions
from hopper.local import Cluster
from tests.cluster.support.convergence import local_cluster_or_skip
from tests.cluster.support.fault_proxy import Call, running_fault_proxy
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.prometheus import PrometheusSamples


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def scrape(operator: Operator) -> PrometheusSamples:
    status, text = await get(operator.status_server.port, "/metrics")
    assert status == 200
    return PrometheusSamples(text)


@asynccontextmanager
async def kube() -> AsyncIterator[KubeClient]:
    opened = KubeClient((await connect()).client())
    try:
        yield opened
    finally:
        await opened.close()


class TestEvents:
    async def test_one_for_each_transition(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Paused", reason="not yet")
        await live.until_event("a", "Paused")
        await live.edit("a", desiredState="Archived", reason=None)
        await live.until_event("a", "Archived")
        notes = [
            "Created → Starting (DesiredState): not yet",
            "Starting → Running (DesiredState): not yet",
            "Running → Paused (DesiredState): not yet",
            "Paused → Stopping (DesiredState)",
            "Stopping → Stopped (DesiredState)",
            "Stopped → Archived (DesiredState)",
        ]
        await live.until(lambda: len(live.events_of("a")) == len(notes), "an Event for each")
        assert sorted(event["note"] for event in live.events_of("a")) == sorted(notes)
        event = live.events_of("a", "Archived")[0]
        assert event["type"] == "Normal"
        assert event["reportingController"] == "hopper-operator"
        assert event["regarding"]["uid"] == live["a"]["metadata"]["uid"]
        assert (event["regarding"]["kind"], event["regarding"]["apiVersion"]) == ("HopperInstance", "hopper.dev/v1")

    async def test_kubectl_describes_them(self, live: LiveInstances, operator: Operator, cluster: Cluster) -> None:
        await live.create("a")
        await live.until_event("a", "Running")
        told = await asyncio.to_thread(cluster.kubectl, "--namespace", live.namespace, "describe", "hi", "a")
        assert "Starting → Running (DesiredState)" in told

    async def test_a_long_reason_is_cut(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", reason="ü" * 1024)
        event = await live.until_event("a", "Running")
        assert event["note"].startswith("Starting → Running (DesiredState): üü")
        assert 1020 < len(event["note"].encode()) <= 1024
        assert live.status("a")["history"][0]["message"]

    async def test_equal_ones_that_wait_are_counted(self, live: LiveInstances) -> None:
        await live.create("a")
        instance = parse_instance(live["a"])
        async with kube() as opened:
            lane = KubeEventRecorder(opened, reporter="test")
            for _ in range(3):
                lane.record(instance, reason="Paused", message="again")
            lane.record(instance, reason="Paused", message="and again")
            assert len(lane) == 2
            run = asyncio.create_task(lane.run())
            await live.until(lambda: len(live.events_of("a")) == 2, "two Events")
            run.cancel()
        counted = {event["note"]: event.get("series", {}).get("count") for event in live.events_of("a")}
        assert counted == {"again": 3, "and again": None}

    async def test_too_many_are_dropped(self, live: LiveInstances, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane_module, "_CAPACITY", 2)
        await live.create("a")
        dropped = []
        async with kube() as opened:
            lane = KubeEventRecorder(opened, reporter="test", on_drop=lambda: dropped.append(1))
            for number in range(5):
                lane.record(parse_instance(live["a"]), reason="Paused", message=str(number))
        assert (len(lane), len(dropped)) == (2, 3)

    async def test_of_a_namespace_that_is_gone_do_no_harm(self, live: LiveInstances) -> None:
        await live.create("a")
        raw = json.loads(json.dumps(live["a"]).replace(live.namespace, "no-such-namespace"))
        dropped = []
        async with kube() as opened:
            lane = KubeEventRecorder(opened, reporter="test", on_drop=lambda: dropped.append(1))
            lane.record(parse_instance(raw), reason="Paused", message="lost")
            lane.record(parse_instance(live["a"]), reason="Paused", message="arrives")
            run = asyncio.create_task(lane.run())
            await live.until(lambda: dropped and live.events_of("a"), "one dropped, one sent")
            run.cancel()


class TestMetrics:
    async def test_instances_transitions_and_work(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("global", "Global"),
            manifest("web", "Project", "global"),
            *(manifest(f"w-{n}", "Orchestration", "web", desiredState="Stopped") for n in range(3)),
        )
        await live.until_phase("Running", "global", "web")
        await live.until_phase("Stopped", "w-0", "w-1", "w-2")
        await live.until(lambda: not len(operator.queue), "what was written is counted")
        numbers = await scrape(operator)
        assert numbers.totals_by("hopper_instances", "phase", "scope") == {
            ("Running", "Global"): 1,
            ("Running", "Project"): 1,
            ("Stopped", "Orchestration"): 3,
        }
        assert numbers.totals_by("hopper_transitions_total", "from", "to", "reason") == {
            ("Created", "Starting", "DesiredState"): 2,
            ("Starting", "Running", "DesiredState"): 2,
            ("Created", "Stopped", "DesiredState"): 3,
        }
        assert ("hopper_illegal_transitions_total", {}, 0) in numbers.samples
        assert numbers.total("hopper_reconciles_total", result="ok") >= 5
        assert numbers.total("hopper_reconcile_duration_seconds_count") >= 5
        assert numbers.total("hopper_api_requests_total", verb="PATCH", resource="hopperinstances/status", code="200")
        for gauge in ("hopper_queue_depth", "hopper_queue_age_seconds"):
            assert [name for name, _, _ in numbers.samples].count(gauge) == 1

    async def test_the_queue_while_it_is_stuck(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace, metrics_port=0, concurrency=2) as operator:
            starting_over = operator.intake.feeds[0].current
            starting_over.clear()  # as while the watch starts over: nothing is decided
            await live.create_from(*map(manifest, ("a", "b", "c")))

            async def waits() -> bool:
                numbers = await scrape(operator)
                return numbers.total("hopper_queue_depth") == 3 and numbers.total("hopper_queue_age_seconds") > 0

            async with asyncio.timeout(30):
                while not await waits():
                    pass
            starting_over.set()
            await live.until_phase("Running", "a", "b", "c")
            await live.until(lambda: not len(operator.queue), "nothing is left to do")
            assert (await scrape(operator)).total("hopper_queue_age_seconds") == 0


class TestProbes:
    async def test_all_is_well(self, live: LiveInstances, operator: Operator) -> None:
        for path in ("/healthz", "/readyz"):
            assert await get(operator.status_server.port, path) == (200, "ok\n")
        status, _ = await get(operator.status_server.port, "/nothing")
        assert status == 404

    async def test_not_ready_before_the_first_list(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (between, kubeconfig):
            between.rule = lambda call: None if call.method != "GET" or "hopperinstances" not in call.path else 503
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            await live.create("a")
            operator = Operator(await connect(), OperatorOptions(namespaces=[live.namespace], metrics_port=0))
            run = asyncio.create_task(operator.run())
            try:
                await live.until(lambda: between.faults, "a list has failed")
                assert await get(operator.status_server.port, "/healthz") == (200, "ok\n")
                await until_says(operator, "/readyz", 503, "the initial list is not complete\nlist or watch has failed")
                assert live.phase("a") is None
                between.rule = lambda call: None
                await live.until_phase("Running", "a")
                await until_says(operator, "/readyz", 200, "ok")
            finally:
                operator.stop()
                await run

    async def test_unhealthy_when_the_resync_fails(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails_to_list(call: Call) -> int | None:
            return 500 if call.method == "GET" and not call.is_watch else None

        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (between, kubeconfig):
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            async with running_operator(live.namespace, metrics_port=0, resync_seconds=0.5) as operator:
                await live.create("a")
                await live.until_phase("Running", "a")
                between.rule = fails_to_list
                await until_says(operator, "/healthz", 503, "no successful resync for")
                await live.edit("a", desiredState="Paused")
                await live.until_phase("Paused", "a")
                between.rule = lambda call: None
                await until_says(operator, "/healthz", 200, "ok")

    async def test_unhealthy_when_the_watch_stalls(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The resync sees what the watch does not tell, and acts on it meanwhile."""
        monkeypatch.setattr("hopper.watch.resync._STALLED_SECONDS", 1)
        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (between, kubeconfig):
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            async with running_operator(live.namespace, metrics_port=0, resync_seconds=0.3) as operator:
                await live.create("a")
                await live.until_phase("Running", "a")
                between.stall()
                await live.create("b")
                await live.until_phase("Running", "b")
                await until_says(operator, "/healthz", 503, "the watch of hopperinstances has missed changes")
                await live.delete("b")
                await live.until_gone("b")
                between.resume()
                await until_says(operator, "/healthz", 200, "ok")


class TestLogs:
    async def test_name_the_instance_and_the_reason(
        self, live: LiveInstances, operator: Operator, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "hopper")
        await live.create_from(manifest("a", reason="spring"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", desiredState="Paused", reason="lunch")
        await live.until_phase("Paused", "b")
        for line in (
            f"{live.namespace}/a: Created → Starting (DesiredState): spring",
            f"{live.namespace}/a: Running → Paused (DesiredState): lunch",
            f'{live.namespace}/b: Running → Paused (InheritedFrom): Paused by Project "a": lunch',
            f"{live.namespace}/a: b is now a child (ChildAdded)",
        ):
            await live.until(lambda line=line: line in caplog.messages, line)


async def until_says(operator: Operator, path: str, code: int, words: str) -> None:
    told = 0, ""
    try:
        async with asyncio.timeout(20):
            while told[0] != code or words not in told[1]:
                told = await get(operator.status_server.port, path)
    except TimeoutError:
        raise AssertionError(f"{path} never answered {code} with {words!r}, but {told}") from None
