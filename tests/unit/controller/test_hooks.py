"""Hooks: their order, their refusals, and that none of them can do more harm than that."""

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
    """Writes down what it is called for; `act` runs in each call."""

    def __init__(self, name: str, heard: list[str], act: Callable[[Phase], None] = lambda target: None) -> None:
        self.name, self.heard, self.act = name, heard, act

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        self.heard.append(f"{self.name} before {transition.target} of {instance.name}")
        self.act(transition.target)

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        self.heard.append(f"{self.name} after {transition.target} of {instance.name}")
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


async def test_without_hooks_nothing_is_refused() -> None:
    hooks = Hooks()
    assert await hooks.before(START, WEB) is None
    await hooks.after(START, WEB)


async def test_all_are_called_for_each_transition_in_order() -> None:
    heard: list[str] = []
    hooks = Hooks([Recorder("a", heard), Recorder("b", heard)])
    assert await hooks.before(START, WEB) is None
    await hooks.after(START[:1], WEB)
    assert heard == [
        "a before Starting of web",
        "b before Starting of web",
        "a before Running of web",
        "b before Running of web",
        "a after Starting of web",
        "b after Starting of web",
    ]


async def test_the_first_refusal_counts_and_says_who_and_why() -> None:
    heard: list[str] = []
    hooks = Hooks([Recorder("a", heard, refuse(Phase.RUNNING)), Recorder("b", heard)])
    failure = await hooks.before(START, WEB)
    assert failure is not None
    assert (failure.source, failure.target) == (Phase.STARTING, Phase.RUNNING)
    assert failure.message == "hook Recorder refused Running: RuntimeError: no licence left"
    assert heard[-1] == "a before Running of web"


async def test_one_that_takes_too_long_refuses() -> None:
    failure = await Hooks([Slow("slow", [])], timeout=30).before(START, WEB)
    assert failure is not None
    assert failure.message == "hook Slow refused Starting: timed out"
    assert asyncio.get_running_loop().time() == 30


async def test_nobody_can_refuse_an_error(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    hooks = Hooks([Recorder("a", heard, refuse(Phase.ERROR)), Recorder("b", heard)])
    assert await hooks.before(FAIL, WEB) is None
    assert heard == ["a before Error of web", "b before Error of web"]
    assert "no licence left" in caplog.text


async def test_what_after_raises_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    hooks = Hooks([Recorder("a", heard, refuse(Phase.STARTING)), Slow("slow", heard), Recorder("b", heard)], timeout=30)
    await hooks.after(START, WEB)
    assert heard[-1] == "b after Running of web"
    assert "hook Recorder failed after Starting" in caplog.text
    assert "hook Slow failed after Starting" in caplog.text


async def test_to_be_cancelled_is_no_refusal() -> None:
    task = asyncio.create_task(Hooks([Slow("slow", [])]).before(START, WEB))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_installed_ones_come_by_name_and_before_the_given_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setitem(globals(), "first", lambda: Recorder("first", heard))
    monkeypatch.setitem(globals(), "second", lambda: Recorder("second", heard))
    found = [
        metadata.EntryPoint(name, f"{__name__}:{of}", ENTRY_POINTS) for name, of in (("b", "second"), ("a", "first"))
    ]
    monkeypatch.setattr("hopper.controller.hooks.entry_points", lambda group: found if group == ENTRY_POINTS else [])
    await Hooks.installed([Recorder("given", heard)]).after(START[:1], WEB)
    assert [it.split()[0] for it in heard] == ["first", "second", "given"]
