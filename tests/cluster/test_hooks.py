"""Hooks before and after transitions, and the Error that a refused start is: back-off, giving up, coming back."""

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

AT_ONCE = {"backoffSeconds": 0, "maxBackoffSeconds": 1}
UP = ["Starting", "Running"]

INSTALLED = """
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
def steered() -> SteeredHook:
    return SteeredHook()


@pytest.fixture
async def operator(live: LiveInstances, steered: SteeredHook) -> AsyncIterator[Operator]:
    """An operator with a hook that the test steers."""
    async with running_operator(live.namespace, hooks=[steered]) as operator:
        yield operator


def failed(live: LiveInstances, name: str) -> int:
    """Count how often an instance came into Error, as far as the history goes back."""
    return live.phase_history(name).count("Error")


class TestHooks:
    async def test_run_around_every_transition(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        await live.create("a", desiredState="Paused")
        await live.until_phase("Paused", "a")
        await live.edit("a", desiredState="Archived")
        await live.until_phase("Archived", "a")
        phases = [Phase(step) for step in live.phase_history("a")[1:]]
        await live.until(lambda: len(steered.after_calls) == len(phases), "all hooks have run")
        assert steered.before_calls == steered.after_calls == [("a", phase) for phase in phases]

    async def test_before_comes_before_the_write_and_after_comes_after(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        go_on = steered.block("a", Phase.RUNNING)
        await live.create("a")
        await live.create("sibling")
        await live.until_phase("Running", "sibling")
        assert steered.before_calls[:2] == [("a", Phase.STARTING), ("a", Phase.RUNNING)]
        assert live.phase("a") is None
        assert ("a", Phase.STARTING) not in steered.after_calls
        go_on.set()
        await live.until_phase("Running", "a")

    async def test_a_refused_pause_is_tried_again(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        steered.refuse("a", Phase.PAUSED)
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", desiredState="Paused")
        refused = await live.until_reason("a", "Reconciling", "HookFailed")
        assert refused["message"] == (
            "hook SteeredHook refused Paused: RuntimeError: no licence for a; retried every 10 s"
        )
        assert live.phase("a") == "Running"
        assert not live.is_ready("a")
        steered.allow("a", Phase.PAUSED)
        await live.edit("a", displayName="look again")
        await live.until_phase("Paused", "a")
        assert live.phase_history("a") == ["Created", *UP, "Paused"]

    async def test_a_refused_stop_keeps_the_parent_up(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        steered.refuse("b", Phase.STOPPED)
        await live.create_from(manifest("a"), manifest("b", "Orchestration", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", desiredState="Stopped")
        await live.until_reason("b", "Ready", "HookFailed")
        await live.until_reason("a", "Ready", "ChildrenStopping")
        steered.allow("b", Phase.STOPPED)
        await live.edit("b", displayName="look again")
        await live.until_phase("Stopped", "a", "b")
        assert live.index_of_phase("b", "Stopped") < live.index_of_phase("a", "Stopped")

    async def test_what_takes_too_long_is_refused(
        self, live: LiveInstances, steered: SteeredHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Hooks, "installed", lambda extra, without_slot: Hooks(extra, 0.1, without_slot))
        steered.block("a", Phase.RUNNING)
        async with running_operator(live.namespace, hooks=[steered]):
            await live.create("a", restartPolicy={"policy": "Never"})
            stalled = await live.until_reason("a", "Stalled", "RestartNever")
        assert "hook SteeredHook refused Running: timed out" in stalled["message"]

    async def test_after_cannot_do_harm(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(*_: object) -> None:
            raise RuntimeError("cannot notify anybody")

        steered.after = fail  # type: ignore[method-assign]
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        assert live.phase_history("a") == ["Created", *UP, "Stopping", "Stopped"]
        assert "hook SteeredHook failed after Running" in caplog.text
        assert "cannot notify anybody" in caplog.text

    async def test_nobody_can_refuse_an_error(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook, caplog: pytest.LogCaptureFixture
    ) -> None:
        steered.refuse("a", Phase.STARTING)
        steered.refuse("a", Phase.ERROR)
        await live.create("a", restartPolicy={"policy": "Never"})
        await live.until_phase("Error", "a")

    async def test_deletion_of_what_hangs_in_a_hook(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        go_on = steered.block("a", Phase.STARTING)
        await live.create("a")
        await live.until(lambda: steered.before_calls, "the hook hangs")
        await live.delete("a")
        await live.until_gone("a")
        await live.create("a")
        go_on.set()
        await live.until_phase("Running", "a")

    async def test_installed_ones_run_by_name_before_the_given_ones(
        self, live: LiveInstances, steered: SteeredHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A package offers its hooks as entry points."""
        metadata = tmp_path / "hopper_licences-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hopper-licences\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[hopper.hooks]\nb = licences:Two\na = licences:One\n")
        (tmp_path / "licences.py").write_text(INSTALLED)
        monkeypatch.syspath_prepend(tmp_path)
        async with running_operator(live.namespace, hooks=[steered]):
            await live.create("a", desiredState="Stopped")
            await live.until_phase("Stopped", "a")
            calls = importlib.import_module("licences").calls
            await live.until(lambda: steered.after_calls, "all have run")
        assert calls == ["One before Stopped", "Two before Stopped", "One after Stopped", "Two after Stopped"]


class TestRestartPolicy:
    async def test_tries_again_until_it_works(
        self, live: LiveInstances, operator: Operator, steered: SteeredHook
    ) -> None:
        steered.refuse("a", Phase.STARTING, 2)
        await live.create("a", restartPolicy=AT_ONCE)
        await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", *["Starting", "Error"] * 2, *UP]
        status = live.status("a")
        assert (status["restarts"], status["retries"]) == (2, 2)
        assert status["history"][1]["reason"] == "HookFailed"
        assert status["history"][-2]["reason"] == "RestartPolicy"
        assert (await live.until_event("a", "Error"))["type"] == "Warning"

    async def test_waits_longer_each_time(self, live: LiveInstances, operator: Operator, steered: SteeredHook) -> None:
        steered.refuse("a", Phase.STARTING, 2)
        await live.create("a", restartPolicy={"backoffSeconds": 1, "maxBackoffSeconds": 60})
        held = await live.until_reason("a", "Reconciling", "BackOff")
        assert "no licence for a" in held["message"]
        assert not live.is_ready("a")
        await live.until_phase("Running", "a")
        history = live.status("a")["history"]
        waits = [
            (moment(two) - moment(one)).total_seconds()
            for one, two in pairwise(history)
            if (one["to"], two["to"]) == ("Error", "Starting")
        ]
        assert len(waits) == 2
        assert waits[0] >= 1
        assert waits[1] >= 2

    async def test_gives_up(self, live: LiveInstances, operator: Operator, steered: SteeredHook) -> None:
        steered.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy=AT_ONCE | {"maxRetries": 2})
        stalled = await live.until_reason("a", "Stalled", "RestartsExhausted")
        assert live.phase("a") == "Error"
        assert live.status("a")["restarts"] == 2
        assert failed(live, "a") == 3
        assert live.condition("a", "Reconciling") == {}
        for word in ("no licence for a", "2 restarts", "restartedAt"):
            assert word in stalled["message"]

    async def test_never(self, live: LiveInstances, operator: Operator, steered: SteeredHook) -> None:
        steered.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy={"policy": "Never"})
        stalled = await live.until_reason("a", "Stalled", "RestartNever")
        assert "restartPolicy.policy is Never" in stalled["message"]
        assert (failed(live, "a"), live.status("a")["restarts"]) == (1, 0)

    async def test_always_does_not_give_up(self, live: LiveInstances, operator: Operator, steered: SteeredHook) -> None:
        steered.refuse("a", Phase.STARTING, 3)
        await live.create("a", restartPolicy=AT_ONCE | {"policy": "Always", "maxRetries": 1})
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 3
        assert not any(it["type"] == "Stalled" for seen in live.instances.log for it in conditions_of(seen.object))

    async def test_goes_on_after_an_operator_restart(self, live: LiveInstances, steered: SteeredHook) -> None:
        steered.refuse("a", Phase.STARTING, 1)
        async with running_operator(live.namespace, hooks=[steered]):
            await live.create("a", restartPolicy={"backoffSeconds": 2, "maxBackoffSeconds": 2})
            await live.until_phase("Error", "a")
        async with running_operator(live.namespace, hooks=[steered]):
            await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", "Starting", "Error", *UP]


class TestComingBack:
    @pytest.fixture
    async def given_up(self, live: LiveInstances, operator: Operator, steered: SteeredHook) -> str:
        """The name of an instance that is Stalled, though its trouble is over."""
        steered.refuse("a", Phase.STARTING)
        await live.create("a", restartPolicy=AT_ONCE | {"maxRetries": 0})
        await live.until_reason("a", "Stalled", "RestartsExhausted")
        steered.allow("a", Phase.STARTING)
        return "a"

    async def test_by_a_change_of_the_spec(self, live: LiveInstances, given_up: str) -> None:
        await live.edit(given_up, displayName="mended")
        await live.until_phase("Running", given_up)
        assert live.is_ready(given_up)
        assert live.condition(given_up, "Stalled") == {}
        assert live.phase_history(given_up) == ["Created", "Starting", "Error", *UP]
        assert live.status(given_up)["history"][-2]["reason"] == "SpecChanged"

    async def test_by_a_restart(self, live: LiveInstances, given_up: str) -> None:
        await live.edit(given_up, restartedAt="2026-01-01T00:00:00Z", reason="new licence")
        await live.until_phase("Running", given_up)
        entry = live.status(given_up)["history"][-2]
        assert (entry["reason"], entry["message"]) == ("RestartRequested", "new licence")
        assert live.status(given_up)["restarts"] == 1
        assert live.phase_history(given_up) == ["Created", "Starting", "Error", *UP]

    async def test_with_all_its_tries(self, live: LiveInstances, given_up: str, steered: SteeredHook) -> None:
        """A change of the spec starts the count anew."""
        steered.refuse(given_up, Phase.STARTING, 2)
        await live.edit(given_up, restartPolicy={"maxRetries": 1})
        await live.until_reason(given_up, "Stalled", "RestartsExhausted")
        assert failed(live, given_up) == 3
        await live.edit(given_up, restartPolicy={"maxRetries": 2})
        await live.until_phase("Running", given_up)

    async def test_by_stopping(self, live: LiveInstances, given_up: str) -> None:
        await live.edit(given_up, desiredState="Stopped")
        await live.until_phase("Stopped", given_up)
        assert live.is_ready(given_up)
        assert live.condition(given_up, "Stalled") == {}
        await live.edit(given_up, desiredState="Running")
        await live.until_phase("Running", given_up)

    async def test_children_wait_meanwhile(self, live: LiveInstances, given_up: str) -> None:
        await live.create("b", "Orchestration", given_up)
        waits = await live.until_reason("b", "Reconciling", "ParentNotReady")
        assert f'"{given_up}", which is Error' in waits["message"]
        await live.edit(given_up, displayName="mended")
        await live.until_phase("Running", given_up, "b")
        assert live.index_of_phase(given_up, "Running") < live.index_of_phase("b", "Running")


async def test_the_trouble_of_one_is_not_the_trouble_of_others(
    live: LiveInstances, operator: Operator, steered: SteeredHook
) -> None:
    """More instances in trouble than the operator has workers: in Error, refused, and stuck in a parent's hook."""
    broken = [f"broken-{number}" for number in range(20)]
    for name in broken:
        steered.refuse(name, Phase.STARTING)
    await live.create("home")
    await live.create_from(*(manifest(name, "Orchestration", "home", restartPolicy=AT_ONCE) for name in broken))
    hanging = [f"hanging-{number}" for number in range(20)]
    events = [steered.block(name, Phase.STARTING) for name in hanging]
    await live.create_from(*(manifest(name, "Orchestration", "home") for name in hanging))
    await live.until(lambda: steered.before_calls.count(("hanging-19", Phase.STARTING)) == 1, "the hooks hang")
    siblings = [f"fine-{number}" for number in range(20)]
    await live.create_from(*(manifest(name, "Orchestration", "home") for name in siblings))
    await live.until_phase("Running", *siblings)
    await live.edit("home", desiredState="Paused")
    await live.until_phase("Paused", "home", *siblings)
    for event in events:
        event.set()
    await live.until_phase("Paused", *hanging)


async def test_restart_under_fire(live: LiveInstances, operator: Operator, steered: SteeredHook) -> None:
    """Many edits while the start fails now and then: the last one counts."""
    steered.refuse("a", Phase.STARTING, 3)
    await live.create("a", restartPolicy=AT_ONCE)
    await asyncio.gather(*(live.edit("a", restartedAt=f"2026-01-01T00:00:0{n}Z") for n in range(5)))
    for state in ("Paused", "Stopped", "Running", "Paused"):
        await live.edit("a", desiredState=state)
    await live.until_phase("Paused", "a")
    assert live.is_ready("a")


def moment(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["time"])


def conditions_of(version: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = version.get("status", {}).get("conditions", [])
    return found
