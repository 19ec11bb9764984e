"""Operator in the process and event loop of the test, so that coverage counts its code."""

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
# Less than the 5 s for which kopf waits for the tasks that it considers its own.
STOP_SECONDS = 4
_COLLECT_SECONDS = 2


@asynccontextmanager
async def running_operator(*namespaces: str, **options: Any) -> AsyncIterator[Operator]:
    """Run an operator until the end of the context; it is ready when the context begins.

    On exit, check that it stopped in time, left no task running and attempted no illegal transition.
    """
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
    leaked = _unfinished_since(before)
    if leaked:
        # kopf leaves the watch that it was reading to the garbage collector, and with the watch one waiting task.
        gc.collect()
        await asyncio.wait(leaked, timeout=_COLLECT_SECONDS)
        # Only these tasks count, because a gateway in the same loop may have started new ones.
        leaked = {task for task in leaked if not task.done()}
    assert not leaked, f"tasks of the operator still run: {leaked}"
    assert PrometheusSamples(operator.metrics.render().decode()).total("hopper_illegal_transitions_total") == 0


def _unfinished_since(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
