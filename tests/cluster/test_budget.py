"""How many requests the operator makes, by the API server's own count (design: Shape of the code, budget)."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable

import pytest

from hopper.api.names import FINALIZER
from hopper.controller.fanout import SUMMARY_DELAY
from hopper.controller.operator import Operator
from hopper.domain.planner import FIRST_STATUS_DELAY_SECONDS
from tests.cluster.support.in_process_operator import running
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.prometheus import PrometheusSamples

IDLE_SECONDS = 60
COUNT = 25
_COUNTED_SECONDS = 0.2


class Writes:
    """What was written to HopperInstances since the start of the count, by whomever."""

    def __init__(self, live: LiveInstances, before: Counter[tuple[str, ...]]) -> None:
        self._live = live
        self._before = before
        self._begun = time.monotonic()

    @classmethod
    async def begin(cls, live: LiveInstances) -> Writes:
        """Start when what was sent before is counted: the watch may tell of a write before the API server counts it."""
        before = await cls._read(live)
        while (now := await cls._read_later(live)) != before:
            before = now
        return cls(live, before)

    @classmethod
    async def _read_later(cls, live: LiveInstances) -> Counter[tuple[str, ...]]:
        await asyncio.sleep(_COUNTED_SECONDS)
        return await cls._read(live)

    @staticmethod
    async def _read(live: LiveInstances) -> Counter[tuple[str, ...]]:
        numbers = PrometheusSamples(await live.request("GET", "/metrics"), "apiserver_request_total")
        return numbers.by(
            "apiserver_request_total", "verb", "subresource", "code", group="hopper.dev", resource="hopperinstances"
        )

    async def patches(self, subresource: str, code: str | None = None) -> int:
        """Count the patches of the object itself (an empty `subresource`) or of its status."""
        codes = await self.codes(subresource)
        return codes.total() if code is None else codes[code]

    async def codes(self, subresource: str) -> Counter[str]:
        """Count them by the code of the answer."""
        now = await self._read(self._live)
        now.subtract(self._before)
        return Counter({code: n for (verb, sub, code), n in now.items() if (verb, sub) == ("PATCH", subresource) and n})

    async def settle(self, subresource: str, expected: int) -> None:
        """Wait until that many patches are counted (a request is counted when it has been answered), and not more."""
        codes = await self.codes(subresource)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while codes.total() < expected:
                    codes = await self.codes(subresource)
        wanted = {"200": expected} if expected else {}
        assert codes == wanted, f"patches of {subresource or 'objects'}: {codes} instead of {expected}"

    @property
    def seconds(self) -> float:
        """How long it has been counting."""
        return time.monotonic() - self._begun

    @property
    def summaries(self) -> int:
        """How often a parent may have written its children's numbers by now, besides what else it has to say."""
        return 1 + math.ceil(self.seconds / SUMMARY_DELAY)


def names(count: int = COUNT, prefix: str = "n") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def until_counted(live: LiveInstances, parent: str, total: int, ready: int | None = None) -> None:
    """Wait until a parent's summary is right: the last thing that is written after a change."""
    summary = {"total": total, "ready": total if ready is None else ready} if total else None
    await live.until(lambda: live.status(parent).get("children") == summary, f"{parent} counts {summary}")


class TestOneInstance:
    async def test_a_root_costs_one_write(self, live: LiveInstances, operator: Operator) -> None:
        writes = await Writes.begin(live)
        await live.create_from(*map(manifest, names()))
        await live.until_phase("Running", *names())
        await writes.settle("status", COUNT)
        await writes.settle("", 0)

    async def test_a_change_of_state_costs_one(self, live: LiveInstances, operator: Operator) -> None:
        """The design allows two."""
        await live.create_from(*map(manifest, names()))
        await live.until_phase("Running", *names())
        writes = await Writes.begin(live)
        states = ["Paused", "Running", "Stopped", "Paused", "Archived", "Terminated"]
        for turn, state in enumerate(states, 1):
            await live.edit_all(names(), desiredState=state)
            await live.until_phase(state, *names())
            await writes.settle("status", COUNT * turn)
        await writes.settle("", COUNT * len(states))  # the edits of this test

    async def test_a_restart_costs_one(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*map(manifest, names()))
        await live.until_phase("Running", *names())
        writes = await Writes.begin(live)
        await live.edit_all(names(), restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: all(live.status(name)["restarts"] == 1 for name in names()), "all have restarted")
        await writes.settle("status", COUNT)

    async def test_deletion_costs_none(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*map(manifest, names()))
        await live.until_phase("Running", *names())
        writes = await Writes.begin(live)
        await asyncio.gather(*map(live.delete, names()))
        await live.until_gone(*names())
        await writes.settle("status", 0)
        await writes.settle("", 0)

    async def test_what_is_not_ours_costs_none(self, live: LiveInstances, operator: Operator) -> None:
        """Labels and annotations are the user's, and are looked at without a write."""
        await live.create_from(*map(manifest, names()))
        await live.until_phase("Running", *names())
        writes, before = await Writes.begin(live), looks(operator)
        for turn in range(2):
            metadata = {"labels": {"team": f"blue-{turn}"}, "annotations": {"note": str(turn)}}
            await asyncio.gather(*(live.patch(name, {"metadata": metadata}) for name in names()))
        await live.until(lambda: looks(operator) >= before + COUNT, "the operator has looked")
        await live.until(lambda: not len(operator.queue), "the operator has finished")
        await writes.settle("", 2 * COUNT)
        await writes.settle("status", 0)
        assert live["n-0"]["metadata"]["labels"] == {"team": "blue-1"}

    async def test_events_are_one_for_each_step(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), *(manifest(name, "Event", "a") for name in names()))
        await live.until_phase("Running", "a", *names())
        expected = 2 * (1 + COUNT) + COUNT  # Starting and Running; ChildAdded
        await live.until(lambda: len(live.events.log) >= expected, "all Events")
        await live.until(lambda: not len(operator.events), "no Event waits")
        assert len(live.events.log) == expected


class TestParentAndChildren:
    async def test_children_cost_two_writes_and_parents_a_few(self, live: LiveInstances, operator: Operator) -> None:
        """A child: its ownerReference, its status. Its parent: the finalizer once, and a summary a second at most."""
        await live.create("home")
        await live.until_phase("Running", "home")
        writes = await Writes.begin(live)
        await live.create_from(*(manifest(name, "Event", "home") for name in names()))
        await live.until_phase("Running", *names())
        await until_counted(live, "home", COUNT)
        await writes.settle("", COUNT + 1)
        status = await writes.patches("status")
        assert COUNT < status <= COUNT + writes.summaries
        assert await writes.patches("status", "409") == await writes.patches("", "409") == 0

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_tree_at_once(self, live: LiveInstances, operator: Operator, reverse: bool) -> None:
        projects = names(4, "p")
        tree = [manifest("global", "Global"), *(manifest(name, "Project", "global") for name in projects)]
        workers = [f"{project}-{n}" for project in projects for n in range(10)]
        tree += [manifest(name, "Orchestration", name.rpartition("-")[0]) for name in workers]
        writes = await Writes.begin(live)
        await live.create_from(*(reversed(tree) if reverse else tree))
        # A child says that it waits for its parent where that does not follow at once.
        each = 1 if writes.seconds < FIRST_STATUS_DELAY_SECONDS - 1 else 2
        await live.until_phase("Running", "global", *projects, *workers)
        for project in projects:
            await until_counted(live, project, 10)
        await until_counted(live, "global", 4)
        parents = 1 + len(projects)
        # A guarded child of another may get its ownerReference and its finalizer in one write, or in two.
        assert len(tree) - 1 < await writes.patches("") <= len(tree) - 1 + parents
        assert await writes.patches("status") <= len(tree) * each + parents * writes.summaries

    async def test_what_an_ancestor_wants_costs_one_each(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("home"), *(manifest(name, "Event", "home") for name in names()))
        await live.until_phase("Running", "home", *names())
        await until_counted(live, "home", COUNT)
        # For each child, and for the parent, which waits for its children to stop.
        costs = (("Paused", 1, 1), ("Running", 1, 1), ("Stopped", 1, 2), ("Running", 2, 1))
        for state, each, own in costs:
            writes = await Writes.begin(live)
            await live.edit("home", desiredState=state)
            await live.until_phase(state, "home", *names())
            await until_counted(live, "home", COUNT)
            status = await writes.patches("status")
            assert COUNT < status <= COUNT * each + own + writes.summaries, state
            await writes.settle("", 1)  # the edit of this test

    async def test_deletion_costs_one_with_a_finalizer(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("home"),
            *(manifest(name, "Event", "home") for name in names(5)),
            *(manifest(f"{name}-{n}", "Orchestration", name) for name in names(5) for n in range(5)),
        )
        await live.until_phase("Running")
        await live.until(lambda: guarded(live) == {"home", *names(5)}, "all parents are guarded")
        await until_counted(live, "home", 5)
        for name in names(5):
            await until_counted(live, name, 5)
        writes = await Writes.begin(live)
        await live.delete("home")
        await live.until_gone("home")
        await writes.settle("", 6)
        await writes.settle("status", 0)

    async def test_moving_costs_two(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b"), *(manifest(name, "Event", "a") for name in names(10)))
        await live.until_phase("Running")
        await until_counted(live, "a", 10)
        writes = await Writes.begin(live)
        await live.edit_all(names(10), parentRef={"name": "b"})
        await until_counted(live, "b", 10)
        await until_counted(live, "a", 0)
        await live.until(lambda: guarded(live) == {"b"}, "a needs no finalizer any more")
        assert await writes.patches("status") <= 10 + 2 * writes.summaries
        await writes.settle("", 10 + 10 + 2)  # the edits of this test, the ownerReferences, the finalizers


async def test_two_hundred_at_rest(live: LiveInstances) -> None:
    """Not one write while idle, resyncs included; not one on a restart with nothing changed."""
    projects = names(10, "p")
    tree = [manifest("global", "Global"), *(manifest(name, "Project", "global") for name in projects)]
    tree += [
        manifest(f"{name}-{n}", "Orchestration", name, desiredState=state(n)) for name in projects for n in range(18)
    ]
    tree += [manifest(name, "Orchestration", "nobody") for name in names(5, "waiting")]
    tree += [manifest(name, "Event", "global", desiredState="Terminated") for name in names(4, "over")]
    async with running(live.namespace, resync_seconds=10) as operator:
        await live.create_from(*tree)
        assert len(live.names) == len(tree) == 200
        for name in names(5, "waiting"):
            await live.until_reason(name, "Ready", "ParentNotFound")
        for project in projects:
            await until_counted(live, project, 18)
        await until_counted(live, "global", 14)
        await live.until(lambda: sum(map(live.is_ready, live.names)) == 195, "all but those who wait are ready")
        related = sum(bool(live.owners(name)) for name in live.names)  # ChildAdded
        steps = sum(len(live.status(name).get("history", ())) for name in live.names)
        await live.until(lambda: len(live.events.log) >= related + steps, "all Events are sent")
        await _expect_rest(live, lambda: looks(operator) > 6 * 200)
    async with running(live.namespace) as operator:
        writes, seen = await Writes.begin(live), len(live.instances.log)
        await live.until(lambda: looks(operator) >= 200 and not len(operator.queue), "everybody was looked at")
        assert await writes.patches("") == await writes.patches("status") == 0
        assert len(live.instances.log) == seen


async def _expect_rest(live: LiveInstances, is_awake: Callable[[], bool]) -> None:
    """Watch for a minute that nothing is written, by an operator that is awake."""
    writes = await Writes.begin(live)
    seen, told = len(live.instances.log), len(live.events.log)
    with contextlib.suppress(AssertionError):
        await live.until(lambda: len(live.instances.log) > seen, "a write", seconds=IDLE_SECONDS)
    assert [(it.kind, it.name) for it in live.instances.log[seen:]] == []
    assert [(it.kind, it.name) for it in live.events.log[told:]] == []
    assert await writes.patches("") == await writes.patches("status") == 0
    assert is_awake()


def state(number: int) -> str:
    return ("Running", "Paused", "Stopped")[number % 3]


def guarded(live: LiveInstances) -> set[str]:
    return {name for name in live.names if FINALIZER in live[name]["metadata"].get("finalizers", [])}


def looks(operator: Operator) -> float:
    """Return how many reconciles there were."""
    return PrometheusSamples(operator.metrics.render().decode(), "hopper_reconciles").total("hopper_reconciles_total")
