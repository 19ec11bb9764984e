"""States that children inherit from their ancestors, and the order in which a tree starts and stops."""

from __future__ import annotations

import pytest

from hopper.api.enums import DesiredState, Phase
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.steered_hooks import SteeredHook

STATES = [state.value for state in DesiredState]

# Effective state of a child, by the desired state of its parent and its own.
EFFECTIVE_STATES: dict[str, dict[str, str]] = {
    "Running": {state: state for state in STATES},
    "Paused": {**{state: state for state in STATES}, "Running": "Paused"},
    "Stopped": {**{state: state for state in STATES}, "Running": "Stopped", "Paused": "Stopped"},
    "Archived": {**{state: state for state in STATES}, "Running": "Stopped", "Paused": "Stopped"},
    "Terminated": dict.fromkeys(STATES, "Terminated"),
}


def child_name(parent: str, own: str) -> str:
    return f"{parent}-{own}".lower()


def assert_effective_state(
    live: LiveInstances, name: str, own: str, expected: str, ancestor: str, scope: str = "Project"
) -> None:
    """Check the effective state, and that condition Ready names the ancestor that it is inherited from."""
    assert live.is_ready(name)
    assert live.status(name)["effectiveState"] == expected
    ready = live.condition(name, "Ready")
    if own == expected:
        assert ready["reason"] == own
    else:
        assert ready["reason"] == "InheritedFrom"
        assert ready["message"].startswith(f'{expected} by {scope} "{ancestor}"')


class TestEffectiveState:
    async def test_new_children_settle_in_their_effective_state(self, live: LiveInstances, operator: Operator) -> None:
        children = [(parent, own) for parent in STATES for own in STATES]
        await live.create_from(
            *(manifest(child_name(parent, own), "Event", parent.lower(), desiredState=own) for parent, own in children),
            *(manifest(parent.lower(), desiredState=parent) for parent in STATES),
        )
        for parent, own in children:
            name, expected = child_name(parent, own), EFFECTIVE_STATES[parent][own]
            await live.until_phase(expected, name)
            assert_effective_state(live, name, own, expected, parent.lower())
            if EFFECTIVE_STATES[parent]["Running"] not in ("Running", "Paused"):
                assert "Running" not in live.phase_history(name), "the child is not started only to be stopped"

    async def test_children_follow_changes_of_their_parents_state(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        """The children are in their own desired states before the parents' desired states change."""
        own_states = ["Running", "Paused", "Stopped"]
        children = [(parent, own) for parent in STATES for own in own_states]
        await live.create_from(
            *(manifest(parent.lower()) for parent in STATES),
            *(manifest(child_name(parent, own), "Event", parent.lower(), desiredState=own) for parent, own in children),
        )
        for parent, own in children:
            await live.until_phase(own, child_name(parent, own))
        for parent in STATES:
            await live.edit(parent.lower(), desiredState=parent, reason=f"now {parent}")
        for parent, own in children:
            name, expected = child_name(parent, own), EFFECTIVE_STATES[parent][own]
            await live.until_phase(expected, name)
            assert_effective_state(live, name, own, expected, parent.lower())
            if own != expected:
                assert live.condition(name, "Ready")["message"].endswith(f": now {parent}")
                assert live.status(name)["history"][-1]["reason"] == "InheritedFrom"
        await live.until_phase("Terminated", "terminated")
        for parent in ("Paused", "Stopped"):
            await live.edit(parent.lower(), desiredState="Running")
        for parent in ("Paused", "Stopped"):
            for own in own_states:
                await live.until_phase(own, child_name(parent, own))
                assert_effective_state(live, child_name(parent, own), own, own, "")

    async def test_the_most_restrictive_state_of_all_ancestors_applies(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(
            manifest("global", "Global"),
            manifest("web", "Project", "global"),
            manifest("party", "Event", "web"),
            manifest("worker", "Orchestration", "party"),
        )
        await live.until_phase("Running")

        async def expect(state: str, ancestor: str, scope: str) -> None:
            await live.until_phase(state, "worker")
            message = f'{state} by {scope} "{ancestor}"'
            await live.until(lambda: live.condition("worker", "Ready")["message"] == message, message)

        await live.edit("global", desiredState="Paused")
        await expect("Paused", "global", "Global")
        await live.edit("party", desiredState="Stopped")
        await expect("Stopped", "party", "Event")
        await live.edit("web", desiredState="Stopped")
        await expect("Stopped", "party", "Event")  # the nearest of two ancestors with the same state
        await live.edit("party", desiredState="Running")
        await expect("Stopped", "web", "Project")
        await live.edit("web", desiredState="Running")
        await expect("Paused", "global", "Global")
        await live.edit("global", desiredState="Running")
        await live.until_phase("Running", "global", "web", "party", "worker")
        await live.until(
            lambda: live.condition("worker", "Ready")["reason"] == "Running", "worker is in its own desired state"
        )

    async def test_a_childs_own_state_applies_once_its_stopped_parent_runs(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a", desiredState="Stopped"), manifest("b", "Event", "a"))
        await live.until_phase("Stopped", "a", "b")
        await live.edit("b", desiredState="Paused")
        await live.until(lambda: live.is_observed("b"), "b is observed")
        assert_effective_state(live, "b", "Paused", "Stopped", "a")
        await live.edit("a", desiredState="Running")
        await live.until_phase("Paused", "b")

    async def test_a_changed_reason_is_shown_by_the_children(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a", desiredState="Paused", reason="lunch"), manifest("b", "Event", "a"))
        await live.until_phase("Paused", "a", "b")
        assert live.condition("b", "Ready")["message"] == 'Paused by Project "a": lunch'
        await live.edit("a", reason="siesta")
        await live.until(lambda: live.condition("b", "Ready")["message"].endswith(": siesta"), "b shows the new reason")


class TestTerminated:
    async def test_a_terminated_child_stays_terminated_after_moving(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a"), manifest("other"), manifest("b", "Event", "a"))
        await live.until_phase("Running")
        await live.edit("a", desiredState="Terminated")
        await live.until_phase("Terminated", "a", "b")
        await live.edit("b", parentRef={"name": "other"})
        stalled = await live.until_reason("b", "Stalled", "AlreadyFinal")
        assert "delete the instance and create it again" in stalled["message"]
        assert live.phase_history("b")[-1] == "Terminated"

    async def test_a_new_child_of_a_terminated_parent_is_terminated_at_once(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("a", desiredState="Terminated")
        await live.until_phase("Terminated", "a")
        await live.create("b", "Event", "a")
        await live.until_phase("Terminated", "b")
        assert live.phase_history("b") == ["Created", "Terminated"]

    async def test_the_name_of_a_deleted_terminated_instance_can_be_reused(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a", desiredState="Terminated"), manifest("b", "Event", "a"))
        await live.until_phase("Terminated", "a", "b")
        await live.delete("a")
        await live.until_gone("a", "b")
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        assert live.phase_history("a") == ["Created", "Starting", "Running"]


class TestStartAndStopOrder:
    TREE = (("worker", "Orchestration", "web"), ("web", "Project", "global"), ("global", "Global", None))
    NAMES = ("global", "web", "worker")

    @pytest.fixture
    def hook(self) -> SteeredHook:
        return SteeredHook()

    async def test_parents_start_first_and_stop_last(self, live: LiveInstances, hook: SteeredHook) -> None:
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create_from(*(manifest(*entry) for entry in self.TREE))
            await live.until_phase("Running", *self.NAMES)
            started = [live.index_of_phase(name, "Running") for name in self.NAMES]
            assert started == sorted(started)
            log_length = len(live.instances.log)
            await live.edit("global", desiredState="Stopped")
            await live.until_phase("Stopped", *self.NAMES)
            stopped = [live.index_of_phase(name, "Stopped", log_length) for name in reversed(self.NAMES)]
            assert stopped == sorted(stopped)
            entered = [name for name, phase in hook.before_calls if phase is Phase.STOPPED]
            assert list(dict.fromkeys(reversed(entered))) == list(self.NAMES)
            log_length = len(live.instances.log)
            await live.edit("global", desiredState="Running")
            await live.until_phase("Running", *self.NAMES)
            started = [live.index_of_phase(name, "Running", log_length) for name in self.NAMES]
            assert started == sorted(started)

    async def test_a_parent_waits_for_a_slow_child(self, live: LiveInstances, hook: SteeredHook) -> None:
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create_from(*(manifest(*entry) for entry in self.TREE))
            await live.until_phase("Running", *self.NAMES)
            release = hook.block("worker", Phase.STOPPED)
            await live.edit("global", desiredState="Stopped")
            for parent in ("global", "web"):
                await live.until_reason(parent, "Reconciling", "ChildrenStopping")
                assert live.phase(parent) == "Stopping"
            release.set()
            await live.until_phase("Stopped", *self.NAMES)

    async def test_a_child_waits_for_a_slow_parent(self, live: LiveInstances, hook: SteeredHook) -> None:
        release = hook.block("global", Phase.RUNNING)
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create_from(*(manifest(*entry) for entry in self.TREE))
            for child in ("web", "worker"):
                await live.until_reason(child, "Reconciling", "ParentNotReady")
                assert live.phase(child) == "Created"
            release.set()
            await live.until_phase("Running", *self.NAMES)

    async def test_a_new_child_of_a_paused_parent_starts_and_is_paused(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await live.create("b", "Event", "a")
        await live.until_phase("Paused", "b")
        assert live.phase_history("b") == ["Created", "Starting", "Running", "Paused"]
