"""The journal tells what has happened, in order, and from where somebody left off."""

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


def told(journal: Journal, since: int = 0) -> list[str]:
    """Return what is written as `kind name`."""
    return [f"{it.kind} {it.name}" for it in journal.since(since) or ()]


def step(it: HopperInstance, *entries: HistoryEntry) -> HopperInstance:
    history = (*it.status.history, *entries)[-HISTORY_LIMIT:]
    return replace(it, status=replace(it.status, history=history, phase=entries[-1].to))


WORKER = instance("worker", Scope.ORCHESTRATION, parent="web", phase=Phase.STARTING)


class TestChanges:
    def test_one_comes(self) -> None:
        written = journal()
        written.record(InstanceChange(None, WORKER))
        assert told(written) == ["registered worker", "child_added worker"]
        (first, second) = written.since(0) or ()
        assert first.detail == {"scope": "Orchestration", "phase": "Starting", "parent": "web"}
        assert (second.detail, second.uid, second.time) == ({"parent": "web"}, "uid-worker", NOW)

    def test_one_goes(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, None))
        assert told(written) == ["child_removed worker", "unregistered worker"]

    def test_one_moves(self) -> None:
        written = journal()
        written.record(
            InstanceChange(WORKER, instance("worker", Scope.ORCHESTRATION, parent="shop", phase=Phase.STARTING))
        )
        assert told(written) == [
            "child_removed worker",
            "child_added worker",
            "parent_changed worker",
            "changed worker",
        ]
        assert [it.detail for it in written.since(0) or ()][:3] == [
            {"parent": "web"},
            {"parent": "shop"},
            {"from": "web", "to": "shop"},
        ]

    def test_every_step_of_one_write(self) -> None:
        written = journal()
        steps = (transition_entry(Phase.CREATED, Phase.STARTING), transition_entry(Phase.STARTING, Phase.RUNNING))
        written.record(InstanceChange(WORKER, step(WORKER, *steps)))
        assert told(written) == ["transition worker", "transition worker", "changed worker"]
        assert [it.detail.get("to") for it in written.since(0) or ()][:2] == ["Starting", "Running"]

    @given(known=st.integers(0, 2 * HISTORY_LIMIT), fresh=st.integers(0, HISTORY_LIMIT - 1))
    def test_new_steps_only_however_long_the_history(self, known: int, fresh: int) -> None:
        def entry(n: int) -> HistoryEntry:
            return transition_entry(Phase.RUNNING, Phase.PAUSED, message=str(n))

        old = step(WORKER, *map(entry, range(known))) if known else WORKER
        new = step(old, *(entry(known + n) for n in range(fresh))) if fresh else old
        written = journal()
        written.record(InstanceChange(old, new))
        messages = [it.detail["message"] for it in written.since(0) or () if it.kind == "transition"]
        assert messages == [str(known + n) for n in range(fresh)]

    def test_another_object_of_the_same_name(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, recreated(WORKER)))
        assert told(written) == [
            "child_removed worker",
            "unregistered worker",
            "registered worker",
            "child_added worker",
        ]

    def test_what_was_there_at_the_start_is_no_news(self) -> None:
        written = Journal()
        written.record(InstanceChange(None, WORKER))
        assert (written.revision, written.since(0)) == (0, [])


class TestResume:
    def test_from_where_one_left_off(self) -> None:
        written = journal()
        for _ in range(3):
            written.record(InstanceChange(WORKER, WORKER))
        assert [it.revision for it in written.since(1) or ()] == [2, 3]
        assert written.since(3) == []

    def test_not_from_before_what_is_kept(self) -> None:
        written = journal(capacity=2)
        for _ in range(5):
            written.record(InstanceChange(WORKER, WORKER))
        assert [it.revision for it in written.since(3) or ()] == [4, 5]
        assert written.since(2) is None

    def test_not_from_the_future(self) -> None:
        assert journal().since(1) is None

    def test_tokens_are_those_of_one_process(self) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, WORKER))
        assert written.revision_of(written.token(1)) == 1
        assert written.revision_of(Journal(epoch="other").token(0)) is None

    @pytest.mark.parametrize(
        "token", ["", "now", "now-", "now-x", "now-2", "now--1", "now-²", "1", f"now-{'9' * 5000}"]
    )
    def test_other_tokens_mean_nothing(self, token: str) -> None:
        written = journal()
        written.record(InstanceChange(WORKER, WORKER))
        assert written.revision_of(token) is None

    @given(writes=st.integers(0, 30), capacity=st.integers(1, 20), asked=st.integers(0, 30))
    def test_nothing_is_left_out_or_told_twice(self, writes: int, capacity: int, asked: int) -> None:
        written = journal(capacity)
        for _ in range(writes):
            written.record(InstanceChange(WORKER, WORKER))
        found = written.since(asked)
        if asked <= writes and writes - asked <= capacity:
            assert found is not None
            assert [it.revision for it in found] == list(range(asked + 1, writes + 1))
        else:
            assert found is None


class TestWait:
    async def test_for_something_new(self) -> None:
        written = journal()
        waiting = [asyncio.create_task(written.wait(0)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(it.done() for it in waiting)
        written.record(InstanceChange(WORKER, WORKER))
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await written.wait(0)

    async def test_who_goes_away_is_forgotten(self) -> None:
        written = journal()
        waiting: asyncio.Task[Any] = asyncio.create_task(written.wait(0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert written.waiter_count == 0
