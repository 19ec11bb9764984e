"""Lifecycle: transitions from every phase to every desired state, restarts, reasons, history and kubectl."""

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

# Phases that are entered on the way from a phase to each desired state.
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


def instance_name(source: str, target: str) -> str:
    return f"{source}-{target}".lower()


@pytest.fixture
def hook() -> SteeredHook:
    return SteeredHook()


@pytest.fixture
async def operator_with_hook(live: LiveInstances, hook: SteeredHook) -> AsyncIterator[Operator]:
    """Operator with a hook that the test controls."""
    async with running_operator(live.namespace, hooks=[hook]) as operator:
        yield operator


class TestTransitions:
    async def test_a_new_instance_reaches_every_desired_state(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*(manifest(state.lower(), desiredState=state) for state in STATES))
        for state in STATES:
            await live.until_phase(state, state.lower())
            assert live.phase_history(state.lower()) == ["Created", *ROUTES["Created"][state]]
            assert live.is_ready(state.lower())

    @pytest.mark.parametrize("source", ["Running", "Paused", "Stopped", "Archived"])
    async def test_every_desired_state_is_reached_from_a_settled_phase(
        self, live: LiveInstances, operator: Operator, source: str
    ) -> None:
        targets = ROUTES[source]
        await live.create_from(*(manifest(instance_name(source, target), desiredState=source) for target in targets))
        await live.until_phase(source)
        await self._set_all_states(live, source)

    async def test_an_instance_that_waits_for_its_parent_can_be_stopped(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        source, targets = "Created", [target for target in ROUTES["Created"] if target not in ("Running", "Paused")]
        await live.create_from(
            *(manifest(instance_name(source, target), "Orchestration", "late") for target in targets)
        )
        for target in targets:
            await live.until_reason(instance_name(source, target), "HierarchyValid", "ParentNotFound")
            await live.edit(instance_name(source, target), desiredState=target)
            await live.until_phase(target, instance_name(source, target))
            assert live.phase_history(instance_name(source, target)) == ["Created", *ROUTES[source][target]]

    async def test_every_desired_state_is_reached_from_error(
        self, live: LiveInstances, operator_with_hook: Operator, hook: SteeredHook
    ) -> None:
        targets = ROUTES["Error"]
        for target in targets:
            hook.refuse(instance_name("Error", target), Phase.STARTING)
        policy = {"policy": "Never"}
        await live.create_from(*(manifest(instance_name("Error", target), restartPolicy=policy) for target in targets))
        for target in targets:
            await live.until_reason(instance_name("Error", target), "Stalled", "RestartNever")
        hook.refused.clear()
        await live.edit("error-running", displayName="requeue")
        await self._set_all_states(live, "Error")

    async def test_every_desired_state_is_reached_from_stopping(
        self, live: LiveInstances, operator_with_hook: Operator, hook: SteeredHook
    ) -> None:
        """A child whose hook refuses to stop keeps its parent in phase Stopping."""
        targets = ROUTES["Stopping"]
        for target in targets:
            child, parent = f"{instance_name('Stopping', target)}-child", instance_name("Stopping", target)
            hook.refuse(child, Phase.STOPPING)
            await live.create_from(manifest(parent), manifest(child, "Orchestration", parent))
        await live.until_phase("Running")
        parents = [instance_name("Stopping", target) for target in targets]
        await live.edit_all(parents, desiredState="Stopped")
        for parent in parents:
            await live.until_reason(parent, "Reconciling", "ChildrenStopping")
            refused = await live.until_reason(f"{parent}-child", "Ready", "HookFailed")
            cause = f"hook SteeredHook refused Stopping: RuntimeError: no licence for {parent}-child"
            assert refused["message"] == f"{cause}; retried every 10 s"
        hook.refused.clear()
        await self._set_all_states(live, "Stopping", to_requeue=[f"{parent}-child" for parent in parents])

    async def _set_all_states(self, live: LiveInstances, source: str, to_requeue: Iterable[str] = ()) -> None:
        """Set every desired state and check the phases that are entered; `{source}-{target}` names the instance.

        Afterwards, edit the instances in `to_requeue`, which would be retried only later.
        """
        before = {target: live.phase_history(instance_name(source, target)) for target in ROUTES[source]}
        await asyncio.gather(
            *(live.edit(instance_name(source, target), desiredState=target) for target in ROUTES[source])
        )
        await live.edit_all(to_requeue, displayName="requeue")
        for target, route in ROUTES[source].items():
            name = instance_name(source, target)
            await live.until_phase(target, name)
            assert live.phase_history(name) == [*before[target], *route]
            assert live.condition(name, "Ready")["reason"] == target
            assert live.is_ready(name)

    def test_the_routes_cover_every_phase(self) -> None:
        """An instance without a workload enters and leaves Starting in one write. Terminated is final."""
        assert ROUTES.keys() | {"Starting", "Terminated"} == set(Phase)


class TestTimestampsAndHistory:
    async def test_start_and_stop_set_their_timestamps(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        status = live.status("a")
        assert status["startedAt"] == status["lastTransitionTime"] == status["history"][-1]["time"]
        assert "stoppedAt" not in status
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert live.status("a")["stoppedAt"] == live.status("a")["lastTransitionTime"]
        assert live.status("a")["startedAt"] == status["startedAt"]

    async def test_pausing_and_resuming_keeps_the_start_time(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        started = live.status("a")["startedAt"]
        for state in ("Paused", "Running"):
            await live.edit("a", desiredState=state)
            await live.until_phase(state, "a")
        assert live.status("a")["startedAt"] == started

    async def test_the_history_keeps_the_newest_entries(self, live: LiveInstances, operator: Operator) -> None:
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
    async def test_the_reason_is_shown_in_condition_history_and_event(
        self, live: LiveInstances, operator: Operator
    ) -> None:
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

    async def test_a_changed_reason_is_shown_without_a_transition(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("a", desiredState="Stopped", reason="for now")
        await live.until_phase("Stopped", "a")
        await live.edit("a", reason="for good")
        await live.until(
            lambda: live.condition("a", "Ready")["message"] == "for good", "condition Ready shows the new reason"
        )
        assert len(live.status("a")["history"]) == 1


class TestRestart:
    STOP_AND_START = ("Stopping", "Stopped", "Starting", "Running")

    async def test_each_new_restartedat_restarts_once(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", reason="first start")
        await live.until_phase("Running", "a")
        before = live.phase_history("a")
        for count, restarted_at in enumerate(("2026-01-01T00:00:00Z", "2025-12-31T23:00:00+00:00"), 1):
            await live.edit("a", restartedAt=restarted_at, reason="new certificate")
            await live.until(lambda count=count: live.status("a").get("restarts") == count, f"{count} restarts")
            assert live.phase_history("a") == [*before, *self.STOP_AND_START * count]
            assert live.is_ready("a")
        stopping = live.status("a")["history"][-4]
        assert (stopping["reason"], stopping["message"]) == ("RestartRequested", "new certificate")

    async def test_the_same_restartedat_again_restarts_nothing(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "one restart")
        for same in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"):
            await live.edit("a", restartedAt=same, displayName=same)
            await live.until_phase("Running", "a")
        await live.edit("a", restartedAt=None)
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 1

    async def test_a_restart_requested_while_the_operator_is_away_happens_once(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create("a")
            await live.until_phase("Running", "a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        for _ in range(2):
            async with running_operator(live.namespace):
                await live.until(lambda: live.status("a").get("restarts") == 1 and live.is_ready("a"), "one restart")
        assert live.phase_history("a") == ["Created", *UP, *self.STOP_AND_START]

    @pytest.mark.parametrize("state", ["Stopped", "Archived", "Terminated"])
    async def test_a_restart_does_not_start_a_stopped_instance(
        self, live: LiveInstances, operator: Operator, state: str
    ) -> None:
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

    async def test_a_restarted_paused_instance_is_paused_again(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        before = live.phase_history("a")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "one restart")
        assert live.phase_history("a") == [*before, *self.STOP_AND_START, "Paused"]

    async def test_restartedat_of_a_new_instance_restarts_nothing(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 0
        assert live.phase_history("a") == ["Created", *UP]

    async def test_a_restart_of_the_parent_does_not_restart_its_children(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a"), manifest("b", "Orchestration", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "one restart")
        await live.edit("b", reason="requeued")
        await live.until(lambda: live.condition("b", "Ready")["message"] == "requeued", "b is reconciled")
        assert live.phase_history("b") == ["Created", *UP]


class TestKubectl:
    async def test_kubectl_waits_scales_and_prints_columns(
        self, live: LiveInstances, operator: Operator, cluster: Cluster
    ) -> None:
        async def kubectl(*args: str) -> str:
            return await asyncio.to_thread(cluster.kubectl, "--namespace", live.namespace, *args)

        await live.create_from(manifest("a", replicas=2), manifest("b", "Orchestration", "a"))
        output = await kubectl("wait", "--for=condition=Ready", "hi", "--all", "--timeout=30s")
        assert output.splitlines() == [f"hopperinstance.hopper.dev/{name} condition met" for name in "ab"]
        await kubectl("wait", "--for=jsonpath={.status.phase}=Running", "hi/a", "--timeout=30s")

        await kubectl("scale", "hi", "a", "--replicas=3")
        await live.until(lambda: live["a"]["spec"]["replicas"] == 3 and live.is_ready("a"), "a is scaled")
        assert live.phase_history("a") == ["Created", *UP]

        await live.edit("a", desiredState="Paused")
        await kubectl("wait", "--for=jsonpath={.status.phase}=Paused", "hi/b", "--timeout=30s")
        row = (await kubectl("get", "hi", "b")).splitlines()[1].split()
        assert row[:-1] == ["b", "Orchestration", "a", "Running", "Paused", "True"]

    async def test_applying_the_same_manifests_again_changes_nothing(
        self, live: LiveInstances, operator: Operator, cluster: Cluster
    ) -> None:
        manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*self._manifests()]})

        async def apply() -> list[str]:
            args = ("--namespace", live.namespace, "apply", "--filename=-")
            return (await asyncio.to_thread(cluster.kubectl, *args, input=manifests)).splitlines()

        await apply()
        await live.until_phase("Running", "global", "web", "worker")
        before = {name: live[name]["metadata"] for name in live.names}
        assert all(line.endswith(" unchanged") for line in await apply())
        for name, metadata in before.items():
            assert live[name]["metadata"].get("ownerReferences") == metadata.get("ownerReferences")
            assert live[name]["metadata"].get("finalizers") == metadata.get("finalizers")

    def _manifests(self) -> list[object]:
        return [
            manifest("worker", "Orchestration", "web"),
            manifest("web", "Project", "global"),
            manifest("global", "Global"),
        ]
