"""Properties of the queue: no key is lost, and no key is worked on twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hopper.controller.queue import KeyedQueue

KEYS = st.sampled_from("abc")
DELAYS = st.sampled_from([0.0, 0.01, 0.5, 1.0, 30.0])
# Duration of one call of the work, and its result; an exception stands for a failure.
TURNS = st.tuples(st.sampled_from([0.0, 0.3, 0.3, 5.0]), st.sampled_from([None, None, 0.0, 2.0, ValueError("no")]))
LONGEST = 60.0


class QueueMachine(RuleBasedStateMachine):
    """A queue, and the latest time at which each key must be begun."""

    @initialize(concurrency=st.integers(1, 3), turns=st.lists(TURNS, min_size=1, max_size=10))
    def start(self, concurrency: int, turns: list[tuple[float, float | Exception | None]]) -> None:
        self.loop = looptime.new_event_loop()
        self.turns = turns
        self.begun = 0
        self.in_work: set[str] = set()
        self.owed: dict[str, float] = {}  # key → when it is due
        self.concurrency = concurrency
        self.queue = KeyedQueue(self._work, concurrency=concurrency)
        self.task = self.loop.create_task(self.queue.run())
        self._let(0)

    async def _work(self, key: str) -> float | None:
        assert key not in self.in_work
        seconds, answer = self.turns[self.begun % len(self.turns)]
        self.begun += 1
        self.in_work.add(key)
        self.owed.pop(key, None)
        await asyncio.sleep(seconds)
        self.in_work.remove(key)
        if isinstance(answer, Exception):
            self._owe(key, LONGEST)
            raise answer
        if answer is not None:
            self._owe(key, answer)
        return answer

    def _owe(self, key: str, delay: float) -> None:
        due = self.loop.time() + delay
        self.owed[key] = min(due, self.owed.get(key, due))

    @rule(key=KEYS, delay=DELAYS)
    def add(self, key: str, delay: float) -> None:
        async def act() -> None:
            self.queue.add(key, delay)

        self._owe(key, delay)
        self.loop.run_until_complete(act())

    @precondition(lambda self: self.in_work)
    @rule(data=st.data(), delay=DELAYS)
    def add_a_key_during_its_work(self, data: st.DataObject, delay: float) -> None:
        self.add(data.draw(st.sampled_from(sorted(self.in_work))), delay)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self._let(seconds)

    @rule()
    def succeed(self) -> None:
        """Make all work succeed. After all delays the queue is empty, and every key added was worked on."""
        kept, self.turns = self.turns, [(0.1, None)]
        self._let(2 * LONGEST)
        assert not self.owed
        assert len(self.queue) == 0
        assert self.queue.age == 0
        self.turns = kept

    @invariant()
    def work_is_bounded(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.in_work) <= self.concurrency
            assert not self.task.done()

    @invariant()
    def no_slot_is_free_while_a_key_waits(self) -> None:
        if not hasattr(self, "queue"):
            return
        late = {key for key, due in self.owed.items() if due < self.loop.time() - 0.01} - self.in_work
        assert not late or len(self.in_work) == self.concurrency, f"{late} wait although a slot is free"

    def _let(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))

    def _run(self, act: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(act)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.task.cancel()
        self._run(asyncio.wait({self.task}))
        assert self.task.cancelled()
        self.loop.close()


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=3 * settings.default.max_examples, stateful_step_count=30)
