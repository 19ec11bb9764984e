"""An operator that is killed many times: a tree of 100 instances has the outcome of a run without kills."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.api.resources import Manifest
from hopper.local import Cluster
from tests.cluster.support.chaos_tree import SIZE, has_converged, outcome, random_tree, unrelated_instances
from tests.cluster.support.convergence import local_cluster_or_skip, reference_run, seeded_random, until_outcome
from tests.cluster.support.fault_proxy import Call, Fault, FaultProxy, Rule, running_fault_proxy
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.operator_process import OperatorProcess, running_operator_process

pytestmark = pytest.mark.chaos

KILLS = 10
RUN_SECONDS = 60
# About the number of requests that a start takes.
MAX_REQUESTS_BEFORE_KILL = 30


class Killer:
    """Killer of an operator process in the middle of a request: before the request or before the response arrives."""

    def __init__(self, proxy: FaultProxy, rng: random.Random) -> None:
        self._proxy = proxy
        self._rng = rng
        self.writes = 0
        self.kills: list[str] = []

    def random_write_counts(self, kills: int, within: float) -> list[int]:
        """Return random numbers of writes after which to kill, in ascending order."""
        return sorted(self._rng.randint(0, int(within)) for _ in range(kills))

    async def kill_after(self, operator: OperatorProcess, writes: int) -> None:
        """Kill the operator after this total number of writes of all runs, and after a few requests of this run."""
        self._requests_left = self._rng.randint(1, MAX_REQUESTS_BEFORE_KILL)
        self._writes_due = writes
        kills_before_request = self._rng.random() < 0.5
        self._proxy.rule = self._kill_before_request(operator) if kills_before_request else lambda call: None
        self._proxy.on_response = self._count_and_kill_after_request(operator, kills=not kills_before_request)
        await operator.wait(RUN_SECONDS)
        self._proxy.reconnect()
        self._proxy.on_response = lambda call: None

    def _kill_before_request(self, operator: OperatorProcess) -> Rule:
        killed = False

        def rule(call: Call) -> Fault | None:
            nonlocal killed
            if not killed and self._is_due():
                killed = True
                self._kill(operator, f"before {call.method} {call.path}")
            return Fault.RESET if killed else None

        return rule

    def _count_and_kill_after_request(self, operator: OperatorProcess, kills: bool) -> Callable[[Call], None]:
        def on_response(call: Call) -> None:
            nonlocal kills
            self.writes += call.writes_instances
            self._requests_left -= 1
            if kills and self._is_due():
                kills = False
                self._kill(operator, f"after {call.method} {call.path}")

        return on_response

    def _is_due(self) -> bool:
        return self._requests_left <= 0 and self.writes >= self._writes_due

    def _kill(self, operator: OperatorProcess, description: str) -> None:
        operator.kill()
        self.kills.append(f"{description}, {self.writes} writes in all")


async def test_tree_converges_and_is_deleted_although_the_operator_is_killed(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    rng = seeded_random("kills")
    manifests = random_tree(rng)
    log = tmp_path / "operator.log"
    async with (
        reference_run([*manifests, *unrelated_instances()]) as (reference, _),
        running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, path),
    ):
        expected = outcome(reference)
        killer = Killer(proxy, rng)
        await live.create_from(*unrelated_instances(), *manifests)
        await _run_and_kill(live, path, log, killer, within=1.5 * SIZE)
        assert not has_converged(live, len(expected)), f"the tree converged before the last kill: {killer.kills}"
        async with running_operator_process(live.namespace, path, log) as operator:
            await until_outcome(live, expected)
            assert await operator.metric("hopper_illegal_transitions_total") == 0
            assert await operator.stop() == 0

        names = _names(unrelated_instances())
        unrelated = {name: state for name, state in outcome(live).items() if name in names}
        uids = {name: live[name]["metadata"]["uid"] for name in names}
        await live.delete("global")
        await _run_and_kill(live, path, log, killer, within=0.7 * SIZE)
        assert len(live.names) > len(unrelated), f"the tree was deleted before the last kill: {killer.kills}"
        async with running_operator_process(live.namespace, path, log) as operator:
            await live.until_gone(*_names(manifests), seconds=RUN_SECONDS)
            await operator.until_ready()
            assert await operator.metric("hopper_illegal_transitions_total") == 0
        assert outcome(live) == unrelated
        assert {name: live[name]["metadata"]["uid"] for name in names} == uids
    assert len(killer.kills) == 2 * KILLS
    print(*killer.kills, sep="\n")  # noqa: T201


async def _run_and_kill(live: LiveInstances, kubeconfig: Path, log: Path, killer: Killer, within: float) -> None:
    """Run an operator and kill it, ten times, at random points within this number of writes."""
    start = killer.writes
    for count in killer.random_write_counts(KILLS, within):
        async with running_operator_process(live.namespace, kubeconfig, log) as operator:
            await killer.kill_after(operator, start + count)


def _names(manifests: list[Manifest]) -> set[str]:
    return {instance["metadata"]["name"] for instance in manifests}
