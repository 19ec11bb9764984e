"""The end state follows from the specs alone, whatever has happened on the way."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hopper.api.resources import Manifest
from hopper.api.scopes import SCOPES
from tests.cluster.support.chaos_tree import outcome
from tests.cluster.support.convergence import differences, seeded_random
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, RefusedError, fresh_namespace, manifest

EDITS = 200
AT_ONCE = 4
STATES = ["Running", "Running", "Paused", "Stopped"]
# What edits may leave behind in a spec.
EDITED = ("desiredState", "parentRef", "config", "restartedAt", "reason")
# Told by the way, not by the specs.
PASSING = {"generation", "observedGeneration", "restarts", "restartedAt", "retries", "history"}
PASSING |= {"startedAt", "stoppedAt"}


def tree(rng: random.Random) -> list[Manifest]:
    """40 instances of many scopes below each other."""
    made = [manifest("global", "Global"), manifest("family", "Family", "global")]
    made += [manifest(f"p-{n}", "Project", rng.choice(["global", None])) for n in range(4)]
    made += [manifest(f"e-{n}", "Event", f"p-{n % 4}") for n in range(6)]
    made += [manifest(f"me-{n}", "Personal", "family") for n in range(3)]
    homes = [it["metadata"]["name"] for it in made[2:]]
    made += [manifest(f"w-{n}", "Orchestration", rng.choice(homes), reason=f"{n}") for n in range(40 - len(made))]
    for it in made[2:]:
        it["spec"]["desiredState"] = rng.choice(STATES)
    return made


class Editor:
    """Changes instances at random: states, parents, limits, labels, metadata that is not the user's, life and death."""

    def __init__(self, live: LiveInstances, rng: random.Random, specs: list[Manifest]) -> None:
        self._live = live
        self._rng = rng
        self._specs = {it["metadata"]["name"]: it for it in specs}

    async def edit(self) -> None:
        """Make one edit; what the API server refuses is none."""
        name = self._rng.choice(list(self._specs))
        ways = [self._state, self._move, self._limits, self._restart, self._strip, self._label, self._rebirth]
        way = self._rng.choices(ways, weights=[4, 3, 1, 1, 2, 1, 1])[0]
        try:
            await way(name)
        except RefusedError as refused:
            if refused.code not in (404, 409, 422):
                raise

    async def settle(self) -> None:
        """Bring every spec to what it is to be in the end."""
        live = self._live
        await live.until(lambda: not any(is_going(live, name) for name in live.names), "nothing is being deleted")
        await self._revive()
        for name, wanted in self._specs.items():
            await live.patch(name, {"metadata": {"labels": None}, "spec": {**dict.fromkeys(EDITED), **wanted["spec"]}})

    async def _state(self, name: str) -> None:
        await self._live.edit(name, desiredState=self._rng.choice(STATES), reason=self._rng.choice(["why", "why not"]))

    async def _move(self, name: str) -> None:
        """Move it below somebody fitting, or anybody, or nobody."""
        scopes = SCOPES[self._specs[name]["spec"]["scope"]].parents
        fitting = [it for it, spec in self._specs.items() if spec["spec"]["scope"] in scopes] or ["nobody"]
        parent = self._rng.choice([*fitting, *fitting, "nobody", self._rng.choice(list(self._specs))])
        await self._live.edit(name, parentRef={"name": parent})

    async def _limits(self, name: str) -> None:
        limits = {"maxChildInstances": self._rng.choice([0, 2, None]), "maxDepth": self._rng.choice([1, 2, None])}
        await self._live.edit(name, config={"limits": limits})

    async def _restart(self, name: str) -> None:
        await self._live.edit(name, restartedAt=f"2026-01-01T00:{self._rng.randrange(60):02}:00Z")

    async def _strip(self, name: str) -> None:
        if not is_going(self._live, name):
            await self._live.patch(name, {"metadata": {self._rng.choice(["ownerReferences", "finalizers"]): None}})

    async def _label(self, name: str) -> None:
        await self._live.patch(name, {"metadata": {"labels": {"turn": str(self._rng.random())}}})

    async def _rebirth(self, name: str) -> None:
        await self._live.delete(name, self._rng.choice(["Background", "Foreground", "Orphan"]))
        await self._live.until_gone(name)
        await self._revive()

    async def _revive(self) -> None:
        """Create what is gone, by itself or with a parent. Another edit may be faster."""
        gone = [it for name, it in self._specs.items() if name not in self._live]
        for error in await asyncio.gather(*map(self._live.create_from, gone), return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, RefusedError):
                raise error


def is_going(live: LiveInstances, name: str) -> bool:
    return name in live and "deletionTimestamp" in live[name]["metadata"]


def end_state(live: LiveInstances) -> dict[str, Any]:
    """Return everything that follows from the specs."""

    def lasting(record: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in record.items() if key not in PASSING}

    found = {name: lasting(it) for name, it in outcome(live).items()}
    for it in found.values():
        conditions = [lasting(condition) for condition in it["status"].get("conditions", ())]
        it["status"] = lasting(it["status"]) | {"conditions": conditions}
    return found


async def test_random_edits_end_as_a_fresh_apply(live: LiveInstances) -> None:
    rng = seeded_random("random edits")
    specs = tree(rng)
    names = [it["metadata"]["name"] for it in specs]
    editor = Editor(live, rng, specs)
    async with fresh_namespace() as fresh, running_operator(live.namespace, fresh.namespace):
        await live.create_from(*specs)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                await editor.edit()

        await asyncio.gather(*(one() for _ in range(EDITS)))
        await editor.settle()
        await fresh.create_from(*specs)
        await fresh.until(lambda: all(map(fresh.is_ready, names)), "all are ready")
        try:
            await live.until(lambda: end_state(live) == end_state(fresh), "the same end state")
        except AssertionError as error:
            found = differences(end_state(live), end_state(fresh))
            raise AssertionError("\n".join([str(error), *found])) from None
