"""The API server goes away, breaks connections, loses answers, forgets its past: the end state is the same."""

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
# A lost answer costs a write for each look that the watch, cut off too, makes too early.
WRITES_PER_FAULT = 5
FAULTS: tuple[Fault | int, ...] = (*Fault, 429, 500, 503)

Edit = Callable[[LiveInstances], Awaitable[Any]]
NEWCOMERS = [manifest("project-8", "Project", "global")]
NEWCOMERS += [manifest(f"new-{n:02}", "Orchestration", "project-8") for n in range(20)]
# A few edits of every kind, for a tree that has converged; what comes of them does not depend on their order.
EDITS: tuple[Edit, ...] = (
    lambda live: live.create_from(*NEWCOMERS),
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


async def insist(live: LiveInstances, edits: Iterable[Edit] = EDITS) -> None:
    """Do each of the edits, again and again until it is accepted."""
    for edit in edits:
        while True:
            try:
                await edit(live)
                break
            except RefusedError as error:
                if error.code in (404, 409):
                    break  # it had been accepted, only the answer was lost
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Peace:
    """How the same tree and the same edits end in peace, and how many writes to instances that takes."""

    manifests: list[Manifest]
    outcome: dict[str, Any]
    writes: float


_peace: list[Peace] = []


@pytest.fixture
async def peace(kubeconfig: str) -> Peace:
    if not _peace:
        manifests = random_tree(seeded_random("tree"))
        async with reference_run(manifests) as (live, operator):
            await insist(live)
            await live.until(lambda: is_edited(live), "edited in peace", CONVERGE_SECONDS)
            numbers = PrometheusSamples(operator.metrics.render().decode())
            writes = sum(
                numbers.total("hopper_api_requests_total", verb=verb, resource=f"hopperinstances{part}")
                for verb in ("PATCH", "DELETE")
                for part in ("", "/status")
            )
            _peace.append(Peace(manifests, outcome(live), writes))
    return _peace[0]


def is_edited(live: LiveInstances) -> bool:
    """Tell whether all that follows from the edits has happened."""
    return not live.names & DELETED and has_converged(live, len(live.names))


async def is_unharmed(operator: OperatorProcess) -> bool:
    """Tell whether it still runs, healthy, and never wanted anything illegal."""
    return (
        operator.is_running
        and await operator.probe_succeeds("/healthz")
        and await operator.metric("hopper_illegal_transitions_total") == 0
    )


async def test_the_api_server_is_away_for_a_while(
    cluster: Cluster, live: LiveInstances, peace: Peace, tmp_path: Path
) -> None:
    local = local_cluster_or_skip(cluster)
    async with running_operator_process(live.namespace, local.kubeconfig, tmp_path / "operator.log") as operator:
        await live.create_from(*peace.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        await insist(live, EDITS[:5])
        await asyncio.to_thread(local.stop_apiserver)
        waiting = asyncio.create_task(insist(live, EDITS[5:]))
        try:
            await asyncio.sleep(OUTAGE_SECONDS)  # this is the outage: nothing is waited for
            assert await operator.probe_succeeds("/healthz"), "nobody should restart it for this"
            assert not await operator.probe_succeeds("/readyz"), "it does not hear of anything"
        finally:
            await asyncio.to_thread(local.start_apiserver)
        await waiting
        await until_outcome(live, peace.outcome, CATCH_UP_SECONDS)
        assert await is_unharmed(operator)
        await operator.until_ready()
        told = [line for line in operator.log.splitlines() if "kopf" in line or ("list" in line and "watch" in line)]
        assert len(told) < 5, "what ten watches meet is told once"
        await asyncio.to_thread(until_pods_run, cluster, live.namespace)


async def test_everything_that_can_fail_fails_now_and_then(
    cluster: Cluster, live: LiveInstances, peace: Peace, tmp_path: Path
) -> None:
    rng = seeded_random("faults")
    async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (man, path):
        man.rule = unreliable(rng)
        async with running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator:
            cutting = asyncio.create_task(cut_now_and_then(man, rng))
            await live.create_from(*peace.manifests)
            await live.until(lambda: has_converged(live, SIZE), "converged", CATCH_UP_SECONDS)
            await insist(live)
            await until_outcome(live, peace.outcome, CATCH_UP_SECONDS)
            cutting.cancel()
            assert await is_unharmed(operator)
    assert set(man.faults) >= {*FAULTS, 409}
    writes = sum(call.writes_instances for call in man.calls)
    assert writes <= peace.writes + WRITES_PER_FAULT * len(man.faults)


def unreliable(rng: random.Random) -> Rule:
    """Return a rule that fails one request in six, whatever it is about, and lets watches begin."""

    def rule(call: Call) -> Fault | int | None:
        if call.is_watch or rng.random() > 1 / 6:
            return None
        return rng.choice((*FAULTS, 409) if call.is_write else FAULTS)

    return rule


async def cut_now_and_then(man: FaultProxy, rng: random.Random) -> None:
    """Break all connections, or have the watches fall silent before they break."""
    while True:
        await asyncio.sleep(rng.uniform(0.2, 2))
        if rng.random() < 0.3:
            man.stall()
            await asyncio.sleep(rng.uniform(0.2, 2))
        man.cut()
        man.resume()


async def test_the_past_is_forgotten_while_the_operator_is_cut_off(
    cluster: Cluster, live: LiveInstances, peace: Peace, tmp_path: Path
) -> None:
    local = local_cluster_or_skip(cluster)
    async with (
        running_fault_proxy(local, tmp_path) as (man, path),
        running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator,
    ):
        await live.create_from(*peace.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        async with forgetting(local, man):
            await insist(live)
        await until_outcome(live, peace.outcome, CATCH_UP_SECONDS)
        assert man.expired_watches, "the API server remembered after all"
        assert await is_unharmed(operator)


async def test_parents_deleted_while_the_operator_is_cut_off_are_not_taken_for_alive(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    """Garbage collection deletes whoever is owned by a uid that does not exist any more."""
    local = local_cluster_or_skip(cluster)
    reborn, gone = ([f"child-of-{parent}-{n}" for n in range(10)] for parent in ("reborn", "gone"))
    async with (
        running_fault_proxy(local, tmp_path) as (man, path),
        running_operator_process(live.namespace, path, tmp_path / "operator.log") as operator,
    ):
        await live.create_from(manifest("reborn"), manifest("gone"))
        await live.until_phase("Running", "reborn", "gone")
        async with forgetting(local, man):
            await live.delete("reborn")
            await live.delete("gone")
            await live.until_gone("reborn", "gone")
            await live.create_from(*(manifest(name, "Orchestration", "reborn") for name in reborn))
            await live.create_from(*(manifest(name, "Orchestration", "gone") for name in gone))
            await live.create("reborn")
        await live.until_phase("Running", *reborn, seconds=CATCH_UP_SECONDS)
        for name in gone:
            await live.until_reason(name, "HierarchyValid", "ParentNotFound", seconds=CATCH_UP_SECONDS)
        assert man.expired_watches, "the API server remembered after all"
        assert await is_unharmed(operator)
        alive = {live["reborn"]["metadata"]["uid"]}
        for seen in live.instances.log:
            assert seen.event_type != "DELETED" or seen.name in ("reborn", "gone")
            assert {it["uid"] for it in seen.object["metadata"].get("ownerReferences", [])} <= alive


@asynccontextmanager
async def forgetting(local: LocalCluster, man: FaultProxy) -> AsyncIterator[None]:
    """Cut the operator off; what happens in the context is history that no watch will ever tell it of."""
    man.rule = lambda call: Fault.RESET
    man.cut()
    yield
    # A new API server knows nothing of what was before it.
    await asyncio.to_thread(local.stop_apiserver)
    await asyncio.to_thread(local.start_apiserver)
    man.rule = lambda call: None


async def test_two_operators_at_once_waste_work_and_nothing_else(
    cluster: Cluster, live: LiveInstances, peace: Peace, tmp_path: Path
) -> None:
    path = cluster.kubeconfig
    async with (
        running_operator_process(live.namespace, path, tmp_path / "a") as a,
        running_operator_process(live.namespace, path, tmp_path / "b") as b,
    ):
        await a.until_ready()
        await b.until_ready()
        await live.create_from(*peace.manifests)
        await live.until(lambda: has_converged(live, SIZE), "converged", CONVERGE_SECONDS)
        await insist(live)
        await until_outcome(live, peace.outcome)
        for each in (a, b):
            assert await is_unharmed(each)
            assert await each.metric("hopper_api_requests_total", resource="hopperinstances/status") > 0
