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
        log = journal()
        log.record(InstanceChange(None, WORKER))
        assert recorded(log) == ["registered worker", "child_added worker"]
        (first, second) = log.since(0) or ()
        assert first.detail == {"scope": "Orchestration", "phase": "Starting", "parent": "web"}
        assert (second.detail, second.uid, second.time) == ({"parent": "web"}, "uid-worker", NOW)

    def test_a_deleted_instance(self) -> None:
        log = journal()
        log.record(InstanceChange(WORKER, None))
        assert recorded(log) == ["child_removed worker", "unregistered worker"]

    def test_a_changed_parent(self) -> None:
        log = journal()
        log.record(InstanceChange(WORKER, instance("worker", Scope.ORCHESTRATION, parent="shop", phase=Phase.STARTING)))
        assert recorded(log) == [
            "child_removed worker",
            "child_added worker",
            "parent_changed worker",
            "changed worker",
        ]
        assert [entry.detail for entry in log.since(0) or ()][:3] == [
            {"parent": "web"},
            {"parent": "shop"},
            {"from": "web", "to": "shop"},
        ]

    def test_all_transitions_of_one_write(self) -> None:
        log = journal()
        steps = (transition_entry(Phase.CREATED, Phase.STARTING), transition_entry(Phase.STARTING, Phase.RUNNING))
        log.record(InstanceChange(WORKER, step(WORKER, *steps)))
        assert recorded(log) == ["transition worker", "transition worker", "changed worker"]
        assert [entry.detail.get("to") for entry in log.since(0) or ()][:2] == ["Starting", "Running"]

    @given(known=st.integers(0, 2 * HISTORY_LIMIT), fresh=st.integers(0, HISTORY_LIMIT - 1))
    def test_only_new_transitions_are_recorded(self, known: int, fresh: int) -> None:
        def entry(n: int) -> HistoryEntry:
            return transition_entry(Phase.RUNNING, Phase.PAUSED, message=str(n))

        old = step(WORKER, *map(entry, range(known))) if known else WORKER
        new = step(old, *(entry(known + n) for n in range(fresh))) if fresh else old
        log = journal()
        log.record(InstanceChange(old, new))
        messages = [entry.detail["message"] for entry in log.since(0) or () if entry.kind == "transition"]
        assert messages == [str(known + n) for n in range(fresh)]

    def test_a_new_object_with_the_same_name(self) -> None:
        log = journal()
        log.record(InstanceChange(WORKER, recreated(WORKER)))
        assert recorded(log) == [
            "child_removed worker",
            "unregistered worker",
            "registered worker",
            "child_added worker",
        ]

    def test_the_initial_list_is_not_recorded(self) -> None:
        log = Journal()
        log.record(InstanceChange(None, WORKER))
        assert (log.revision, log.since(0)) == (0, [])


class TestResume:
    def test_events_after_a_revision(self) -> None:
        log = journal()
        for _ in range(3):
            log.record(InstanceChange(WORKER, WORKER))
        assert [entry.revision for entry in log.since(1) or ()] == [2, 3]
        assert log.since(3) == []

    def test_dropped_events_cannot_be_resumed(self) -> None:
        log = journal(capacity=2)
        for _ in range(5):
            log.record(InstanceChange(WORKER, WORKER))
        assert [entry.revision for entry in log.since(3) or ()] == [4, 5]
        assert log.since(2) is None

    def test_a_future_revision_cannot_be_resumed(self) -> None:
        assert journal().since(1) is None

    def test_tokens_of_another_process_are_rejected(self) -> None:
        log = journal()
        log.record(InstanceChange(WORKER, WORKER))
        assert log.revision_of(log.token(1)) == 1
        assert log.revision_of(Journal(epoch="other").token(0)) is None

    @pytest.mark.parametrize(
        "token", ["", "now", "now-", "now-x", "now-2", "now--1", "now-²", "1", f"now-{'9' * 5000}"]
    )
    def test_invalid_tokens_are_rejected(self, token: str) -> None:
        log = journal()
        log.record(InstanceChange(WORKER, WORKER))
        assert log.revision_of(token) is None

    @given(writes=st.integers(0, 30), capacity=st.integers(1, 20), revision=st.integers(0, 30))
    def test_each_event_is_returned_once(self, writes: int, capacity: int, revision: int) -> None:
        log = journal(capacity)
        for _ in range(writes):
            log.record(InstanceChange(WORKER, WORKER))
        result = log.since(revision)
        if revision <= writes and writes - revision <= capacity:
            assert result is not None
            assert [entry.revision for entry in result] == list(range(revision + 1, writes + 1))
        else:
            assert result is None


class TestWait:
    async def test_wait_returns_after_a_new_event(self) -> None:
        log = journal()
        waiting = [asyncio.create_task(log.wait(0)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        log.record(InstanceChange(WORKER, WORKER))
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await log.wait(0)

    async def test_a_cancelled_wait_is_removed(self) -> None:
        log = journal()
        waiting: asyncio.Task[Any] = asyncio.create_task(log.wait(0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert log.waiter_count == 0
