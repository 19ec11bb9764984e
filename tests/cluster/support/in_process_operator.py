"""An operator for a test: in this process and event loop, so that coverage counts it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hopper.adapters.connection import connect
from hopper.controller.operator import Operator, OperatorOptions
from tests.cluster.support.prometheus import PrometheusSamples

START_SECONDS = 20
# Less than the 5 s for which kopf waits for tasks that it takes for its own.
STOP_SECONDS = 4
_COLLECT_SECONDS = 2


@asynccontextmanager
async def running(*namespaces: str, **options: Any) -> AsyncIterator[Operator]:
    """Run an operator from readiness on; on exit it has stopped, left no task behind and done nothing illegal."""
    before = asyncio.all_tasks()
    operator = Operator(await connect(), OperatorOptions(namespaces=namespaces, **options))
    run = asyncio.create_task(operator.run(), name="operator")
    synced = asyncio.create_task(operator.intake.synced.wait())
    try:
        async with asyncio.timeout(START_SECONDS):
            await asyncio.wait((run, synced), return_when=asyncio.FIRST_COMPLETED)
        assert not run.done(), f"the operator has ended: {run}"
        yield operator
    finally:
        synced.cancel()
        operator.stop()
        async with asyncio.timeout(STOP_SECONDS):
            await run
    left = _younger_than(before)
    if left:
        # kopf leaves a watch that it was reading from to garbage collection, and with it one waiting task.
        gc.collect()
        await asyncio.wait(left, timeout=_COLLECT_SECONDS)
        left = {task for task in left if not task.done()}  # a gateway beside it may have begun new ones
    assert not left, f"tasks of the operator still run: {left}"
    assert PrometheusSamples(operator.metrics.render().decode()).total("hopper_illegal_transitions_total") == 0


def _younger_than(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
