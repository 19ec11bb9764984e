"""Leader election: of two replicas, the lease holder works and the other one stands by."""

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
# A lease expires after 15 s and the standby checks it every 2 s. The rest allows for a busy machine.
MAX_TAKEOVER_SECONDS = 40
# Less than the duration of the lease.
MAX_HANDOVER_SECONDS = 12


class Replicas:
    """Replicas of the operator that elect their leader by a Lease in the namespace that they serve."""

    def __init__(self, cluster: Cluster, live: LiveInstances, logs: Path) -> None:
        self._cluster = cluster
        self._live = live
        self._logs = logs

    @asynccontextmanager
    async def replica(self, name: str) -> AsyncIterator[OperatorProcess]:
        """Run a replica, and yield it when it is ready and a replica has created the Lease.

        The first replica becomes the leader.
        """
        args = ("--leader-elect", "--leader-elect-namespace", self._live.namespace)
        log = self._logs / f"{name}.log"
        async with running_operator_process(self._live.namespace, self._cluster.kubeconfig, log, *args) as started:
            await started.until_ready()
            await started.until(self._lease_exists, "the Lease exists")
            yield started

    async def _lease_exists(self) -> bool:
        return await self.lease() is not None

    async def lease(self) -> dict[str, Any] | None:
        """Return the spec of the Lease, None without a Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._live.namespace}/leases/{LEASE}"
        try:
            lease: dict[str, Any] = await self._live.request("GET", path)
        except RefusedError as error:
            if error.code != 404:
                raise
            return None
        return lease["spec"]


@pytest.fixture
def replicas(cluster: Cluster, live: LiveInstances, tmp_path: Path) -> Replicas:
    return Replicas(cluster, live, tmp_path)


async def is_leader(replica: OperatorProcess) -> bool:
    return await replica.metric("hopper_leader") == 1


async def write_count(replica: OperatorProcess) -> float:
    """Return the number of writes to instances and Events."""
    count = 0.0
    for verb in ("POST", "PATCH", "DELETE"):
        for resource in ("hopperinstances", "hopperinstances/status", "events"):
            count += await replica.metric("hopper_api_requests_total", verb=verb, resource=resource)
    return count


async def test_the_standby_takes_over_when_the_leader_is_killed(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        assert await is_leader(a)
        await live.create("first")
        await live.until_phase("Running", "first")
        await b.until(lambda: b.probe_succeeds("/healthz"), "the standby is healthy")
        assert await b.metric("hopper_instances") == 1  # the standby keeps its indexes current
        assert not await is_leader(b)

        a.kill()
        await live.create("second")
        await live.until_phase("Running", "second", seconds=MAX_TAKEOVER_SECONDS)
        assert await is_leader(b)
        assert await b.metric("hopper_illegal_transitions_total") == 0
        lease = await replicas.lease()
        assert lease is not None
        assert lease["leaseTransitions"] == 1
    assert live.phase_history("first") == ["Created", "Starting", "Running"]


async def test_the_standby_writes_nothing(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        await live.create("web")
        await live.create("worker", "Orchestration", "web")
        await live.until_phase("Running", "web", "worker")
        await live.edit("web", desiredState="Stopped")
        await live.until_phase("Stopped", "web", "worker")
        await live.delete("web")
        await live.until_gone("web", "worker")
        assert await write_count(b) == 0
        assert await write_count(a) > 0


async def test_a_leader_that_stops_cleanly_releases_the_lease_at_once(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        assert await a.stop() == 0
        await live.create("web")
        await live.until_phase("Running", "web", seconds=MAX_HANDOVER_SECONDS)
        assert await is_leader(b)
        assert await b.stop() == 0
    lease = await replicas.lease()
    assert lease is not None
    assert lease["holderIdentity"] == ""


async def test_a_leader_that_lost_its_lease_exits_without_writing(replicas: Replicas, live: LiveInstances) -> None:
    async with replicas.replica("a") as a, replicas.replica("b") as b:
        before = await write_count(a)
        a.signal(signal.SIGSTOP)
        await live.create("web")
        await b.until(lambda: is_leader(b), "b is the leader", MAX_TAKEOVER_SECONDS)
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
        assert await is_leader(b)


async def test_the_operator_stops_without_waiting_for_hung_tasks(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    async with running_operator_process(
        live.namespace, cluster.kubeconfig, tmp_path / "operator.log", "--verbose"
    ) as operator:
        await operator.until_ready()
        assert await operator.stop() == 0
        # kopf logs this when it does not wait 5 seconds for tasks.
        assert "Hung tasks stopping is skipped" in operator.log


async def test_without_leader_elect_no_lease_is_created(
    replicas: Replicas, cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    async with running_operator_process(live.namespace, cluster.kubeconfig, tmp_path / "operator.log") as operator:
        await live.create("web")
        await live.until_phase("Running", "web")
        assert await operator.metric("hopper_api_requests_total", resource="leases") == 0
        assert await operator.metric("hopper_leader") == 1
        assert await replicas.lease() is None
        assert await operator.stop() == 0
