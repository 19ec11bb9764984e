"""Hooks: their order, their refusals, and their failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import metadata

import pytest

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.controller.hooks import ENTRY_POINTS, Hooks
from hopper.domain.plan import Transition
from tests.unit.domain.sample_instances import instance

pytestmark = pytest.mark.looptime

START = (
    Transition(Phase.CREATED, Phase.STARTING, Reason.DESIRED_STATE),
    Transition(Phase.STARTING, Phase.RUNNING, Reason.DESIRED_STATE),
)
FAIL = (Transition(Phase.RUNNING, Phase.ERROR, Reason.HOOK_FAILED),)
WEB = instance("web")


class Recorder:
    """A hook that records its calls and runs `act` in each of them."""

    def __init__(self, name: str, calls: list[str], act: Callable[[Phase], None] = lambda target: None) -> None:
        self.name, self.calls, self.act = name, calls, act

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        self.calls.append(f"{self.name} before {transition.target} of {instance.name}")
        self.act(transition.target)

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        self.calls.append(f"{self.name} after {transition.target} of {instance.name}")
        self.act(transition.target)


class Slow(Recorder):
    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        await asyncio.sleep(3600)

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        await asyncio.sleep(3600)


def refuse(target: Phase) -> Callable[[Phase], None]:
    def act(phase: Phase) -> None:
        if phase is target:
            raise RuntimeError("no licence left")

    return act


async def test_without_hooks_no_transition_is_refused() -> None:
    hooks = Hooks()
    assert await hooks.before(START, WEB) is None
    await hooks.after(START, WEB)


async def test_all_hooks_are_called_for_each_transition_in_order() -> None:
    calls: list[str] = []
    hooks = Hooks([Recorder("a", calls), Recorder("b", calls)])
    assert await hooks.before(START, WEB) is None
    await hooks.after(START[:1], WEB)
    assert calls == [
        "a before Starting of web",
        "b before Starting of web",
        "a before Running of web",
        "b before Running of web",
        "a after Starting of web",
        "b after Starting of web",
    ]


async def test_the_first_refusal_is_returned_with_hook_and_reason() -> None:
    calls: list[str] = []
    hooks = Hooks([Recorder("a", calls, refuse(Phase.RUNNING)), Recorder("b", calls)])
    failure = await hooks.before(START, WEB)
    assert failure is not None
    assert (failure.source, failure.target) == (Phase.STARTING, Phase.RUNNING)
    assert failure.message == "hook Recorder refused Running: RuntimeError: no licence left"
    assert calls[-1] == "a before Running of web"


async def test_a_hook_that_times_out_refuses() -> None:
    failure = await Hooks([Slow("slow", [])], timeout=30).before(START, WEB)
    assert failure is not None
    assert failure.message == "hook Slow refused Starting: timed out"
    assert asyncio.get_running_loop().time() == 30


async def test_a_transition_to_error_cannot_be_refused(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    hooks = Hooks([Recorder("a", calls, refuse(Phase.ERROR)), Recorder("b", calls)])
    assert await hooks.before(FAIL, WEB) is None
    assert calls == ["a before Error of web", "b before Error of web"]
    assert "no licence left" in caplog.text


async def test_a_failure_of_after_is_logged_and_the_other_hooks_are_called(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    hooks = Hooks([Recorder("a", calls, refuse(Phase.STARTING)), Slow("slow", calls), Recorder("b", calls)], timeout=30)
    await hooks.after(START, WEB)
    assert calls[-1] == "b after Running of web"
    assert "hook Recorder failed after Starting" in caplog.text
    assert "hook Slow failed after Starting" in caplog.text


async def test_cancellation_is_not_a_refusal() -> None:
    task = asyncio.create_task(Hooks([Slow("slow", [])]).before(START, WEB))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_installed_hooks_run_by_name_and_before_given_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setitem(globals(), "first", lambda: Recorder("first", calls))
    monkeypatch.setitem(globals(), "second", lambda: Recorder("second", calls))
    entries = [
        metadata.EntryPoint(name, f"{__name__}:{of}", ENTRY_POINTS) for name, of in (("b", "second"), ("a", "first"))
    ]
    monkeypatch.setattr("hopper.controller.hooks.entry_points", lambda group: entries if group == ENTRY_POINTS else [])
    await Hooks.installed([Recorder("given", calls)]).after(START[:1], WEB)
    assert [call.split()[0] for call in calls] == ["first", "second", "given"]
