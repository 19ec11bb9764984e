"""One measurement: the clock, the operator's CPU and memory, and its requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.client import Call, Client
from tests.bench.metrics import Requests, Tally
from tests.bench.objects import Kind
from tests.bench.process import Process
from tests.bench.rates import Operation, Rates
from tests.bench.watch import watching


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of a scenario gave.

    `seconds` ends when the work is seen done; requests and CPU go on until all is quiet again. `raw` says which writes
    every instance needs, so that `rates`, of the same round, tell how fast it could be; or `ideal` says so in seconds.
    """

    scenario: str
    subject: str
    instances: int
    seconds: float
    raw: tuple[Operation, ...] = ()
    rates: Rates | None = None
    ideal: float | None = None
    requests: Requests | None = None
    cpu_seconds: float | None = None
    rss_mib: float | None = None


@dataclass(slots=True)
class Clock:
    """Stopped by the scenario when it sees that the work is done."""

    started: float = field(default_factory=time.perf_counter)
    seconds: float | None = None

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self.started


@dataclass(frozen=True, slots=True)
class Stage:
    """Where something is measured: an operator (or nobody) at work in a namespace, and the list of samples to fill."""

    client: Client
    rates: Rates
    samples: list[Sample]
    subject: str
    kind: Kind
    namespace: str
    process: Process | None = None

    @asynccontextmanager
    async def measured(self, scenario: str, instances: int, *raw: Operation) -> AsyncIterator[Clock]:
        """Measure the context, which stops the clock; afterwards wait until all is quiet, and add a sample."""
        tally = await Tally.begin(self.client, self.kind)
        cpu = self.process.cpu_seconds if self.process else 0.0
        clock = Clock()
        yield clock
        assert clock.seconds is not None, "the scenario did not stop the clock"
        requests = await tally.settle()
        sample = Sample(
            scenario,
            self.subject,
            instances,
            clock.seconds,
            raw,
            self.rates,
            requests=requests,
            cpu_seconds=self.process.cpu_seconds - cpu if self.process else None,
            rss_mib=self.process.rss_mib if self.process else None,
        )
        self.samples.append(sample)

    async def drive(
        self, scenario: str, calls: Sequence[Call], operation: Operation, phase: str, *more: Operation
    ) -> None:
        """Send the calls as fast as the API server takes them, and measure until as many objects are in the phase.

        The operator has to answer each call with one status write, and with the writes in `more`.
        """
        async with (
            watching(self.client, self.kind, self.namespace, f"status.phase={phase}") as there,
            self.measured(scenario, len(calls), operation, *more, "status patch") as clock,
        ):
            await self.client.send_all(calls, self.rates.best_concurrency(operation))
            await there.until(lambda count: count == len(calls))
            clock.stop()
