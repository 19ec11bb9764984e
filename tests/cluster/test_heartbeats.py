"""Heartbeats on a real API server: what they cost, and what becomes of those who stop."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

from hopper.api.conditions import ConditionType
from hopper.api.enums import Health
from hopper.controller.operator import Operator
from tests.cluster.support.heartbeat_gateway import running_heartbeat_gateway
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest, numbered_names
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.request_counter import WriteCounter
from tests.cluster.support.workloads import Workloads

MANY = 1000
MOST_WRITES_A_SECOND = 20
SHORT, LONG = 2, 7  # a timeout, and longer than three times that


def expecting(name: str, timeout: int = 1, **spec: object) -> dict[str, object]:
    return manifest(name, heartbeat={"timeoutSeconds": timeout}, **spec)  # type: ignore[arg-type]


async def until_well(live: LiveInstances, *names: str) -> None:
    """Wait until the condition says that these beat, or are given the time to."""
    holds = lambda: {live.condition(name, "Heartbeat").get("status") for name in names} == {"True"}  # noqa: E731
    await live.until(holds, "Heartbeat is True")


async def configmap_writes(live: LiveInstances) -> int:
    """Count the ConfigMaps written so far, by whomever, by the API server's own count."""
    numbers = PrometheusSamples(await live.request("GET", "/metrics"), "apiserver_request_total")
    counts: Counter[tuple[str, ...]] = numbers.totals_by("apiserver_request_total", "verb", "resource", group="")
    return int(sum(counts[verb, "configmaps"] for verb in ("PATCH", "POST", "PUT", "APPLY")))


async def test_a_thousand_cost_little(live: LiveInstances, operator: Operator) -> None:
    """Each beats every five seconds, by way of two gateways; none of it reaches a HopperInstance."""
    wanted = numbered_names(MANY)

    def well() -> int:
        found = (it.status.condition(ConditionType.HEARTBEAT) for it in operator.instances)
        return sum(it is not None and it.status == "True" for it in found)

    async with running_heartbeat_gateway(live.namespace) as first, running_heartbeat_gateway(live.namespace) as second:
        async with (
            first.recording_heartbeats(*wanted[::2], every=5),
            second.recording_heartbeats(*wanted[1::2], every=5),
        ):
            await live.create_from(*(expecting(name, timeout=20) for name in wanted))
            await live.until(lambda: well() == MANY, "all run", seconds=120)
            instances, before, begun = await WriteCounter.start(live), await configmap_writes(live), time.monotonic()
            mark = datetime.now(UTC)

            def heard() -> int:
                beats = (operator.indexes.heartbeats.last_heartbeat(it) for it in operator.instances)
                return sum(it is not None and it.at > mark for it in beats)

            await live.until(lambda: heard() == MANY, "the operator has heard of all", seconds=60)
            writes, took = await configmap_writes(live) - before, time.monotonic() - begun
            await instances.expect("status", 0)
            await instances.expect("", 0)
            # While they beat: each gateway hears half of them from the other one.
            for gateway in (first, second):
                await live.until(
                    lambda it=gateway: {it.health(name) for name in wanted} == {Health.HEALTHY},
                    "a gateway says that all are healthy",
                )
        assert 0 < writes <= MOST_WRITES_A_SECOND * took


async def test_whoever_falls_silent_is_unknown_then_in_error_then_restarted(
    live: LiveInstances, operator: Operator
) -> None:
    policies = {
        "well": {},
        "again": {"policy": "OnFailure", "maxRetries": 5, "backoffSeconds": 1},
        "never": {"policy": "Never"},
    }
    timeouts = {"well": 5}  # for a busy machine's sake
    await live.create_from(*(expecting(it, timeouts.get(it, 1), restartPolicy=policies[it]) for it in policies))
    await live.until_phase("Running", *policies)
    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats("well", every=0.3):
        async with gateway.sending_heartbeats("again", "never", every=0.3):
            await until_well(live, *policies)
        writes = await WriteCounter.start(live)
        await live.until_reason("never", "Heartbeat", "HeartbeatOverdue")
        assert live.condition("never", "Heartbeat")["status"] == "Unknown"
        assert (live.phase("never"), live.is_ready("never")) == ("Running", True)
        await live.until(lambda: gateway.health("never") is Health.UNKNOWN, "the gateway says unknown")
        await live.until_reason("never", "Heartbeat", "HeartbeatLost")
        assert (live.phase("never"), gateway.health("well")) == ("Error", Health.HEALTHY)
        assert (await live.until_event("never", "Error"))["type"] == "Warning"
        await live.until(lambda: gateway.health("never") is Health.UNHEALTHY, "the gateway says unhealthy")
        await live.until(lambda: live.status("again").get("restarts") == 1, "the restart policy takes over")
        history = [(it["from"], it["to"], it["reason"]) for it in live.status("again")["history"]]
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
            await live.until(lambda: gateway.health("never") is Health.HEALTHY, "the gateway says healthy")
        assert live.phase_history("well") == ["Created", "Starting", "Running"]
        assert await writes.patches("status") <= 40, "a few a transition, none a heartbeat"


async def test_a_restart_of_a_gateway_fails_nobody(live: LiveInstances, operator: Operator) -> None:
    """Longer than anybody may be silent, nobody listens: that says nothing about anybody."""
    wanted = numbered_names(5)
    await live.create_from(*(expecting(name, timeout=SHORT) for name in wanted))
    await live.until_phase("Running", *wanted)
    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats(*wanted, every=0.3):
        await until_well(live, *wanted)
    writes, silent_from = await WriteCounter.start(live), time.monotonic()
    await live.until(lambda: time.monotonic() - silent_from > LONG, "longer than anybody may be silent")
    async with running_heartbeat_gateway(live.namespace) as gateway, gateway.sending_heartbeats(*wanted, every=0.3):
        since = operator.indexes.heartbeats.record(next(iter(operator.instances))).until
        await live.until(
            lambda: operator.indexes.heartbeats.record(next(iter(operator.instances))).until not in (None, since),
            "news",
        )
        assert {gateway.health(name) for name in wanted} == {Health.HEALTHY}
    await writes.expect("status", 0)
    assert {live.phase(name) for name in wanted} == {"Running"}


async def test_a_restart_of_the_operator_fails_nobody(live: LiveInstances) -> None:
    wanted = numbered_names(5)
    async with running_heartbeat_gateway(live.namespace) as gateway:
        async with running_operator(live.namespace):
            await live.create_from(*(expecting(name, timeout=SHORT) for name in wanted))
            await live.until_phase("Running", *wanted)
            await until_well(live, *wanted)
        async with gateway.sending_heartbeats(*wanted, every=0.3):
            writes, away_from = await WriteCounter.start(live), time.monotonic()
            await live.until(lambda: time.monotonic() - away_from > LONG, "longer than anybody may be silent")
            async with running_operator(live.namespace) as operator:
                await live.until(
                    lambda: all(map(operator.indexes.heartbeats.last_heartbeat, operator.instances)), "heartbeats"
                )
                await live.until(lambda: not len(operator.queue), "an idle operator")
                await writes.expect("status", 0)


async def test_what_an_instance_says_of_itself_is_known_to_all(live: LiveInstances, operator: Operator) -> None:
    """A gateway that did not hear it, and one that comes later, know it as well."""
    await live.create_from(expecting("web", timeout=30), manifest("plain"))
    await live.until_phase("Running")
    vitals = {"active_tasks": 3, "queue_depth": 7, "response_time_ms": 12.5, "error_rate": 0.25}
    async with running_heartbeat_gateway(live.namespace) as first, running_heartbeat_gateway(live.namespace) as second:
        await first.send_heartbeats("web", "plain", status="degraded", **vitals)
        for other in (second, first):
            for name in ("web", "plain"):
                await live.until(lambda o=other, n=name: o.health(n) is Health.DEGRADED, f"{name} is degraded")  # type: ignore[misc]
        status = await second.rest.get("/instances/web/status")
        assert status["health"] == "degraded"
        known = (await second.rest.get("/registry/health"))["instances"]
        (web,) = (it for it in known if it["id"] == "web")
        assert {key: web[key] for key in vitals} == vitals
    async with running_heartbeat_gateway(live.namespace) as third:
        await live.until(lambda: third.health("web") is Health.DEGRADED, "one that comes later knows it")


async def test_a_workload_that_hangs_gets_new_pods(workloads: Workloads, operator: Operator) -> None:
    live = workloads.live
    policy = {"policy": "OnFailure", "backoffSeconds": 1}
    await workloads.create_instance("hung", heartbeat={"timeoutSeconds": 1}, restartPolicy=policy)
    await live.until_phase("Running", "hung")
    before = await workloads.until_pods("hung", 1)
    async with running_heartbeat_gateway(live.namespace):
        await live.until(lambda: live.status("hung").get("restarts", 0) >= 1, "a restart")
        await live.until(lambda: before.keys().isdisjoint(workloads.pods("hung")), "other pods")
