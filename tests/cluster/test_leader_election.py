"""Two replicas and one Lease: one works, the other stands by and takes over."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hopper.local import Cluster
from tests.cluster.support.live_instances import LiveInstances, RefusedError
from tests.cluster.support.operator_process import OperatorProcess, running_operator_process

pytestmark = pytest.mark.chaos

LEASE = "hopper-operator"
# A crash costs 15 s (the lease runs out) and at most 2 s (until somebody looks); the rest is for a busy machine.
TAKEOVER_SECONDS = 40
# Less than the lease takes to run out.
HANDOVER_SECONDS = 12


class Replicas:
    """Starts replicas of the operator that elect their leader in the namespace that they serve."""

    def __init__(self, cluster: Cluster, live: LiveInstances, logs: Path) -> None:
        self._cluster = cluster
        self._live = live
        self._logs = logs

    @asynccontextmanager
    async def replica(self, name: str) -> AsyncIterator[OperatorProcess]:
        """Run one; it is ready: the first one started leads, the others stand by."""
        args = ("--leader-elect", "--leader-elect-namespace", self._live.namespace)
        log = self._logs / f"{name}.log"
        async with running_operator_process(self._live.namespace, self._cluster.kubeconfig, log, *args) as started:
            await started.until_ready()
            await started.until(self._somebody_leads, "somebody holds the lease")
            yield started

    async def _somebody_leads(self) -> bool:
        return await self.lease() is not None

    async def lease(self) -> dict[str, Any] | None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._live.namespace}/leases/{LEASE}"
        try:
            found: dict[str, Any] = await self._live.request("GET", path)
        except RefusedError as error:
            if error.code != 404:
                raise
            return None
        return found["spec"]


@pytest.fixture
def replicas(cluster: Cluster, live: LiveInstances, tmp_path: Path) -> Replicas:
    return Replicas(cluster, live, tmp_path)


async def leads(replica: OperatorProcess) -> bool:
    return await replica.metric("hopper_leader") == 1


async def writes(replica: OperatorProcess) -> float:
    """Count the writes to instances and Events."""
    found = 0.0
    for verb in ("POST", "PATCH", "DELETE"):
        for resource in ("hopperinstances", "hopperinstances/status", "events"):
            found += await replica.metric("hopper_api_requests_total", verb=verb, resource=resource)
    return found


async def test_one_works_and_when_it_is_killed_the_other_takes_over(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        assert await leads(a)
        await live.create("first")
        await live.until_phase("Running", "first")
        await b.until(lambda: b.probe_succeeds("/healthz"), "a standby is healthy")
        assert await b.metric("hopper_instances") == 1  # it knows of everything
        assert not await leads(b)

        a.kill()
        await live.create("second")
        await live.until_phase("Running", "second", seconds=TAKEOVER_SECONDS)
        assert await leads(b)
        assert await b.metric("hopper_illegal_transitions_total") == 0
        lease = await replicas.lease()
        assert lease is not None
        assert lease["leaseTransitions"] == 1
    assert live.phase_history("first") == ["Created", "Starting", "Running"]


async def test_a_standby_writes_nothing(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        await live.create("web")
        await live.create("worker", "Orchestration", "web")
        await live.until_phase("Running", "web", "worker")
        await live.edit("web", desiredState="Stopped")
        await live.until_phase("Stopped", "web", "worker")
        await live.delete("web")
        await live.until_gone("web", "worker")
        assert await writes(b) == 0
        assert await writes(a) > 0


async def test_who_stops_cleanly_hands_over_at_once(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        assert await a.stop() == 0
        await live.create("web")
        await live.until_phase("Running", "web", seconds=HANDOVER_SECONDS)
        assert await leads(b)
        assert await b.stop() == 0
    lease = await replicas.lease()
    assert lease is not None
    assert lease["holderIdentity"] == ""


async def test_who_was_away_for_too_long_ends_without_writing(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        before = await writes(a)
        a.signal(signal.SIGSTOP)
        await live.create("web")
        await b.until(lambda: leads(b), "b leads", TAKEOVER_SECONDS)
        await live.until_phase("Running", "web")
        await live.edit("web", desiredState="Paused")
        await live.until_phase("Paused", "web")
        version = live["web"]["metadata"]["resourceVersion"]

        a.signal(signal.SIGCONT)
        assert await a.wait() == 1
        assert "lost the lease" in a.log
        assert "Traceback" not in a.log
        assert before == 0
        assert live["web"]["metadata"]["resourceVersion"] == version
        assert await leads(b)


async def test_a_stop_waits_for_nothing(cluster: Cluster, live: LiveInstances, tmp_path: Path) -> None:
    async with running_operator_process(
        live.namespace, cluster.kubeconfig, tmp_path / "operator.log", "--verbose"
    ) as alone:
        await alone.until_ready()
        assert await alone.stop() == 0
        # What kopf says when it has no task to wait 5 seconds for.
        assert "Hung tasks stopping is skipped" in alone.log


async def test_without_the_flag_there_is_no_lease(
    replicas: Replicas, cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    async with running_operator_process(live.namespace, cluster.kubeconfig, tmp_path / "operator.log") as alone:
        await live.create("web")
        await live.until_phase("Running", "web")
        assert await alone.metric("hopper_api_requests_total", resource="leases") == 0
        assert await alone.metric("hopper_leader") == 1
        assert await replicas.lease() is None
        assert await alone.stop() == 0
