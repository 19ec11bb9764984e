"""Heartbeats on a real API server: their cost, and the result of missing ones."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

from hopper.api.conditions import ConditionType
from hopper.api.enums import Health
from hopper.controller.operator import Operator
from tests.cluster.support.heartbeat_gateway import HeartbeatGateway, running_heartbeat_gateway
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest, numbered_names
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.request_counter import WriteCounter
from tests.cluster.support.workloads import Workloads

COUNT = 1000
MAX_WRITES_PER_SECOND = 20
# An instance that is silent for three timeouts is in Error.
TIMEOUT_SECONDS, TOO_LONG_SECONDS = 2, 7


def with_heartbeat(name: str, timeout: int = 1, **spec: object) -> dict[str, object]:
    """Return the manifest of an instance that must send heartbeats."""
    return manifest(name, heartbeat={"timeoutSeconds": timeout}, **spec)  # type: ignore[arg-type]


async def until_heartbeat_true(live: LiveInstances, *names: str) -> None:
    """Wait until the Heartbeat condition of these instances is True."""
    holds = lambda: {live.condition(name, "Heartbeat").get("status") for name in names} == {"True"}  # noqa: E731
    await live.until(holds, "condition Heartbeat is True")


async def until_too_long(live: LiveInstances) -> None:
    """Wait longer than an instance may be silent."""
    started = time.monotonic()
    await live.until(lambda: time.monotonic() - started > TOO_LONG_SECONDS, f"{TOO_LONG_SECONDS} s pass")


async def until_health(live: LiveInstances, gateway: HeartbeatGateway, health: Health, *names: str) -> None:
    """Wait until a gateway reports this health for all of these instances."""
    holds = lambda: {gateway.health(name) for name in names} == {health}  # noqa: E731
    await live.until(holds, f"the gateway reports {', '.join(names[:3])} as {health.value}")


async def configmap_writes(live: LiveInstances) -> int:
    """Return the number of ConfigMap writes by all clients, from the API server's own metrics."""
    samples = PrometheusSamples(await live.request("GET", "/metrics"), "apiserver_request_total")
    counts: Counter[tuple[str, ...]] = samples.totals_by("apiserver_request_total", "verb", "resource", group="")
    return int(sum(counts[verb, "configmaps"] for verb in ("PATCH", "POST", "PUT", "APPLY")))


async def test_heartbeats_of_a_thousand_instances_cost_few_writes(live: LiveInstances, operator: Operator) -> None:
    """Each instance sends a heartbeat every five seconds to one of two gateways. No HopperInstance is written."""
    names = numbered_names(COUNT)

    def true_conditions() -> int:
        conditions = (instance.status.condition(ConditionType.HEARTBEAT) for instance in operator.instances)
        return sum(condition is not None and condition.status == "True" for condition in conditions)

    async with running_heartbeat_gateway(live.namespace) as first, running_heartbeat_gateway(live.namespace) as second:
        async with (
            first.recording_heartbeats(*names[::2], every=5),
            second.recording_heartbeats(*names[1::2], every=5),
        ):
            await live.create_from(*(with_heartbeat(name, timeout=20) for name in names))
            await live.until(lambda: true_conditions() == COUNT, "condition Heartbeat of all is True", seconds=120)
            writes, written_before = await WriteCounter.start(live), await configmap_writes(live)
            started, marked_at = time.monotonic(), datetime.now(UTC)

            def newer_heartbeats() -> int:
                heartbeats = (operator.indexes.heartbeats.last_heartbeat(instance) for instance in operator.instances)
                return sum(heartbeat is not None and heartbeat.at > marked_at for heartbeat in heartbeats)

            await live.until(
                lambda: newer_heartbeats() == COUNT, "the operator has a new heartbeat of each instance", seconds=60
            )
            written, seconds = await configmap_writes(live) - written_before, time.monotonic() - started
            await writes.expect("status", 0)
            await writes.expect("", 0)
            # Each gateway receives half of the heartbeats and reads the other half from the ConfigMaps.
            for gateway in (first, second):
                await until_health(live, gateway, Health.HEALTHY, *names)
        assert 0 < written <= MAX_WRITES_PER_SECOND * seconds


async def test_a_silent_instance_becomes_unknown_then_fails_and_is_restarted(
    live: LiveInstances, operator: Operator
) -> None:
    policies = {
        "well": {},
        "again": {"policy": "OnFailure", "maxRetries": 5, "backoffSeconds": 1},
        "never": {"policy": "Never"},
    }
    timeouts = {"well": 5}  # more than needed, because heartbeats may be late on a busy machine
    await live.create_from(
        *(with_heartbeat(name, timeouts.get(name, 1), restartPolicy=policies[name]) for name in policies)
    )
    await live.until_phase("Running", *policies)
    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats("well", every=0.3):
        async with gateway.sending_heartbeats("again", "never", every=0.3):
            await until_heartbeat_true(live, *policies)
        writes = await WriteCounter.start(live)
        await live.until_reason("never", "Heartbeat", "HeartbeatOverdue")
        assert live.condition("never", "Heartbeat")["status"] == "Unknown"
        assert (live.phase("never"), live.is_ready("never")) == ("Running", True)
        await until_health(live, gateway, Health.UNKNOWN, "never")
        await live.until_reason("never", "Heartbeat", "HeartbeatLost")
        assert (live.phase("never"), gateway.health("well")) == ("Error", Health.HEALTHY)
        assert (await live.until_event("never", "Error"))["type"] == "Warning"
        await until_health(live, gateway, Health.UNHEALTHY, "never")
        await live.until(lambda: live.status("again").get("restarts") == 1, "the restart policy restarts again")
        history = [(entry["from"], entry["to"], entry["reason"]) for entry in live.status("again")["history"]]
        lost = history.index(("Running", "Error", "HeartbeatLost"))
        assert history[lost + 1 : lost + 3] == [
            ("Error", "Starting", "RestartPolicy"),
            ("Starting", "Running", "DesiredState"),
        ]
        stalled = await live.until_reason("never", "Stalled", "RestartNever")
        assert "heartbeat" in stalled["message"]
        async with gateway.sending_heartbeats("again", "never", every=0.3):
            await live.until_phase("Running", "never", "again")
            assert live.status("never")["history"][-2]["reason"] == "HeartbeatIsBack"
            assert live.status("never").get("restarts", 0) == 0
            await until_health(live, gateway, Health.HEALTHY, "never")
        assert live.phase_history("well") == ["Created", "Starting", "Running"]
        assert await writes.patches("status") <= 40, "a few writes per transition, none per heartbeat"


async def test_no_instance_fails_while_no_gateway_runs(live: LiveInstances, operator: Operator) -> None:
    """Without a gateway, missing heartbeats mean nothing, however long they are missing."""
    names = numbered_names(5)
    await live.create_from(*(with_heartbeat(name, timeout=TIMEOUT_SECONDS) for name in names))
    await live.until_phase("Running", *names)
    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats(*names, every=0.3):
        await until_heartbeat_true(live, *names)
    writes = await WriteCounter.start(live)
    await until_too_long(live)

    def received_until() -> datetime | None:
        return operator.indexes.heartbeats.record(next(iter(operator.instances))).until

    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats(*names, every=0.3):
        before = received_until()
        await live.until(lambda: received_until() not in (None, before), "heartbeats of the new gateway")
        assert {gateway.health(name) for name in names} == {Health.HEALTHY}
    await writes.expect("status", 0)
    assert {live.phase(name) for name in names} == {"Running"}


async def test_no_instance_fails_while_the_operator_is_away(live: LiveInstances) -> None:
    names = numbered_names(5)
    async with running_heartbeat_gateway(live.namespace) as gateway:
        async with running_operator(live.namespace):
            await live.create_from(*(with_heartbeat(name, timeout=TIMEOUT_SECONDS) for name in names))
            await live.until_phase("Running", *names)
            await until_heartbeat_true(live, *names)
        async with gateway.sending_heartbeats(*names, every=0.3):
            writes = await WriteCounter.start(live)
            await until_too_long(live)
            async with running_operator(live.namespace) as operator:
                await live.until(
                    lambda: all(map(operator.indexes.heartbeats.last_heartbeat, operator.instances)),
                    "heartbeats of all",
                )
                await live.until(lambda: not len(operator.queue), "the queue is empty")
                await writes.expect("status", 0)


async def test_every_gateway_knows_the_vitals_of_a_heartbeat(live: LiveInstances, operator: Operator) -> None:
    """The second gateway did not receive the heartbeat, and the third is started later."""
    await live.create_from(with_heartbeat("web", timeout=30), manifest("plain"))
    await live.until_phase("Running")
    vitals = {"active_tasks": 3, "queue_depth": 7, "response_time_ms": 12.5, "error_rate": 0.25}
    async with running_heartbeat_gateway(live.namespace) as first, running_heartbeat_gateway(live.namespace) as second:
        await first.send_heartbeats("web", "plain", status="degraded", **vitals)
        for gateway in (second, first):
            await until_health(live, gateway, Health.DEGRADED, "web", "plain")
        status = await second.rest.get("/instances/web/status")
        assert status["health"] == "degraded"
        instances = (await second.rest.get("/registry/health"))["instances"]
        (web,) = (instance for instance in instances if instance["id"] == "web")
        assert {key: web[key] for key in vitals} == vitals
    async with running_heartbeat_gateway(live.namespace) as third:
        await until_health(live, third, Health.DEGRADED, "web")


async def test_a_hung_workload_gets_new_pods(workloads: Workloads, operator: Operator) -> None:
    live = workloads.live
    policy = {"policy": "OnFailure", "backoffSeconds": 1}
    await workloads.create_instance("hung", heartbeat={"timeoutSeconds": 1}, restartPolicy=policy)
    await live.until_phase("Running", "hung")
    before = await workloads.until_pods("hung", 1)
    async with running_heartbeat_gateway(live.namespace):
        await live.until(lambda: live.status("hung").get("restarts", 0) >= 1, "hung is restarted")
        await live.until(lambda: before.keys().isdisjoint(workloads.pods("hung")), "hung has other pods")
