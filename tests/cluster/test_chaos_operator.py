"""The operator is killed again and again; a tree of 100 ends up as if nothing had happened."""

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
# A start takes about as many requests.
LATEST_REQUEST = 30


class Killer:
    """Ends the operator in the middle of a request: before it arrives, or before its answer does."""

    def __init__(self, proxy: FaultProxy, rng: random.Random) -> None:
        self._proxy = proxy
        self._rng = rng
        self.writes = 0
        self.moments: list[str] = []

    def spread(self, kills: int, within: float) -> list[int]:
        """Return so many random numbers of writes, in order."""
        return sorted(self._rng.randint(0, int(within)) for _ in range(kills))

    async def strike(self, operator: OperatorProcess, writes: int) -> None:
        """Kill it once that many writes have gone through, all runs together, but not at its very start."""
        self._requests_left = self._rng.randint(1, LATEST_REQUEST)
        self._writes_due = writes
        before = self._rng.random() < 0.5
        self._proxy.rule = self._before(operator) if before else lambda call: None
        self._proxy.on_response = self._after(operator, kills=not before)
        await operator.wait(RUN_SECONDS)
        self._proxy.rule = lambda call: None
        self._proxy.on_response = lambda call: None

    def _before(self, operator: OperatorProcess) -> Rule:
        killed = False

        def rule(call: Call) -> Fault | None:
            nonlocal killed
            if not killed and self._is_due():
                killed = True
                self._kill(operator, f"before {call.method} {call.path}")
            return Fault.RESET if killed else None

        return rule

    def _after(self, operator: OperatorProcess, kills: bool) -> Callable[[Call], None]:
        def on_answer(call: Call) -> None:
            nonlocal kills
            self.writes += call.writes_instances
            self._requests_left -= 1
            if kills and self._is_due():
                kills = False
                self._kill(operator, f"after {call.method} {call.path}")

        return on_answer

    def _is_due(self) -> bool:
        return self._requests_left <= 0 and self.writes >= self._writes_due

    def _kill(self, operator: OperatorProcess, moment: str) -> None:
        operator.kill()
        self.moments.append(f"{moment}, {self.writes} writes in all")


async def test_killed_while_a_tree_converges_and_while_it_is_deleted(
    cluster: Cluster, live: LiveInstances, tmp_path: Path
) -> None:
    rng = seeded_random("kills")
    manifests = random_tree(rng)
    log = tmp_path / "operator.log"
    async with (
        reference_run([*manifests, *unrelated_instances()]) as (reference, _),
        running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (man, path),
    ):
        expected = outcome(reference)
        killer = Killer(man, rng)
        await live.create_from(*unrelated_instances(), *manifests)
        await _run_and_kill(live, path, log, killer, within=1.5 * SIZE)
        assert not has_converged(live, len(expected)), f"all was done before the last kill: {killer.moments}"
        async with running_operator_process(live.namespace, path, log) as operator:
            await until_outcome(live, expected)
            assert await operator.metric("hopper_illegal_transitions_total") == 0
            assert await operator.stop() == 0

        apart = {name: it for name, it in outcome(live).items() if name in _names(unrelated_instances())}
        before = {name: live[name]["metadata"]["uid"] for name in apart}
        await live.delete("global")
        await _run_and_kill(live, path, log, killer, within=0.7 * SIZE)
        assert len(live.names) > len(apart), f"all was gone before the last kill: {killer.moments}"
        async with running_operator_process(live.namespace, path, log) as operator:
            await live.until_gone(*_names(manifests), seconds=RUN_SECONDS)
            await operator.until_ready()
            assert await operator.metric("hopper_illegal_transitions_total") == 0
        assert outcome(live) == apart
        assert {name: live[name]["metadata"]["uid"] for name in apart} == before
    assert len(killer.moments) == 2 * KILLS
    print(*killer.moments, sep="\n")  # noqa: T201


async def _run_and_kill(live: LiveInstances, kubeconfig: Path, log: Path, killer: Killer, within: float) -> None:
    """Run it and kill it, ten times, at moments spread at random over so many writes."""
    begun = killer.writes
    for moment in killer.spread(KILLS, within):
        async with running_operator_process(live.namespace, kubeconfig, log) as operator:
            await killer.strike(operator, begun + moment)


def _names(manifests: list[Manifest]) -> set[str]:
    return {it["metadata"]["name"] for it in manifests}
