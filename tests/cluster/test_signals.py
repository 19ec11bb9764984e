"""Signals of the operator besides status: Events, metrics, probes and log lines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from hopper.adapters import events as events_module
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
async def kube_client() -> AsyncIterator[KubeClient]:
    client = KubeClient((await connect()).client())
    try:
        yield client
    finally:
        await client.close()


class TestEvents:
    async def test_every_transition_sends_an_event(self, live: LiveInstances, operator: Operator) -> None:
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
        await live.until(lambda: len(live.events_of("a")) == len(notes), "an Event for every transition")
        assert sorted(event["note"] for event in live.events_of("a")) == sorted(notes)
        event = live.events_of("a", "Archived")[0]
        assert event["type"] == "Normal"
        assert event["reportingController"] == "hopper-operator"
        assert event["regarding"]["uid"] == live["a"]["metadata"]["uid"]
        assert (event["regarding"]["kind"], event["regarding"]["apiVersion"]) == ("HopperInstance", "hopper.dev/v1")

    async def test_kubectl_describe_shows_the_events(
        self, live: LiveInstances, operator: Operator, cluster: Cluster
    ) -> None:
        await live.create("a")
        await live.until_event("a", "Running")
        output = await asyncio.to_thread(cluster.kubectl, "--namespace", live.namespace, "describe", "hi", "a")
        assert "Starting → Running (DesiredState)" in output

    async def test_a_long_note_is_truncated(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", reason="ü" * 1024)
        event = await live.until_event("a", "Running")
        assert event["note"].startswith("Starting → Running (DesiredState): üü")
        assert 1020 < len(event["note"].encode()) <= 1024
        assert live.status("a")["history"][0]["message"]

    async def test_equal_queued_events_become_one_with_a_count(self, live: LiveInstances) -> None:
        await live.create("a")
        instance = parse_instance(live["a"])
        async with kube_client() as client:
            recorder = KubeEventRecorder(client, reporter="test")
            for _ in range(3):
                recorder.record(instance, reason="Paused", message="again")
            recorder.record(instance, reason="Paused", message="and again")
            assert len(recorder) == 2
            run = asyncio.create_task(recorder.run())
            await live.until(lambda: len(live.events_of("a")) == 2, "two Events")
            run.cancel()
        counted = {event["note"]: event.get("series", {}).get("count") for event in live.events_of("a")}
        assert counted == {"again": 3, "and again": None}

    async def test_events_over_the_capacity_are_dropped(
        self, live: LiveInstances, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events_module, "_CAPACITY", 2)
        await live.create("a")
        dropped = []
        async with kube_client() as client:
            recorder = KubeEventRecorder(client, reporter="test", on_drop=lambda: dropped.append(1))
            for number in range(5):
                recorder.record(parse_instance(live["a"]), reason="Paused", message=str(number))
        assert (len(recorder), len(dropped)) == (2, 3)

    async def test_an_event_for_a_deleted_namespace_is_dropped_and_the_next_one_sent(self, live: LiveInstances) -> None:
        await live.create("a")
        raw = json.loads(json.dumps(live["a"]).replace(live.namespace, "no-such-namespace"))
        dropped = []
        async with kube_client() as client:
            recorder = KubeEventRecorder(client, reporter="test", on_drop=lambda: dropped.append(1))
            recorder.record(parse_instance(raw), reason="Paused", message="lost")
            recorder.record(parse_instance(live["a"]), reason="Paused", message="arrives")
            run = asyncio.create_task(recorder.run())
            await live.until(lambda: dropped and live.events_of("a"), "one dropped, one sent")
            run.cancel()


class TestMetrics:
    async def test_metrics_count_instances_transitions_and_reconciles(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(
            manifest("global", "Global"),
            manifest("web", "Project", "global"),
            *(manifest(f"w-{n}", "Orchestration", "web", desiredState="Stopped") for n in range(3)),
        )
        await live.until_phase("Running", "global", "web")
        await live.until_phase("Stopped", "w-0", "w-1", "w-2")
        await live.until(lambda: not len(operator.queue), "the queue is empty")
        samples = await scrape(operator)
        assert samples.totals_by("hopper_instances", "phase", "scope") == {
            ("Running", "Global"): 1,
            ("Running", "Project"): 1,
            ("Stopped", "Orchestration"): 3,
        }
        assert samples.totals_by("hopper_transitions_total", "from", "to", "reason") == {
            ("Created", "Starting", "DesiredState"): 2,
            ("Starting", "Running", "DesiredState"): 2,
            ("Created", "Stopped", "DesiredState"): 3,
        }
        assert ("hopper_illegal_transitions_total", {}, 0) in samples.samples
        assert samples.total("hopper_reconciles_total", result="ok") >= 5
        assert samples.total("hopper_reconcile_duration_seconds_count") >= 5
        assert samples.total("hopper_api_requests_total", verb="PATCH", resource="hopperinstances/status", code="200")
        for gauge in ("hopper_queue_depth", "hopper_queue_age_seconds"):
            assert [name for name, _, _ in samples.samples].count(gauge) == 1

    async def test_queue_metrics_grow_while_no_reconcile_runs(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace, metrics_port=0, concurrency=2) as operator:
            feed_is_current = operator.intake.feeds[0].current
            feed_is_current.clear()  # as during a relist, when nothing is reconciled
            await live.create_from(*map(manifest, ("a", "b", "c")))

            async def queue_is_reported() -> bool:
                samples = await scrape(operator)
                return samples.total("hopper_queue_depth") == 3 and samples.total("hopper_queue_age_seconds") > 0

            async with asyncio.timeout(30):
                while not await queue_is_reported():
                    pass
            feed_is_current.set()
            await live.until_phase("Running", "a", "b", "c")
            await live.until(lambda: not len(operator.queue), "the queue is empty")
            assert (await scrape(operator)).total("hopper_queue_age_seconds") == 0


class TestProbes:
    async def test_a_working_operator_is_healthy_and_ready(self, live: LiveInstances, operator: Operator) -> None:
        for path in ("/healthz", "/readyz"):
            assert await get(operator.status_server.port, path) == (200, "ok\n")
        status, _ = await get(operator.status_server.port, "/nothing")
        assert status == 404

    async def test_the_operator_is_not_ready_before_its_first_list(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, kubeconfig):
            proxy.rule = lambda call: None if call.method != "GET" or "hopperinstances" not in call.path else 503
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            await live.create("a")
            operator = Operator(await connect(), OperatorOptions(namespaces=[live.namespace], metrics_port=0))
            run = asyncio.create_task(operator.run())
            try:
                await live.until(lambda: proxy.faults, "a list has failed")
                assert await get(operator.status_server.port, "/healthz") == (200, "ok\n")
                await until_response(
                    operator, "/readyz", 503, "the initial list is not complete\nlist or watch has failed"
                )
                assert live.phase("a") is None
                proxy.rule = lambda call: None
                await live.until_phase("Running", "a")
                await until_response(operator, "/readyz", 200, "ok")
            finally:
                operator.stop()
                await run

    async def test_the_operator_is_unhealthy_while_its_resync_fails(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails_to_list(call: Call) -> int | None:
            return 500 if call.method == "GET" and not call.is_watch else None

        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, kubeconfig):
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            async with running_operator(live.namespace, metrics_port=0, resync_seconds=0.5) as operator:
                await live.create("a")
                await live.until_phase("Running", "a")
                proxy.rule = fails_to_list
                await until_response(operator, "/healthz", 503, "no successful resync for")
                await live.edit("a", desiredState="Paused")
                await live.until_phase("Paused", "a")
                proxy.rule = lambda call: None
                await until_response(operator, "/healthz", 200, "ok")

    async def test_the_operator_is_unhealthy_while_its_watch_stalls(
        self, cluster: Cluster, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Meanwhile the resync finds the changes that the watch missed."""
        monkeypatch.setattr("hopper.watch.resync._STALLED_SECONDS", 1)
        async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, kubeconfig):
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            async with running_operator(live.namespace, metrics_port=0, resync_seconds=0.3) as operator:
                await live.create("a")
                await live.until_phase("Running", "a")
                proxy.stall()
                await live.create("b")
                await live.until_phase("Running", "b")
                await until_response(operator, "/healthz", 503, "the watch of hopperinstances has missed changes")
                await live.delete("b")
                await live.until_gone("b")
                proxy.resume()
                await until_response(operator, "/healthz", 200, "ok")


class TestLogs:
    async def test_log_lines_name_the_instance_and_the_reason(
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
            await live.until(lambda line=line: line in caplog.messages, f"log line {line!r}")


async def until_response(operator: Operator, path: str, code: int, text: str) -> None:
    """Wait until a probe answers with a status code and a text."""
    answer = 0, ""
    try:
        async with asyncio.timeout(20):
            while answer[0] != code or text not in answer[1]:
                answer = await get(operator.status_server.port, path)
    except TimeoutError:
        raise AssertionError(f"{path} never answered {code} with {text!r}, but {answer}") from None
