"""Write budget of the operator for instances without a workload, by the API server's own count of requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from hopper.api.names import FINALIZER
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest, numbered_names
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.request_counter import WriteCounter
from tests.cluster.support.watch_recorder import recorded_versions

IDLE_SECONDS = 60
COUNT = 25
NAMES = numbered_names(COUNT)


async def until_summary(live: LiveInstances, parent: str, total: int) -> None:
    """Wait until a parent counts this number of children, all ready: the last write after a change."""
    summary = {"total": total, "ready": total} if total else None
    await live.until(lambda: live.status(parent).get("children") == summary, f"{parent} with the summary {summary}")


def has_finalizer(live: LiveInstances, name: str) -> bool:
    return FINALIZER in live[name]["metadata"].get("finalizers", [])


def names_with_finalizer(live: LiveInstances) -> set[str]:
    return {name for name in live.names if has_finalizer(live, name)}


def was_created_phase_reported(live: LiveInstances, name: str) -> bool:
    """Whether the operator has written a status while the instance was still in phase Created."""
    statuses = (version.get("status", {}) for version in recorded_versions(live.instances, name))
    return any(status.get("phase") == "Created" and status.get("conditions") for status in statuses)


def reconciles(operator: Operator) -> float:
    """Return the number of reconciles so far."""
    return PrometheusSamples(operator.metrics.render().decode(), "hopper_reconciles").total("hopper_reconciles_total")


class TestOneInstance:
    async def test_creating_a_root_costs_one_status_write(self, live: LiveInstances, operator: Operator) -> None:
        writes = await WriteCounter.start(live)
        await live.create_from(*map(manifest, NAMES))
        await live.until_phase("Running", *NAMES)
        await writes.expect("status", COUNT)
        await writes.expect("", 0)

    async def test_changing_the_desired_state_costs_one_status_write(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        """The design allows two."""
        await live.create_from(*map(manifest, NAMES))
        await live.until_phase("Running", *NAMES)
        writes = await WriteCounter.start(live)
        states = ["Paused", "Running", "Stopped", "Paused", "Archived", "Terminated"]
        for turn, state in enumerate(states, 1):
            await live.edit_all(NAMES, desiredState=state)
            await live.until_phase(state, *NAMES)
            await writes.expect("status", COUNT * turn)
        await writes.expect("", COUNT * len(states))  # the edits of this test

    async def test_restarting_costs_one_status_write(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*map(manifest, NAMES))
        await live.until_phase("Running", *NAMES)
        writes = await WriteCounter.start(live)
        await live.edit_all(NAMES, restartedAt="2026-01-01T00:00:00Z")
        await live.until(lambda: all(live.status(name)["restarts"] == 1 for name in NAMES), "one restart of each")
        await writes.expect("status", COUNT)

    async def test_deleting_costs_no_write(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*map(manifest, NAMES))
        await live.until_phase("Running", *NAMES)
        writes = await WriteCounter.start(live)
        await asyncio.gather(*map(live.delete, NAMES))
        await live.until_gone(*NAMES)
        await writes.expect("status", 0)
        await writes.expect("", 0)

    async def test_changing_labels_and_annotations_costs_no_write(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(*map(manifest, NAMES))
        await live.until_phase("Running", *NAMES)
        writes, before = await WriteCounter.start(live), reconciles(operator)
        for turn in range(2):
            metadata = {"labels": {"team": f"blue-{turn}"}, "annotations": {"note": str(turn)}}
            await asyncio.gather(*(live.patch(name, {"metadata": metadata}) for name in NAMES))
        await live.until(lambda: reconciles(operator) >= before + COUNT, "each instance has been reconciled")
        await live.until(lambda: not len(operator.queue), "the queue is empty")
        await writes.expect("", 2 * COUNT)
        await writes.expect("status", 0)
        assert live["n-0"]["metadata"]["labels"] == {"team": "blue-1"}

    async def test_each_transition_creates_one_event(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), *(manifest(name, "Event", "a") for name in NAMES))
        await live.until_phase("Running", "a", *NAMES)
        expected = 2 * (1 + COUNT) + COUNT  # Starting and Running; ChildAdded
        await live.until(lambda: len(live.events.log) >= expected, "all Events")
        await live.until(lambda: not len(operator.events), "no Event is left to send")
        assert len(live.events.log) == expected


class TestParentAndChildren:
    async def test_creating_a_child_costs_two_writes_and_a_share_of_the_parents_summary(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        """Two writes of the child: ownerReference and status.

        The finalizer of the parent is written once, and its summary at most once a second.
        """
        await live.create("home")
        await live.until_phase("Running", "home")
        writes = await WriteCounter.start(live)
        await live.create_from(*(manifest(name, "Event", "home") for name in NAMES))
        await live.until_phase("Running", *NAMES)
        await until_summary(live, "home", COUNT)
        await writes.expect("", COUNT + 1)
        status = await writes.patches("status")
        assert COUNT < status <= COUNT + writes.max_summary_writes
        assert await writes.patches("status", "409") == await writes.patches("", "409") == 0

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_creating_a_whole_tree_at_once_costs_no_extra_writes(
        self, live: LiveInstances, operator: Operator, reverse: bool
    ) -> None:
        projects = numbered_names(4, "p")
        tree = [manifest("global", "Global"), *(manifest(name, "Project", "global") for name in projects)]
        workers = [f"{project}-{n}" for project in projects for n in range(10)]
        tree += [manifest(name, "Orchestration", name.rpartition("-")[0]) for name in workers]
        writes = await WriteCounter.start(live)
        await live.create_from(*(reversed(tree) if reverse else tree))
        await live.until_phase("Running", "global", *projects, *workers)
        for project in projects:
            await until_summary(live, project, 10)
        await until_summary(live, "global", 4)
        parents = 1 + len(projects)
        # An instance that is both child and parent gets its ownerReference and its finalizer in one write or in two.
        assert len(tree) - 1 < await writes.patches("") <= len(tree) - 1 + parents
        # On a slow machine a parent is accepted so late that its child first gets a status that says what it waits for.
        waited = sum(was_created_phase_reported(live, name) for name in live.names)
        assert await writes.patches("status") <= len(tree) + waited + parents * writes.max_summary_writes

    async def test_changing_the_state_of_an_ancestor_costs_one_status_write_for_each_transition(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("home"), *(manifest(name, "Event", "home") for name in NAMES))
        await live.until_phase("Running", "home", *NAMES)
        await until_summary(live, "home", COUNT)
        # State of the parent, status writes for each child, and status writes for the parent.
        # A parent that stops first shows that it waits for its children.
        costs = (("Paused", 1, 1), ("Running", 1, 1), ("Stopped", 1, 2), ("Running", 2, 1))
        for state, per_child, for_parent in costs:
            writes = await WriteCounter.start(live)
            await live.edit("home", desiredState=state)
            await live.until_phase(state, "home", *NAMES)
            await until_summary(live, "home", COUNT)
            status = await writes.patches("status")
            assert COUNT < status <= COUNT * per_child + for_parent + writes.max_summary_writes, state
            await writes.expect("", 1)  # the edit of this test

    async def test_deleting_a_tree_costs_one_write_for_each_finalizer(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        branches = numbered_names(5)
        await live.create_from(
            manifest("home"),
            *(manifest(name, "Event", "home") for name in branches),
            *(manifest(f"{name}-{n}", "Orchestration", name) for name in branches for n in range(5)),
        )
        await live.until_phase("Running")
        await live.until(lambda: names_with_finalizer(live) == {"home", *branches}, "all parents have the finalizer")
        await until_summary(live, "home", 5)
        for name in branches:
            await until_summary(live, name, 5)
        writes = await WriteCounter.start(live)
        await live.delete("home")
        await live.until_gone("home")
        await writes.expect("", 6)
        await writes.expect("status", 0)

    async def test_moving_a_child_costs_two_writes(self, live: LiveInstances, operator: Operator) -> None:
        children = numbered_names(10)
        await live.create_from(manifest("a"), manifest("b"), *(manifest(name, "Event", "a") for name in children))
        await live.until_phase("Running")
        await until_summary(live, "a", 10)
        writes = await WriteCounter.start(live)
        await live.edit_all(children, parentRef={"name": "b"})
        await until_summary(live, "b", 10)
        await until_summary(live, "a", 0)
        await live.until(lambda: names_with_finalizer(live) == {"b"}, "the finalizer of a is removed")
        assert await writes.patches("status") <= 10 + 2 * writes.max_summary_writes
        await writes.expect("", 10 + 10 + 2)  # the edits of this test, the ownerReferences, the finalizers


async def test_two_hundred_settled_instances_cost_no_write(live: LiveInstances) -> None:
    """Neither while the operator is idle and resyncs, nor when it restarts and nothing has changed."""
    projects = numbered_names(10, "p")
    waiting = numbered_names(5, "waiting")
    states = ("Running", "Paused", "Stopped")
    tree = [manifest("global", "Global"), *(manifest(name, "Project", "global") for name in projects)]
    tree += [
        manifest(f"{name}-{n}", "Orchestration", name, desiredState=states[n % 3])
        for name in projects
        for n in range(18)
    ]
    tree += [manifest(name, "Orchestration", "missing") for name in waiting]
    tree += [manifest(name, "Event", "global", desiredState="Terminated") for name in numbered_names(4, "over")]
    async with running_operator(live.namespace, resync_seconds=10) as operator:
        await live.create_from(*tree)
        assert len(live.names) == len(tree) == 200
        for name in waiting:
            await live.until_reason(name, "Ready", "ParentNotFound")
        for project in projects:
            await until_summary(live, project, 18)
        await until_summary(live, "global", 14)
        await live.until(lambda: sum(map(live.is_ready, live.names)) == 195, "all but the waiting instances are ready")
        children = sum(bool(live.owner_names(name)) for name in live.names)  # ChildAdded
        transitions = sum(len(live.status(name).get("history", ())) for name in live.names)
        await live.until(lambda: len(live.events.log) >= children + transitions, "all Events are sent")
        await expect_no_writes_for_a_minute(live, lambda: reconciles(operator) > 6 * 200)
    async with running_operator(live.namespace) as operator:
        writes, versions = await WriteCounter.start(live), len(live.instances.log)
        has_settled = lambda: reconciles(operator) >= 200 and not len(operator.queue)  # noqa: E731
        await live.until(has_settled, "each instance has been reconciled")
        assert await writes.patches("") == await writes.patches("status") == 0
        assert len(live.instances.log) == versions


async def expect_no_writes_for_a_minute(live: LiveInstances, has_reconciled: Callable[[], bool]) -> None:
    """Check that an operator writes nothing although it reconciles."""
    writes = await WriteCounter.start(live)
    versions, events = len(live.instances.log), len(live.events.log)
    with contextlib.suppress(AssertionError):
        await live.until(lambda: len(live.instances.log) > versions, "a write", seconds=IDLE_SECONDS)
    assert [(event.event_type, event.name) for event in live.instances.log[versions:]] == []
    assert [(event.event_type, event.name) for event in live.events.log[events:]] == []
    assert await writes.patches("") == await writes.patches("status") == 0
    assert has_reconciled()
