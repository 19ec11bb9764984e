"""Hooks before and after transitions, and restart policies for starts that a hook refuses."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hopper.api.enums import Phase
from hopper.controller.hooks import Hooks
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.steered_hooks import SteeredHook

NO_BACKOFF = {"backoffSeconds": 0, "maxBackoffSeconds": 1}
UP = ["Starting", "Running"]

INSTALLED_HOOKS = """
calls = []

class One:
    async def before(self, transition, instance):
        calls.append(f"{type(self).__name__} before {transition.target}")

    async def after(self, transition, instance):
        calls.append(f"{type(self).__name__} after {transition.target}")

class Two(One):
    pass
"""


@pytest.fixture
def hook() -> SteeredHook:
    return SteeredHook()


@pytest.fixture
async def operator(live: LiveInstances, hook: SteeredHook) -> AsyncIterator[Operator]:
    """Operator with a hook that the test controls."""
    async with running_operator(live.namespace, hooks=[hook]) as operator:
        yield operator


def error_count(live: LiveInstances, name: str) -> int:
    """Return how often the history enters phase Error."""
    return live.phase_history(name).count("Error")


class TestHooks:
    async def test_hooks_run_before_and_after_every_transition(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        await live.create("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await live.edit("a", desiredState="Archived")
        await live.until_phase("Archived", "a")
        phases = [Phase(step) for step in live.phase_history("a")[1:]]
        await live.until(lambda: len(hook.after_calls) == len(phases), "the after hooks of all phases have run")
        assert hook.before_calls == hook.after_calls == [("a", phase) for phase in phases]

    async def test_the_phase_is_written_between_the_before_and_after_hooks(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        release = hook.block("a", Phase.RUNNING)
        await live.create("a")
        await live.create("sibling")
        await live.until_phase("Running", "sibling")
        assert hook.before_calls[:2] == [("a", Phase.STARTING), ("a", Phase.RUNNING)]
        assert live.phase("a") is None
        assert ("a", Phase.STARTING) not in hook.after_calls
        release.set()
        await live.until_phase("Running", "a")

    async def test_a_refused_pause_is_retried(self, live: LiveInstances, operator: Operator, hook: SteeredHook) -> None:
        hook.refuse("a", Phase.PAUSED)
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", desiredState="Paused")
        refused = await live.until_reason("a", "Reconciling", "HookFailed")
        assert refused["message"] == (
            "hook SteeredHook refused Paused: RuntimeError: no licence for a; retried every 10 s"
        )
        assert live.phase("a") == "Running"
        assert not live.is_ready("a")
        hook.allow("a", Phase.PAUSED)
        await live.edit("a", displayName="requeue")
        await live.until_phase("Paused", "a")
        assert live.phase_history("a") == ["Created", *UP, "Paused"]

    async def test_a_refused_stop_of_a_child_holds_up_its_parent(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("b", Phase.STOPPED)
        await live.create_from(manifest("a"), manifest("b", "Orchestration", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", desiredState="Stopped")
        await live.until_reason("b", "Ready", "HookFailed")
        await live.until_reason("a", "Ready", "ChildrenStopping")
        hook.allow("b", Phase.STOPPED)
        await live.edit("b", displayName="requeue")
        await live.until_phase("Stopped", "a", "b")
        assert live.index_of_phase("b", "Stopped") < live.index_of_phase("a", "Stopped")

    async def test_a_before_hook_that_times_out_refuses_the_transition(
        self, live: LiveInstances, hook: SteeredHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Hooks, "installed", lambda extra, without_slot: Hooks(extra, 0.1, without_slot))
        hook.block("a", Phase.RUNNING)
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create("a", restartPolicy={"policy": "Never"})
            stalled = await live.until_reason("a", "Stalled", "RestartNever")
        assert "hook SteeredHook refused Running: timed out" in stalled["message"]

    async def test_a_failed_after_hook_is_only_logged(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(*_: object) -> None:
            raise RuntimeError("mail server not found")

        hook.after = fail  # type: ignore[method-assign]
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert live.phase_history("a") == ["Created", *UP, "Stopping", "Stopped"]
        assert "hook SteeredHook failed after Running" in caplog.text
        assert "mail server not found" in caplog.text

    async def test_a_hook_cannot_refuse_a_transition_to_error(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        hook.refuse("a", Phase.STARTING)
        hook.refuse("a", Phase.ERROR)
        await live.create("a", restartPolicy={"policy": "Never"})
        await live.until_phase("Error", "a")

    async def test_an_instance_can_be_deleted_while_its_hook_hangs(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        release = hook.block("a", Phase.STARTING)
        await live.create("a")
        await live.until(lambda: hook.before_calls, "the hook has been called")
        await live.delete("a")
        await live.until_gone("a")
        await live.create("a")
        release.set()
        await live.until_phase("Running", "a")

    async def test_installed_hooks_run_in_the_order_of_their_names(
        self, live: LiveInstances, hook: SteeredHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Installed hooks are entry points of a package. They run before the hooks passed to the operator."""
        metadata = tmp_path / "hopper_licences-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hopper-licences\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[hopper.hooks]\nb = licences:Two\na = licences:One\n")
        (tmp_path / "licences.py").write_text(INSTALLED_HOOKS)
        monkeypatch.syspath_prepend(tmp_path)
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create("a", desiredState="Stopped")
            await live.until_phase("Stopped", "a")
            calls = importlib.import_module("licences").calls
            await live.until(lambda: hook.after_calls, "all hooks have run")
        assert calls == ["One before Stopped", "Two before Stopped", "One after Stopped", "Two after Stopped"]


class TestRestartPolicy:
    async def test_a_failed_start_is_retried_until_it_succeeds(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("a", Phase.STARTING, 2)
        await live.create("a", restartPolicy=NO_BACKOFF)
        await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", *["Starting", "Error"] * 2, *UP]
        status = live.status("a")
        assert (status["restarts"], status["retries"]) == (2, 2)
        assert status["history"][1]["reason"] == "HookFailed"
        assert status["history"][-2]["reason"] == "RestartPolicy"
        assert (await live.until_event("a", "Error"))["type"] == "Warning"

    async def test_the_backoff_grows_with_each_retry(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("a", Phase.STARTING, 2)
        await live.create("a", restartPolicy={"backoffSeconds": 1, "maxBackoffSeconds": 60})
        backoff = await live.until_reason("a", "Reconciling", "BackOff")
        assert "no licence for a" in backoff["message"]
        assert not live.is_ready("a")
        await live.until_phase("Running", "a")
        history = live.status("a")["history"]
        waits = [
            (entry_time(restart) - entry_time(failure)).total_seconds()
            for failure, restart in pairwise(history)
            if (failure["to"], restart["to"]) == ("Error", "Starting")
        ]
        assert len(waits) == 2
        assert waits[0] >= 1
        assert waits[1] >= 2

    async def test_the_instance_stalls_after_its_last_retry(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy=NO_BACKOFF | {"maxRetries": 2})
        stalled = await live.until_reason("a", "Stalled", "RestartsExhausted")
        assert live.phase("a") == "Error"
        assert live.status("a")["restarts"] == 2
        assert error_count(live, "a") == 3
        assert live.condition("a", "Reconciling") == {}
        for word in ("no licence for a", "2 restarts", "restartedAt"):
            assert word in stalled["message"]

    async def test_policy_never_means_no_retry(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy={"policy": "Never"})
        stalled = await live.until_reason("a", "Stalled", "RestartNever")
        assert "restartPolicy.policy is Never" in stalled["message"]
        assert (error_count(live, "a"), live.status("a")["restarts"]) == (1, 0)

    async def test_policy_always_ignores_the_retry_limit(
        self, live: LiveInstances, operator: Operator, hook: SteeredHook
    ) -> None:
        hook.refuse("a", Phase.STARTING, 3)
        await live.create("a", restartPolicy=NO_BACKOFF | {"policy": "Always", "maxRetries": 1})
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 3
        conditions = (condition for event in live.instances.log for condition in conditions_of(event.object))
        assert not any(condition["type"] == "Stalled" for condition in conditions)

    async def test_retries_continue_after_an_operator_restart(self, live: LiveInstances, hook: SteeredHook) -> None:
        hook.refuse("a", Phase.STARTING, 1)
        async with running_operator(live.namespace, hooks=[hook]):
            await live.create("a", restartPolicy={"backoffSeconds": 2, "maxBackoffSeconds": 2})
            await live.until_phase("Error", "a")
        async with running_operator(live.namespace, hooks=[hook]):
            await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", "Starting", "Error", *UP]


class TestRecovery:
    @pytest.fixture
    async def exhausted(self, live: LiveInstances, operator: Operator, hook: SteeredHook) -> str:
        """Name of an instance that has used up its retries and would start now."""
        hook.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy=NO_BACKOFF | {"maxRetries": 0})
        await live.until_reason("a", "Stalled", "RestartsExhausted")
        hook.allow("a", Phase.STARTING)
        return "a"

    async def test_a_spec_change_retries_an_exhausted_instance(self, live: LiveInstances, exhausted: str) -> None:
        await live.edit(exhausted, displayName="new")
        await live.until_phase("Running", exhausted)
        assert live.is_ready(exhausted)
        assert live.condition(exhausted, "Stalled") == {}
        assert live.phase_history(exhausted) == ["Created", "Starting", "Error", *UP]
        assert live.status(exhausted)["history"][-2]["reason"] == "SpecChanged"

    async def test_a_requested_restart_retries_an_exhausted_instance(self, live: LiveInstances, exhausted: str) -> None:
        await live.edit(exhausted, restartedAt="2026-01-01T00:00:00Z", reason="new licence")
        await live.until_phase("Running", exhausted)
        entry = live.status(exhausted)["history"][-2]
        assert (entry["reason"], entry["message"]) == ("RestartRequested", "new licence")
        assert live.status(exhausted)["restarts"] == 1
        assert live.phase_history(exhausted) == ["Created", "Starting", "Error", *UP]

    async def test_a_spec_change_resets_the_retry_count(
        self, live: LiveInstances, exhausted: str, hook: SteeredHook
    ) -> None:
        hook.refuse(exhausted, Phase.STARTING, 2)
        await live.edit(exhausted, restartPolicy={"maxRetries": 1})
        await live.until_reason(exhausted, "Stalled", "RestartsExhausted")
        assert error_count(live, exhausted) == 3
        await live.edit(exhausted, restartPolicy={"maxRetries": 2})
        await live.until_phase("Running", exhausted)

    async def test_an_exhausted_instance_can_be_stopped_and_started(self, live: LiveInstances, exhausted: str) -> None:
        await live.edit(exhausted, desiredState="Stopped")
        await live.until_phase("Stopped", exhausted)
        assert live.is_ready(exhausted)
        assert live.condition(exhausted, "Stalled") == {}
        await live.edit(exhausted, desiredState="Running")
        await live.until_phase("Running", exhausted)

    async def test_children_wait_until_an_exhausted_parent_runs(self, live: LiveInstances, exhausted: str) -> None:
        await live.create("b", "Orchestration", exhausted)
        waiting = await live.until_reason("b", "Reconciling", "ParentNotReady")
        assert f'"{exhausted}", which is Error' in waiting["message"]
        await live.edit(exhausted, displayName="new")
        await live.until_phase("Running", exhausted, "b")
        assert live.index_of_phase(exhausted, "Running") < live.index_of_phase("b", "Running")


async def test_failing_and_hanging_instances_hold_up_no_siblings(
    live: LiveInstances, operator: Operator, hook: SteeredHook
) -> None:
    """More instances fail or hang than the operator has workers."""
    broken = [f"broken-{number}" for number in range(20)]
    for name in broken:
        hook.refuse(name, Phase.STARTING)
    await live.create("parent")
    await live.create_from(*(manifest(name, "Orchestration", "parent", restartPolicy=NO_BACKOFF) for name in broken))
    hanging = [f"hanging-{number}" for number in range(20)]
    releases = [hook.block(name, Phase.STARTING) for name in hanging]
    await live.create_from(*(manifest(name, "Orchestration", "parent") for name in hanging))
    await live.until(
        lambda: hook.before_calls.count(("hanging-19", Phase.STARTING)) == 1, "the last hook has been called"
    )
    siblings = [f"fine-{number}" for number in range(20)]
    await live.create_from(*(manifest(name, "Orchestration", "parent") for name in siblings))
    await live.until_phase("Running", *siblings)
    await live.edit("parent", desiredState="Paused")
    await live.until_phase("Paused", "parent", *siblings)
    for release in releases:
        release.set()
    await live.until_phase("Paused", *hanging)


async def test_the_last_of_many_edits_wins_despite_failed_starts(
    live: LiveInstances, operator: Operator, hook: SteeredHook
) -> None:
    hook.refuse("a", Phase.STARTING, 3)
    await live.create("a", restartPolicy=NO_BACKOFF)
    await asyncio.gather(*(live.edit("a", restartedAt=f"2026-01-01T00:00:0{n}Z") for n in range(5)))
    for state in ("Paused", "Stopped", "Running", "Paused"):
        await live.edit("a", desiredState=state)
    await live.until_phase("Paused", "a")
    assert live.is_ready("a")


def entry_time(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["time"])


def conditions_of(version: dict[str, Any]) -> list[dict[str, Any]]:
    conditions: list[dict[str, Any]] = version.get("status", {}).get("conditions", [])
    return conditions
