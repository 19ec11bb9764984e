"""Convergence: the final state depends only on the specs, not on the edits that led to them."""

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
CONCURRENT_EDITS = 4
STATES = ["Running", "Running", "Paused", "Stopped"]
# Fields of the spec that edits change.
EDITED = ("desiredState", "parentRef", "config", "restartedAt", "reason")
# Fields of the status that depend on the edits.
PATH_DEPENDENT = {"generation", "observedGeneration", "restarts", "restartedAt", "retries", "history"}
PATH_DEPENDENT |= {"startedAt", "stoppedAt"}


def random_tree(rng: random.Random) -> list[Manifest]:
    """Return manifests of 40 instances of many scopes, most of them below others."""
    manifests = [manifest("global", "Global"), manifest("family", "Family", "global")]
    manifests += [manifest(f"p-{n}", "Project", rng.choice(["global", None])) for n in range(4)]
    manifests += [manifest(f"e-{n}", "Event", f"p-{n % 4}") for n in range(6)]
    manifests += [manifest(f"me-{n}", "Personal", "family") for n in range(3)]
    parents = [instance["metadata"]["name"] for instance in manifests[2:]]
    manifests += [
        manifest(f"w-{n}", "Orchestration", rng.choice(parents), reason=f"{n}") for n in range(40 - len(manifests))
    ]
    for instance in manifests[2:]:
        instance["spec"]["desiredState"] = rng.choice(STATES)
    return manifests


class Editor:
    """Client that edits, deletes and recreates random instances, and removes metadata that the operator wrote."""

    def __init__(self, live: LiveInstances, rng: random.Random, manifests: list[Manifest]) -> None:
        self._live = live
        self._rng = rng
        self._manifests = {instance["metadata"]["name"]: instance for instance in manifests}

    async def edit(self) -> None:
        """Make one random edit; the API server may reject it."""
        name = self._rng.choice(list(self._manifests))
        edits = [self._state, self._move, self._limits, self._restart, self._strip, self._label, self._recreate]
        edit = self._rng.choices(edits, weights=[4, 3, 1, 1, 2, 1, 1])[0]
        try:
            await edit(name)
        except RefusedError as refused:
            if refused.code not in (404, 409, 422):
                raise

    async def restore_specs(self) -> None:
        """Create missing instances, and give every instance its original spec."""
        live = self._live
        await live.until(
            lambda: not any(is_being_deleted(live, name) for name in live.names), "no instance is being deleted"
        )
        await self._create_missing()
        for name, instance in self._manifests.items():
            await live.patch(
                name, {"metadata": {"labels": None}, "spec": {**dict.fromkeys(EDITED), **instance["spec"]}}
            )

    async def _state(self, name: str) -> None:
        await self._live.edit(name, desiredState=self._rng.choice(STATES), reason=self._rng.choice(["why", "why not"]))

    async def _move(self, name: str) -> None:
        """Set a parent of a suitable scope, any parent, or a parent that does not exist."""
        scopes = SCOPES[self._manifests[name]["spec"]["scope"]].parents
        suitable = [other for other, instance in self._manifests.items() if instance["spec"]["scope"] in scopes]
        suitable = suitable or ["missing"]
        parent = self._rng.choice([*suitable, *suitable, "missing", self._rng.choice(list(self._manifests))])
        await self._live.edit(name, parentRef={"name": parent})

    async def _limits(self, name: str) -> None:
        limits = {"maxChildInstances": self._rng.choice([0, 2, None]), "maxDepth": self._rng.choice([1, 2, None])}
        await self._live.edit(name, config={"limits": limits})

    async def _restart(self, name: str) -> None:
        await self._live.edit(name, restartedAt=f"2026-01-01T00:{self._rng.randrange(60):02}:00Z")

    async def _strip(self, name: str) -> None:
        if not is_being_deleted(self._live, name):
            await self._live.patch(name, {"metadata": {self._rng.choice(["ownerReferences", "finalizers"]): None}})

    async def _label(self, name: str) -> None:
        await self._live.patch(name, {"metadata": {"labels": {"turn": str(self._rng.random())}}})

    async def _recreate(self, name: str) -> None:
        await self._live.delete(name, self._rng.choice(["Background", "Foreground", "Orphan"]))
        await self._live.until_gone(name)
        await self._create_missing()

    async def _create_missing(self) -> None:
        """Create the instances that were deleted, also with a parent. A concurrent edit may create them first."""
        missing = [instance for name, instance in self._manifests.items() if name not in self._live]
        for error in await asyncio.gather(*map(self._live.create_from, missing), return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, RefusedError):
                raise error


def is_being_deleted(live: LiveInstances, name: str) -> bool:
    return name in live and "deletionTimestamp" in live[name]["metadata"]


def final_state(live: LiveInstances) -> dict[str, Any]:
    """Return the part of the state of all instances that depends only on the specs."""

    def without_path_dependent(record: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in record.items() if key not in PATH_DEPENDENT}

    states = {name: without_path_dependent(state) for name, state in outcome(live).items()}
    for state in states.values():
        conditions = [without_path_dependent(condition) for condition in state["status"].get("conditions", ())]
        state["status"] = without_path_dependent(state["status"]) | {"conditions": conditions}
    return states


async def test_random_edits_end_in_the_state_of_a_fresh_apply(live: LiveInstances) -> None:
    rng = seeded_random("random edits")
    manifests = random_tree(rng)
    names = [instance["metadata"]["name"] for instance in manifests]
    editor = Editor(live, rng, manifests)
    async with fresh_namespace() as fresh, running_operator(live.namespace, fresh.namespace):
        await live.create_from(*manifests)
        limit = asyncio.Semaphore(CONCURRENT_EDITS)

        async def edit_once() -> None:
            async with limit:
                await editor.edit()

        await asyncio.gather(*(edit_once() for _ in range(EDITS)))
        await editor.restore_specs()
        await fresh.create_from(*manifests)
        await fresh.until(lambda: all(map(fresh.is_ready, names)), "all are ready")
        try:
            await live.until(lambda: final_state(live) == final_state(fresh), "the same final state in both namespaces")
        except AssertionError as error:
            lines = differences(final_state(live), final_state(fresh))
            raise AssertionError("\n".join([str(error), *lines])) from None
