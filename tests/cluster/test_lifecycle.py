"""The lifecycle: every way from every state, restarts, reasons, history, and what kubectl makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

import pytest

from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HISTORY_LIMIT
from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.steered_hooks import SteeredHook

STATES = [state.value for state in DesiredState]
DOWN = ["Stopping", "Stopped"]
UP = ["Starting", "Running"]

# From a phase, the phases that are entered on the way to each desired state.
ROUTES: dict[str, dict[str, list[str]]] = {
    "Created": {
        "Running": UP,
        "Paused": [*UP, "Paused"],
        "Stopped": ["Stopped"],
        "Archived": ["Stopped", "Archived"],
        "Terminated": ["Terminated"],
    },
    "Running": {
        "Running": [],
        "Paused": ["Paused"],
        "Stopped": DOWN,
        "Archived": [*DOWN, "Archived"],
        "Terminated": [*DOWN, "Terminated"],
    },
    "Paused": {
        "Running": ["Running"],
        "Paused": [],
        "Stopped": DOWN,
        "Archived": [*DOWN, "Archived"],
        "Terminated": [*DOWN, "Terminated"],
    },
    "Stopped": {
        "Running": UP,
        "Paused": [*UP, "Paused"],
        "Stopped": [],
        "Archived": ["Archived"],
        "Terminated": ["Terminated"],
    },
    "Archived": {"Archived": [], "Terminated": ["Terminated"]},
    "Error": {
        "Running": UP,
        "Paused": [*UP, "Paused"],
        "Stopped": DOWN,
        "Archived": [*DOWN, "Archived"],
        "Terminated": [*DOWN, "Terminated"],
    },
    "Stopping": {
        "Running": ["Stopped", *UP],
        "Paused": ["Stopped", *UP, "Paused"],
        "Stopped": ["Stopped"],
        "Archived": ["Stopped", "Archived"],
        "Terminated": ["Stopped", "Terminated"],
    },
}
PAIRS = [(source, goal) for source, goals in ROUTES.items() for goal in goals]


def name_of(source: str, goal: str) -> str:
    return f"{source}-{goal}".lower()


@pytest.fixture
def steered() -> SteeredHook:
    return SteeredHook()


@pytest.fixture
async def hooked(live: LiveInstances, steered: SteeredHook) -> AsyncIterator[Operator]:
    """An operator with a hook that the test steers."""
    async with running_operator(live.namespace, hooks=[steered]) as operator:
        yield operator


class TestEveryWay:
    async def test_from_creation(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*(manifest(state.lower(), desiredState=state) for state in STATES))
        for state in STATES:
            await live.until_phase(state, state.lower())
            assert live.phase_history(state.lower()) == ["Created", *ROUTES["Created"][state]]
            assert live.is_ready(state.lower())

    @pytest.mark.parametrize("source", ["Running", "Paused", "Stopped", "Archived"])
    async def test_from_rest(self, live: LiveInstances, operator: Operator, source: str) -> None:
        goals = ROUTES[source]
        await live.create_from(*(manifest(name_of(source, goal), desiredState=source) for goal in goals))
        await live.until_phase(source)
        await self._drive(live, source)

    async def test_from_waiting_for_a_parent(self, live: LiveInstances, operator: Operator) -> None:
        source, goals = "Created", [goal for goal in ROUTES["Created"] if goal not in ("Running", "Paused")]
        await live.create_from(*(manifest(name_of(source, goal), "Orchestration", "late") for goal in goals))
        for goal in goals:
            await live.until_reason(name_of(source, goal), "HierarchyValid", "ParentNotFound")
            await live.edit(name_of(source, goal), desiredState=goal)
            await live.until_phase(goal, name_of(source, goal))
            assert live.phase_history(name_of(source, goal)) == ["Created", *ROUTES[source][goal]]

    async def test_from_error(self, live: LiveInstances, hooked: Operator, steered: SteeredHook) -> None:
        goals = ROUTES["Error"]
        for goal in goals:
            steered.refuse(name_of("Error", goal), Phase.STARTING)
        policy = {"policy": "Never"}
        await live.create_from(*(manifest(name_of("Error", goal), restartPolicy=policy) for goal in goals))
        for goal in goals:
            await live.until_reason(name_of("Error", goal), "Stalled", "RestartNever")
        steered.refused.clear()
        await live.edit("error-running", displayName="mended")
        await self._drive(live, "Error")

    async def test_from_stopping(self, live: LiveInstances, hooked: Operator, steered: SteeredHook) -> None:
        """A child that will not stop holds its parent at Stopping."""
        goals = ROUTES["Stopping"]
        for goal in goals:
            child, parent = f"{name_of('Stopping', goal)}-child", name_of("Stopping", goal)
            steered.refuse(child, Phase.STOPPING)
            await live.create_from(manifest(parent), manifest(child, "Orchestration", parent))
        await live.until_phase("Running")
        parents = [name_of("Stopping", goal) for goal in goals]
        await live.edit_all(parents, desiredState="Stopped")
        for parent in parents:
            await live.until_reason(parent, "Reconciling", "ChildrenStopping")
            refused = await live.until_reason(f"{parent}-child", "Ready", "HookFailed")
            told = f"hook SteeredHook refused Stopping: RuntimeError: no licence for {parent}-child"
            assert refused["message"] == f"{told}; retried every 10 s"
        steered.refused.clear()
        await self._drive(live, "Stopping", waiting=[f"{parent}-child" for parent in parents])

    async def _drive(self, live: LiveInstances, source: str, waiting: Iterable[str] = ()) -> None:
        """Set every desired state and check the way; `{source}-{goal}` names the instance.

        Those that are `waiting` to try again are made to do so afterwards.
        """
        before = {goal: live.phase_history(name_of(source, goal)) for goal in ROUTES[source]}
        await asyncio.gather(*(live.edit(name_of(source, goal), desiredState=goal) for goal in ROUTES[source]))
        await live.edit_all(waiting, displayName="look again")
        for goal, way in ROUTES[source].items():
            name = name_of(source, goal)
            await live.until_phase(goal, name)
            assert live.phase_history(name) == [*before[goal], *way]
            assert live.condition(name, "Ready")["reason"] == goal
            assert live.is_ready(name)

    def test_the_table_is_complete(self) -> None:
        """Starting is passed within one write by an instance without a workload; Terminated is final."""
        assert ROUTES.keys() | {"Starting", "Terminated"} == set(Phase)


class TestTime:
    async def test_marks(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        status = live.status("a")
        assert status["startedAt"] == status["lastTransitionTime"] == status["history"][-1]["time"]
        assert "stoppedAt" not in status
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert live.status("a")["stoppedAt"] == live.status("a")["lastTransitionTime"]
        assert live.status("a")["startedAt"] == status["startedAt"]

    async def test_pausing_is_no_new_start(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        started = live.status("a")["startedAt"]
        for state in ("Paused", "Running"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
        assert live.status("a")["startedAt"] == started

    async def test_history_keeps_the_newest(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        for turn in range(HISTORY_LIMIT + 2):
            state = "Paused" if turn % 2 == 0 else "Running"
            await live.edit("a", desiredState=state, reason=f"turn {turn}")
            await live.until_phase(state, "a")
        history = live.status("a")["history"]
        assert [entry["message"] for entry in history] == [f"turn {turn}" for turn in range(2, HISTORY_LIMIT + 2)]
        assert {entry["reason"] for entry in history} == {"DesiredState"}


class TestReasons:
    async def test_reach_condition_history_and_event(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", reason="a new day")
        await live.until_phase("Running", "a")
        assert live.condition("a", "Ready")["message"] == "a new day"
        assert {entry["message"] for entry in live.status("a")["history"]} == {"a new day"}
        await live.edit("a", desiredState="Paused", reason="lunch break")
        await live.until_phase("Paused", "a")
        assert live.condition("a", "Ready") | {"reason": "Paused", "message": "lunch break"} == live.condition(
            "a", "Ready"
        )
        assert live.status("a")["history"][-1]["message"] == "lunch break"
        event = await live.until_event("a", "Paused")
        assert event["note"] == "Running → Paused (DesiredState): lunch break"

    async def test_a_new_reason_alone_is_shown(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Stopped", reason="for now")
        await live.until_phase("Stopped", "a")
        await live.edit("a", reason="for good")
        await live.until(lambda: live.condition("a", "Ready")["message"] == "for good", "the new reason")
        assert len(live.status("a")["history"]) == 1


class TestRestart:
    STOP_AND_START = ("Stopping", "Stopped", "Starting", "Running")

    async def test_is_done_once_and_counted(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", reason="born")
        await live.until_phase("Running", "a")
        before = live.phase_history("a")
        for count, moment in enumerate(("2026-01-01T00:00:00Z", "2025-12-31T23:00:00+00:00"), 1):
            await live.edit("a", restartedAt=moment, reason="new certificate")
            await live.until(lambda count=count: live.status("a").get("restarts") == count, "a restart")
            assert live.phase_history("a") == [*before, *self.STOP_AND_START * count]
            assert live.is_ready("a")
        stopping = live.status("a")["history"][-4]
        assert (stopping["reason"], stopping["message"]) == ("RestartRequested", "new certificate")

    async def test_the_same_value_again_asks_for_nothing(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "a restart")
        for same in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"):
            await live.edit("a", restartedAt=same, displayName=same)
            await live.until_phase("Running", "a")
        await live.edit("a", restartedAt=None)
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 1

    async def test_survives_an_operator_restart(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create("a")
            await live.until_phase("Running", "a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        for _ in range(2):
            async with running_operator(live.namespace):
                await live.until(lambda: live.status("a").get("restarts") == 1 and live.is_ready("a"), "a restart")
        assert live.phase_history("a") == ["Created", *UP, *self.STOP_AND_START]

    @pytest.mark.parametrize("state", ["Stopped", "Archived", "Terminated"])
    async def test_what_is_down_stays_down(self, live: LiveInstances, operator: Operator, state: str) -> None:
        await live.create("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.edit("a", desiredState=state, restartedAt="2026-01-01T00:00:00Z")
        await live.until_phase(state, "a")
        assert live.status("a")["restarts"] == 0
        if state == "Stopped":
            await live.edit("a", desiredState="Running")
            await live.until_phase("Running", "a")
            assert live.status("a")["restarts"] == 0
            assert live.phase_history("a") == ["Created", "Stopped", *UP]

    async def test_what_is_paused_is_paused_again(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        before = live.phase_history("a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "a restart")
        assert live.phase_history("a") == [*before, *self.STOP_AND_START, "Paused"]

    async def test_at_creation_there_is_nothing_to_restart(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 0
        assert live.phase_history("a") == ["Created", *UP]

    async def test_leaves_the_children_alone(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Orchestration", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "a restart")
        await live.edit("b", reason="look again")
        await live.until(lambda: live.condition("b", "Ready")["message"] == "look again", "b was looked at")
        assert live.phase_history("b") == ["Created", *UP]


class TestKubectl:
    async def test_wait_scale_and_get(self, live: LiveInstances, operator: Operator, cluster: Cluster) -> None:
        async def kubectl(*args: str) -> str:
            return await asyncio.to_thread(cluster.kubectl, "--namespace", live.namespace, *args)

        await live.create_from(manifest("a", replicas=2), manifest("b", "Orchestration", "a"))
        waited = await kubectl("wait", "--for=condition=Ready", "hi", "--all", "--timeout=30s")
        assert waited.splitlines() == [f"hopperinstance.hopper.dev/{name} condition met" for name in "ab"]
        await kubectl("wait", "--for=jsonpath={.status.phase}=Running", "hi/a", "--timeout=30s")

        await kubectl("scale", "hi", "a", "--replicas=3")
        await live.until(lambda: live[("a")]["spec"]["replicas"] == 3 and live.is_ready("a"), "scaled, and observed")
        assert live.phase_history("a") == ["Created", *UP]

        await live.edit("a", desiredState="Paused")
        await kubectl("wait", "--for=jsonpath={.status.phase}=Paused", "hi/b", "--timeout=30s")
        row = (await kubectl("get", "hi", "b")).splitlines()[1].split()
        assert row[:-1] == ["b", "Orchestration", "a", "Running", "Paused", "True"]

    async def test_applying_again_changes_nothing(
        self, live: LiveInstances, operator: Operator, cluster: Cluster
    ) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*self._tree()]})

        async def apply() -> list[str]:
            args = ("--namespace", live.namespace, "apply", "--filename=-")
            return (await asyncio.to_thread(cluster.kubectl, *args, input=text)).splitlines()

        await apply()
        await live.until_phase("Running", "global", "web", "worker")
        before = {name: live[name]["metadata"] for name in live.names}
        assert all(line.endswith(" unchanged") for line in await apply())
        for name, metadata in before.items():
            assert live[name]["metadata"].get("ownerReferences") == metadata.get("ownerReferences")
            assert live[name]["metadata"].get("finalizers") == metadata.get("finalizers")

    def _tree(self) -> list[object]:
        return [
            manifest("worker", "Orchestration", "web"),
            manifest("web", "Project", "global"),
            manifest("global", "Global"),
        ]
