"""Kills of the operator while workloads start, roll out and restart: the result is the same as without kills."""

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
# A kill comes after at most this many watch events.
MAX_EVENTS_UNTIL_KILL = 30
TIMEOUT_SECONDS = 90
DESIRED_STATES = ("Running", "Running", "Running", "Paused", "Stopped")
WEB = {"templateRef": {"name": "web"}}
UP = ["Created", "Starting", "Running"]
PHASES = {"Running": UP, "Paused": [*UP, "Paused"], "Stopped": ["Created", "Stopped"]}
STOP_AND_START = ["Stopping", "Stopped", "Starting", "Running"]


def desired_state(name: str) -> str:
    return DESIRED_STATES[int(name.rpartition("-")[2]) % len(DESIRED_STATES)]


class KilledOperator:
    """Operator that is killed several times, each time after a random number of watch events."""

    def __init__(self, cluster: Cluster, live: LiveInstances, workloads: Workloads, log: Path) -> None:
        self._cluster = cluster
        self._live = live
        self._recorders = [live.instances, *workloads.recorders.values()]
        self._log = log
        self._rng = seeded_random("kills of workloads")

    async def run(self, is_done: Callable[[], bool]) -> None:
        """Start the operator and kill it KILLS times, at once if the work is done already."""
        for _ in range(KILLS):
            async with running_operator_process(self._live.namespace, self._cluster.kubeconfig, self._log) as operator:
                await operator.until_ready()
                kill_at = self._event_count() + self._rng.randint(0, MAX_EVENTS_UNTIL_KILL)
                holds = lambda kill_at=kill_at: self._event_count() >= kill_at or is_done()  # noqa: E731
                await self._live.until(holds, f"{kill_at} watch events", TIMEOUT_SECONDS)
                operator.kill()

    def _event_count(self) -> int:
        return sum(len(recorder.log) for recorder in self._recorders)


async def test_workloads_start_roll_out_and_restart_although_the_operator_is_killed(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    killed_operator = KilledOperator(cluster, live, workloads, tmp_path / "operator.log")
    names = [f"n-{number}" for number in range(COUNT)]
    up = [name for name in names if desired_state(name) != "Stopped"]
    is_done = lambda: all(live.phase(name) == desired_state(name) and live.is_ready(name) for name in names)  # noqa: E731

    await workloads.create_template(**STATELESS_SERVICE | {"image": "slow:1"})
    await live.create_from(*(manifest(name, desiredState=desired_state(name), **WEB) for name in names))
    await killed_operator.run(is_done)
    async with running_operator(live.namespace):
        await live.until(is_done, "all instances are in their desired states", TIMEOUT_SECONDS)
    for name in names:
        assert live.phase_history(name) == PHASES[desired_state(name)]
        assert len(workloads.pod_uids_ever(name)) == (name in up)
        assert workloads.owned_objects(name).keys() == {"ConfigMap", "Deployment", "Secret", "Service"}

    await workloads.edit_template(image="slow:2", env=[{"name": "LEVEL", "value": "2"}])
    is_rolled_out = lambda: all(live.status(name)["templateGeneration"] == 2 for name in up) and is_done()  # noqa: E731
    await killed_operator.run(is_rolled_out)
    async with running_operator(live.namespace) as operator:
        await live.until(
            lambda: is_rolled_out() and not len(operator.queue), "all instances have rolled out", TIMEOUT_SECONDS
        )
    for name in names:
        await workloads.until_pods(name, int(name in up))
        assert live.phase_history(name) == PHASES[desired_state(name)]
        assert len(workloads.pod_uids_ever(name)) == 2 * (name in up)
        assert workloads.container(name)["image"] == "slow:2"
        assert workloads.owned_objects(name).keys() == {"ConfigMap", "Deployment", "Service"}

    await live.edit_all(names, restartedAt="2026-01-01T00:00:00Z")
    is_restarted = lambda: all(live.status(name)["restarts"] == 1 for name in up) and is_done()  # noqa: E731
    await killed_operator.run(is_restarted)
    async with running_operator(live.namespace) as operator:
        await live.until(
            lambda: is_restarted() and not len(operator.queue), "all instances have restarted", TIMEOUT_SECONDS
        )
        requests = await RequestCounter.start(live)
        operator.intake.requeue_all()
        await live.until(lambda: not len(operator.queue), "all instances are reconciled")
        assert await requests.counts() == {}
    for name in names:
        await workloads.until_pods(name, int(name in up))
        # An operator that was killed after creating new pods and before writing the status creates them again.
        assert 3 * (name in up) <= len(workloads.pod_uids_ever(name)) <= (3 + KILLS) * (name in up)
        await workloads.until_endpoints(name, int(desired_state(name) == "Running"))
        restarts = workloads.pod_template(name)["metadata"].get("annotations", {}).get(ANNOTATION_RESTARTS)
        assert restarts == ("1" if name in up else None)
        paused = ["Paused"] if desired_state(name) == "Paused" else []
        assert live.phase_history(name) == PHASES[desired_state(name)] + (STOP_AND_START + paused if name in up else [])
