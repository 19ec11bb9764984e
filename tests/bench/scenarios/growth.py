"""From a hundred instances to thousands: cost of each, memory, and a restart on all of them while they are idle."""

from __future__ import annotations

import json
import time

from tests.bench.client import Client
from tests.bench.measure import Sample, Stage
from tests.bench.metrics import Tally
from tests.bench.objects import HOPPER
from tests.bench.operators import THE_OPERATOR, running, started_on
from tests.bench.rates import Rates
from tests.bench.scenarios.lifecycle import burst, remove

GROWTH = "growth"
START_UP = "start without instances"
RESTART = "restart"
LIST = "LIST and parse"


async def measure(client: Client, namespace: str, size: int, rates: Rates, restarts: int) -> list[Sample]:
    """Let `size` instances become Running, then restart the operator on them, `restarts` times."""
    samples: list[Sample] = []
    async with running(client, THE_OPERATOR, namespace) as process:
        stage = Stage(client, rates, samples, THE_OPERATOR.name, HOPPER, namespace, process)
        names = await burst(stage, size, GROWTH)
    for _ in range(restarts):
        await _list_and_restart(stage, size)
    await remove(stage, names)
    return samples


async def measure_start(client: Client, namespace: str, restarts: int) -> list[Sample]:
    """Start the operator on an empty namespace: what every start costs, imports above all."""
    await client.make_namespace(namespace)
    samples = []
    for _ in range(restarts):
        async with started_on(namespace, 0) as started:
            cpu, rss = started.process.cpu_seconds, started.process.rss_mib
            samples.append(Sample(START_UP, THE_OPERATOR.name, 0, started.idle, cpu_seconds=cpu, rss_mib=rss))
    return samples


async def _list_and_restart(stage: Stage, size: int) -> None:
    listing = await _list_and_parse(stage.client, stage.namespace, size)
    stage.samples.append(Sample(LIST, "raw", size, listing))
    tally = await Tally.begin(stage.client, HOPPER)
    async with started_on(stage.namespace, size) as started:
        requests = await tally.settle()
        sample = Sample(
            RESTART,
            stage.subject,
            size,
            started.idle,
            ideal=listing,
            requests=requests,
            cpu_seconds=started.process.cpu_seconds,
            rss_mib=started.process.rss_mib,
        )
        stage.samples.append(sample)


async def _list_and_parse(client: Client, namespace: str, size: int) -> float:
    started = time.perf_counter()
    listed = json.loads(await client.list(HOPPER, namespace))
    elapsed = time.perf_counter() - started
    assert len(listed["items"]) == size
    return elapsed
