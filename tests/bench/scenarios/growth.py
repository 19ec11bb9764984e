"""From a hundred instances to thousands: cost of each, memory, and a restart of the operator on idle instances."""

from __future__ import annotations

import json
import time

from tests.bench.client import Client
from tests.bench.manifests import HOPPER
from tests.bench.measure import Sample, SubjectRun
from tests.bench.operators import THE_OPERATOR, running, started_on
from tests.bench.raw_rates import RawRates
from tests.bench.request_tally import RequestTally
from tests.bench.scenarios.lifecycle import burst, remove

GROWTH = "growth"
START_UP = "start without instances"
RESTART = "restart"
LIST = "LIST and parse"


async def measure(client: Client, namespace: str, size: int, rates: RawRates, restarts: int) -> list[Sample]:
    """Create `size` instances, wait until they are Running, and restart the operator `restarts` times."""
    samples: list[Sample] = []
    async with running(client, THE_OPERATOR, namespace) as process:
        run = SubjectRun(client, rates, samples, THE_OPERATOR.name, HOPPER, namespace, process)
        names = await burst(run, size, GROWTH)
    for _ in range(restarts):
        await _list_and_restart(run, size)
    await remove(run, names)
    return samples


async def measure_start(client: Client, namespace: str, restarts: int) -> list[Sample]:
    """Start the operator on an empty namespace. Python imports take most of that time."""
    await client.make_namespace(namespace)
    samples = []
    for _ in range(restarts):
        async with started_on(namespace, 0) as started:
            cpu, rss = started.process.cpu_seconds, started.process.rss_mib
            samples.append(Sample(START_UP, THE_OPERATOR.name, 0, started.idle, cpu_seconds=cpu, rss_mib=rss))
    return samples


async def _list_and_restart(run: SubjectRun, size: int) -> None:
    list_seconds = await _list_and_parse(run.client, run.namespace, size)
    run.samples.append(Sample(LIST, "raw", size, list_seconds))
    tally = await RequestTally.begin(run.client, HOPPER)
    async with started_on(run.namespace, size) as started:
        requests = await tally.settle()
        sample = Sample(
            RESTART,
            run.subject,
            size,
            started.idle,
            ideal=list_seconds,
            requests=requests,
            cpu_seconds=started.process.cpu_seconds,
            rss_mib=started.process.rss_mib,
        )
        run.samples.append(sample)


async def _list_and_parse(client: Client, namespace: str, size: int) -> float:
    started = time.perf_counter()
    listed = json.loads(await client.list(HOPPER, namespace))
    elapsed = time.perf_counter() - started
    assert len(listed["items"]) == size
    return elapsed
