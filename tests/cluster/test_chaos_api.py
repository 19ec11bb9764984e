"""Faults of the API server: outages, broken connections, lost responses and expired history.

Every test ends with the outcome of a run without faults.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopper.api.resources import Manifest
from hopper.local import Cluster, LocalCluster
from tests.cluster.support.chaos_tree import SIZE, has_converged, outcome, random_tree
from tests.cluster.support.convergence import (
    CONVERGE_SECONDS,
    local_cluster_or_skip,
    reference_run,
    seeded_random,
    until_outcome,
    until_pods_run,
)
from tests.cluster.support.fault_proxy import Call, Fault, FaultProxy, Rule, running_fault_proxy
from tests.cluster.support.live_instances import LiveInstances, RefusedError, manifest
from tests.cluster.support.operator_process import OperatorProcess, running_operator_process
from tests.cluster.support.prometheus import PrometheusSamples

pytestmark = pytest.mark.chaos

OUTAGE_SECONDS = 30
CATCH_UP_SECONDS = 120
# A write whose response is lost is repeated until the watch, which breaks as well, has delivered the result.
WRITES_PER_FAULT = 5
FAULTS: tuple[Fault | int, ...] = (*Fault, 429, 500, 503)

Edit = Callable[[LiveInstances], Awaitable[Any]]
NEW_INSTANCES = [manifest("project-8", "Project", "global")]
NEW_INSTANCES += [manifest(f"new-{n:02}", "Orchestration", "project-8") for n in range(20)]
# Edits of every kind for a tree that has converged. Their order does not matter.
EDITS: tuple[Edit, ...] = (
    lambda live: live.create_from(*NEW_INSTANCES),
    lambda live: live.edit("project-0", desiredState="Paused", reason="maintenance"),
    lambda live: live.edit("project-1", desiredState="Stopped"),
    lambda live: live.edit("leaf-02", desiredState="Terminated"),
    lambda live: live.edit("leaf-03", parentRef={"name": "project-2"}),
    lambda live: live.create("project-9", "Project", "global"),
    lambda live: live.create("leaf-90", "Orchestration", "project-9"),
    lambda live: live.delete("leaf-20"),
    lambda live: live.delete("person-2"),
)
DELETED = {"leaf-20", "person-2", *(f"leaf-{n:02}" for n in range(8, SIZE, 9))}


async def apply_edits(live: LiveInstances, edits: Iterable[Edit] = EDITS) -> None:
    """Make each edit, and repeat it until the API server has accepted it."""
    for edit in edits:
        while True:
            try:
                await edit(live)
                break
            except RefusedError as error:
                if error.code in (404, 409):
                    break  # an earlier try took effect, and only its response was lost
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Reference:
    """Run of the same tree and the same edits without faults: manifests, outcome and number of writes."""

    manifests: list[Manifest]
    outcome: dict[str, Any]
    writes: float


_references: list[Reference] = []


@pytest.fixture
async def reference(kubeconfig: str) -> Reference:
    """Run without faults, made once for all tests of this file."""
    if not _references:
        manifests = random_tree(seeded_random("tree"))
        async with reference_run(manifests) as (live, operator):
            await apply_edits(live)
            await live.until(
                lambda: has_applied_edits(live), "the reference run has converged after the edits", CONVERGE_SECONDS
            )
            numbers = PrometheusSamples(operator.metrics.render().decode())
            writes = sum(
                numbers.total("hopper_api_requests_total", verb=verb, resource=f"hopperinstances{part}")
                for verb in ("PATCH", "DELETE")
                for part in ("", "/status")
            )
            _references.append(Reference(manifests, outcome(live), writes))
    return _references[0]


def has_applied_edits(live: LiveInstances) -> bool:
    """Whether all instances to delete are gone, and the others have converged."""
    return not live.names & DELETED and has_converged(live, len(live.names))


async def is_healthy(operator: OperatorProcess) -> bool:
    """Whether the operator runs, is healthy and has attempted no illegal transition."""
    return (
        operator.is_running
        and await operator.probe_succeeds("/healthz")
        and await operator.metric("hopper_illegal_transitions_total") == 0
    )


async def test_operator_survives_an_outage_of_the_api_server(
    cluster: Cluster, live: LiveInstances, reference: Reference, tmp_path: Path
) -> None:
    local = local_cluster_or_skip(cluster)
    async with running_operator_process(live.namespace, local.kubeconfig, tmp_path / "operator.log") as operator:
        await live.create_from(*reference.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        await apply_edits(live, EDITS[:5])
        await asyncio.to_thread(local.stop_apiserver)
        editing = asyncio.create_task(apply_edits(live, EDITS[5:]))
        try:
            await asyncio.sleep(OUTAGE_SECONDS)  # the duration of the outage, not a wait for a condition
            assert await operator.probe_succeeds("/healthz"), "a restart would not help against an outage"
            assert not await operator.probe_succeeds("/readyz"), "without the API server, the indexes are outdated"
        finally:
            await asyncio.to_thread(local.start_apiserver)
        await editing
        await until_outcome(live, reference.outcome, CATCH_UP_SECONDS)
        assert await is_healthy(operator)
        await operator.until_ready()
        warnings = [
            line for line in operator.log.splitlines() if "kopf" in line or ("list" in line and "watch" in line)
        ]
        assert len(warnings) < 5, "one outage is logged once, although it breaks ten watches"
        await asyncio.to_thread(until_pods_run, cluster, live.namespace)


async def test_operator_converges_while_requests_and_connections_fail_at_random(
    cluster: Cluster, live: LiveInstances, reference: Reference, tmp_path: Path
) -> None:
    rng = seeded_random("faults")
    async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, path):
        proxy.rule = random_faults(rng)
        async with running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator:
            cutting = asyncio.create_task(break_connections_at_random(proxy, rng))
            await live.create_from(*reference.manifests)
            await live.until(lambda: has_converged(live, SIZE), "converged", CATCH_UP_SECONDS)
            await apply_edits(live)
            await until_outcome(live, reference.outcome, CATCH_UP_SECONDS)
            cutting.cancel()
            assert await is_healthy(operator)
    assert set(proxy.faults) >= {*FAULTS, 409}
    writes = sum(call.writes_instances for call in proxy.calls)
    assert writes <= reference.writes + WRITES_PER_FAULT * len(proxy.faults)


def random_faults(rng: random.Random) -> Rule:
    """Return a rule that fails one request in six and no watch."""

    def rule(call: Call) -> Fault | int | None:
        if call.is_watch or rng.random() > 1 / 6:
            return None
        return rng.choice((*FAULTS, 409) if call.is_write else FAULTS)

    return rule


async def break_connections_at_random(proxy: FaultProxy, rng: random.Random) -> None:
    """Break all connections again and again; sometimes, hold back the watch events for a while first."""
    while True:
        await asyncio.sleep(rng.uniform(0.2, 2))
        if rng.random() < 0.3:
            proxy.stall()
            await asyncio.sleep(rng.uniform(0.2, 2))
        proxy.cut()
        proxy.resume()


async def test_operator_relists_when_the_history_has_expired_while_it_was_disconnected(
    cluster: Cluster, live: LiveInstances, reference: Reference, tmp_path: Path
) -> None:
    local = local_cluster_or_skip(cluster)
    async with (
        running_fault_proxy(local, tmp_path) as (proxy, path),
        running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator,
    ):
        await live.create_from(*reference.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        async with disconnected_until_history_expires(local, proxy):
            await apply_edits(live)
        await until_outcome(live, reference.outcome, CATCH_UP_SECONDS)
        assert proxy.expired_watches, "no watch met an expired resourceVersion"
        assert await is_healthy(operator)


async def test_operator_does_not_use_parents_that_were_deleted_while_it_was_disconnected(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    """An ownerReference with the uid of a deleted parent would make the garbage collector delete the child."""
    local = local_cluster_or_skip(cluster)
    of_recreated, of_deleted = ([f"child-of-{parent}-{n}" for n in range(10)] for parent in ("recreated", "deleted"))
    async with (
        running_fault_proxy(local, tmp_path) as (proxy, path),
        running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator,
    ):
        await live.create_from(manifest("recreated"), manifest("deleted"))
        await live.until_phase("Running", "recreated", "deleted")
        async with disconnected_until_history_expires(local, proxy):
            await live.delete("recreated")
            await live.delete("deleted")
            await live.until_gone("recreated", "deleted")
            await live.create_from(*(manifest(name, "Orchestration", "recreated") for name in of_recreated))
            await live.create_from(*(manifest(name, "Orchestration", "deleted") for name in of_deleted))
            await live.create("recreated")
        await live.until_phase("Running", *of_recreated, seconds=CATCH_UP_SECONDS)
        for name in of_deleted:
            await live.until_reason(name, "HierarchyValid", "ParentNotFound", seconds=CATCH_UP_SECONDS)
        assert proxy.expired_watches, "no watch met an expired resourceVersion"
        assert await is_healthy(operator)
        existing = {live["recreated"]["metadata"]["uid"]}
        for event in live.instances.log:
            assert event.event_type != "DELETED" or event.name in ("recreated", "deleted")
            owners = event.object["metadata"].get("ownerReferences", [])
            assert {owner["uid"] for owner in owners} <= existing


@asynccontextmanager
async def disconnected_until_history_expires(local: LocalCluster, proxy: FaultProxy) -> AsyncIterator[None]:
    """Disconnect the operator during the context, and then restart the API server, which expires the watch history."""
    proxy.disconnect()
    yield
    # After its start, the API server has no watch events of the time before.
    await asyncio.to_thread(local.stop_apiserver)
    await asyncio.to_thread(local.start_apiserver)
    proxy.reconnect()


async def test_two_operators_of_one_namespace_still_converge(
    cluster: Cluster, live: LiveInstances, reference: Reference, tmp_path: Path
) -> None:
    path = cluster.kubeconfig
    async with (
        running_operator_process(live.namespace, path, tmp_path / "a") as a,
        running_operator_process(live.namespace, path, tmp_path / "b") as b,
    ):
        await a.until_ready()
        await b.until_ready()
        await live.create_from(*reference.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        await apply_edits(live)
        await until_outcome(live, reference.outcome)
        for operator in (a, b):
            assert await is_healthy(operator)
            assert await operator.metric("hopper_api_requests_total", resource="hopperinstances/status") > 0
