"""The journal records events in order, and clients can continue after any recent one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.enums import Phase, Scope
from hopper.api.instance import HISTORY_LIMIT, HistoryEntry, HopperInstance
from hopper.gateway.discovery import Journal
from hopper.registry import InstanceChange
from tests.unit.domain.sample_instances import NOW, instance, transition_entry
from tests.unit.registry.sample_heartbeats import recreated


def journal(capacity: int = 100) -> Journal:
    opened = Journal(capacity, clock=lambda: NOW, epoch="now")
    opened.open()
    return opened


def recorded(journal: Journal, since: int = 0) -> list[str]:
    """Return the events after a revision as `kind name`."""
    return [f"{entry.kind} {entry.name}" for entry in journal.since(since) or ()]


def step(instance: HopperInstance, *entries: HistoryEntry) -> HopperInstance:
    history = (*instance.status.history, *entries)[-HISTORY_LIMIT:]
    return replace(instance, status=replace(instance.status, history=history, phase=entries[-1].to))


WORKER = instance("worker", Scope.ORCHESTRATION, parent="web", phase=Phase.STARTING)


class TestChanges:
    def test_a_new_instance(self) -> None:
        written = journal()
        written.record(InstanceChange(None, WORKER))
        assert recorded(written) == ["registered worker", "child_added worker"]
        (first, second) = written.since(0) or ()
        assert first.detail == {"scope": "Orchestration", "phase": "Starting", "parent": "web"}
        assert (second.detail, second.uid, second.time) == ({"parent": "web"}, "uid-worker", NOW)

    def test_a_deleted_instance(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, None))
        assert recorded(written) == ["child_removed worker", "unregistered worker"]

    def test_a_changed_parent(self) -> None:
        written = journal()
        written.record(
            InstanceChange(WORKER, instance("worker", Scope.ORCHESTRATION, parent="shop", phase=Phase.STARTING))
        )
        assert recorded(written) == [
            "child_removed worker",
            "child_added worker",
            "parent_changed worker",
            "changed worker",
        ]
        assert [entry.detail for entry in written.since(0) or ()][:3] == [
            {"parent": "web"},
            {"parent": "shop"},
            {"from": "web", "to": "shop"},
        ]

    def test_all_transitions_of_one_write(self) -> None:
        written = journal()
        steps = (transition_entry(Phase.CREATED, Phase.STARTING), transition_entry(Phase.STARTING, Phase.RUNNING))
        written.record(InstanceChange(WORKER, step(WORKER, *steps)))
        assert recorded(written) == ["transition worker", "transition worker", "changed worker"]
        assert [entry.detail.get("to") for entry in written.since(0) or ()][:2] == ["Starting", "Running"]

    @given(known=st.integers(0, 2 * HISTORY_LIMIT), fresh=st.integers(0, HISTORY_LIMIT - 1))
    def test_only_new_transitions_are_recorded(self, known: int, fresh: int) -> None:
        def entry(n: int) -> HistoryEntry:
            return transition_entry(Phase.RUNNING, Phase.PAUSED, message=str(n))

        old = step(WORKER, *map(entry, range(known))) if known else WORKER
        new = step(old, *(entry(known + n) for n in range(fresh))) if fresh else old
        written = journal()
        written.record(InstanceChange(old, new))
        messages = [entry.detail["message"] for entry in written.since(0) or () if entry.kind == "transition"]
        assert messages == [str(known + n) for n in range(fresh)]

    def test_a_new_object_with_the_same_name(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, recreated(WORKER)))
        assert recorded(written) == [
            "child_removed worker",
            "unregistered worker",
            "registered worker",
            "child_added worker",
        ]

    def test_the_initial_list_is_not_recorded(self) -> None:
        written = Journal()
        written.record(InstanceChange(None, WORKER))
        assert (written.revision, written.since(0)) == (0, [])


class TestResume:
    def test_events_after_a_revision(self) -> None:
        written = journal()
        for _ in range(3):
            written.record(InstanceChange(WORKER, WORKER))
        assert [entry.revision for entry in written.since(1) or ()] == [2, 3]
        assert written.since(3) == []

    def test_dropped_events_cannot_be_resumed(self) -> None:
        written = journal(capacity=2)
        for _ in range(5):
            written.record(InstanceChange(WORKER, WORKER))
        assert [entry.revision for entry in written.since(3) or ()] == [4, 5]
        assert written.since(2) is None

    def test_a_future_revision_cannot_be_resumed(self) -> None:
        assert journal().since(1) is None

    def test_tokens_of_another_process_are_rejected(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, WORKER))
        assert written.revision_of(written.token(1)) == 1
        assert written.revision_of(Journal(epoch="other").token(0)) is None

    @pytest.mark.parametrize(
        "token", ["", "now", "now-", "now-x", "now-2", "now--1", "now-²", "1", f"now-{'9' * 5000}"]
    )
    def test_invalid_tokens_are_rejected(self, token: str) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, WORKER))
        assert written.revision_of(token) is None

    @given(writes=st.integers(0, 30), capacity=st.integers(1, 20), asked=st.integers(0, 30))
    def test_each_event_is_returned_once(self, writes: int, capacity: int, asked: int) -> None:
        written = journal(capacity)
        for _ in range(writes):
            written.record(InstanceChange(WORKER, WORKER))
        result = written.since(asked)
        if asked <= writes and writes - asked <= capacity:
            assert result is not None
            assert [entry.revision for entry in result] == list(range(asked + 1, writes + 1))
        else:
            assert result is None


class TestWait:
    async def test_wait_returns_after_a_new_event(self) -> None:
        written = journal()
        waiting = [asyncio.create_task(written.wait(0)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        written.record(InstanceChange(WORKER, WORKER))
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await written.wait(0)

    async def test_a_cancelled_wait_is_removed(self) -> None:
        written = journal()
        waiting: asyncio.Task[Any] = asyncio.create_task(written.wait(0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert written.waiter_count == 0
