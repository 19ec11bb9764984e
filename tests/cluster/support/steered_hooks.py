"""Hook that a test controls: it refuses or blocks transitions, and records all calls."""

from __future__ import annotations

import asyncio
from collections import Counter

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.domain.plan import Transition

InstancePhase = tuple[str, Phase]  # name of the instance, phase that it enters


class SteeredHook:
    """Hook whose result a test chooses; `before_calls` and `after_calls` list all calls."""

    def __init__(self) -> None:
        self.refused: Counter[InstancePhase] = Counter()  # number of refusals left
        self.blocked: dict[InstancePhase, asyncio.Event] = {}
        self.before_calls: list[InstancePhase] = []
        self.after_calls: list[InstancePhase] = []

    def refuse(self, name: str, phase: Phase, times: int = 1_000_000) -> None:
        self.refused[name, phase] = times

    def allow(self, name: str, phase: Phase) -> None:
        del self.refused[name, phase]

    def block(self, name: str, phase: Phase) -> asyncio.Event:
        """Hold up a transition until the returned event is set."""
        self.blocked[name, phase] = asyncio.Event()
        return self.blocked[name, phase]

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        step = instance.name, transition.target
        self.before_calls.append(step)
        if step in self.blocked:
            await self.blocked[step].wait()
        if self.refused[step] > 0:
            self.refused[step] -= 1
            raise RuntimeError(f"no licence for {instance.name}")

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        self.after_calls.append((instance.name, transition.target))
