"""Hooks that tests steer: they refuse, they wait, and they remember."""

from __future__ import annotations

import asyncio
from collections import Counter

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.domain.plan import Transition

Place = tuple[str, Phase]  # name of the instance, phase to be entered


class SteeredHook:
    """Refuses and blocks the transitions it is told to; `before_calls` and `after_calls` list them all."""

    def __init__(self) -> None:
        self.refused: Counter[Place] = Counter()  # how many times more
        self.blocked: dict[Place, asyncio.Event] = {}
        self.before_calls: list[Place] = []
        self.after_calls: list[Place] = []

    def refuse(self, name: str, phase: Phase, times: int = 1_000_000) -> None:
        self.refused[name, phase] = times

    def allow(self, name: str, phase: Phase) -> None:
        del self.refused[name, phase]

    def block(self, name: str, phase: Phase) -> asyncio.Event:
        """Hold a transition until the answered event is set."""
        self.blocked[name, phase] = asyncio.Event()
        return self.blocked[name, phase]

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        place = instance.name, transition.target
        self.before_calls.append(place)
        if place in self.blocked:
            await self.blocked[place].wait()
        if self.refused[place] > 0:
            self.refused[place] -= 1
            raise RuntimeError(f"no licence for {instance.name}")

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        self.after_calls.append((instance.name, transition.target))
