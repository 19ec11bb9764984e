"""The operator is killed again and again while workloads start, roll out and restart; nobody can tell afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.api.names import ANNOTATION_RESTARTS
from hopper.local import Cluster
from tests.cluster.support.convergence import seeded_random
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.operator_process import running_operator_process
from tests.cluster.support.request_counter import RequestCounter
from tests.cluster.support.workloads import STATELESS_SERVICE, Workloads

pytestmark = pytest.mark.chaos

COUNT = 20
KILLS = 3
# After how many things a kill comes at the latest.
MOST_NEWS = 30
SECONDS = 90
STATES = ("Running", "Running", "Running", "Paused", "Stopped")
WEB = {"templateRef": {"name": "web"}}
UP = ["Created", "Starting", "Running"]
STEPS = {"Running": UP, "Paused": [*UP, "Paused"], "Stopped": ["Created", "Stopped"]}
AGAIN = ["Stopping", "Stopped", "Starting", "Running"]


def wanted(name: str) -> str:
    return STATES[int(name.rpartition("-")[2]) % len(STATES)]


class Killer:
    """Runs the operator and kills it, again and again, each time after a random number of things have happened."""

    def __init__(self, cluster: Cluster, live: LiveInstances, workloads: Workloads, log: Path) -> None:
        self._cluster = cluster
        self._live = live
        self._follows = [live.instances, *workloads.recorders.values()]
        self._log = log
        self._rng = seeded_random("kills of workloads")

    async def run(self, is_done: Callable[[], bool]) -> None:
        """Kill it so many times; where all is done already, there is nothing more to wait for."""
        for _ in range(KILLS):
            async with running_operator_process(self._live.namespace, self._cluster.kubeconfig, self._log) as operator:
                await operator.until_ready()
                enough = self._happened() + self._rng.randint(0, MOST_NEWS)
                holds = lambda enough=enough: self._happened() >= enough or is_done()  # noqa: E731
                await self._live.until(holds, f"{enough} things have happened", SECONDS)
                operator.kill()

    def _happened(self) -> int:
        return sum(len(follow.log) for follow in self._follows)


async def test_killed_while_workloads_start_roll_out_and_restart(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    killer = Killer(cluster, live, workloads, tmp_path / "operator.log")
    names = [f"n-{number}" for number in range(COUNT)]
    up = [name for name in names if wanted(name) != "Stopped"]
    is_done = lambda: all(live.phase(name) == wanted(name) and live.is_ready(name) for name in names)  # noqa: E731

    await workloads.create_template(**STATELESS_SERVICE | {"image": "slow:1"})
    await live.create_from(*(manifest(name, desiredState=wanted(name), **WEB) for name in names))
    await killer.run(is_done)
    async with running_operator(live.namespace):
        await live.until(is_done, "all are where they are to be", SECONDS)
    for name in names:
        assert live.phase_history(name) == STEPS[wanted(name)]
        assert len(workloads.pod_uids_ever(name)) == (name in up)
        assert workloads.owned_objects(name).keys() == {"ConfigMap", "Deployment", "Secret", "Service"}

    await workloads.edit_template(image="slow:2", env=[{"name": "LEVEL", "value": "2"}])
    is_new = lambda: all(live.status(name)["templateGeneration"] == 2 for name in up) and is_done()  # noqa: E731
    await killer.run(is_new)
    async with running_operator(live.namespace) as operator:
        await live.until(lambda: is_new() and not len(operator.queue), "all have rolled out", SECONDS)
    for name in names:
        await workloads.until_pods(name, int(name in up))
        assert live.phase_history(name) == STEPS[wanted(name)]
        assert len(workloads.pod_uids_ever(name)) == 2 * (name in up)
        assert workloads.container(name)["image"] == "slow:2"
        assert workloads.owned_objects(name).keys() == {"ConfigMap", "Deployment", "Service"}

    await live.edit_all(names, restartedAt="2026-01-01T00:00:00Z")
    is_again = lambda: all(live.status(name)["restarts"] == 1 for name in up) and is_done()  # noqa: E731
    await killer.run(is_again)
    async with running_operator(live.namespace) as operator:
        await live.until(lambda: is_again() and not len(operator.queue), "all have restarted", SECONDS)
        requests = await RequestCounter.start(live)
        operator.intake.requeue_all()
        await live.until(lambda: not len(operator.queue), "everybody was looked at")
        assert await requests.counts() == {}
    for name in names:
        await workloads.until_pods(name, int(name in up))
        # One that was killed between the new pods and its word of them starts over.
        assert 3 * (name in up) <= len(workloads.pod_uids_ever(name)) <= (3 + KILLS) * (name in up)
        await workloads.until_endpoints(name, int(wanted(name) == "Running"))
        restarts = workloads.pod_template(name)["metadata"].get("annotations", {}).get(ANNOTATION_RESTARTS)
        assert restarts == ("1" if name in up else None)
        paused = ["Paused"] if wanted(name) == "Paused" else []
        assert live.phase_history(name) == STEPS[wanted(name)] + (AGAIN + paused if name in up else [])
