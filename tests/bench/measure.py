"""Measurement of one step of a scenario: time, CPU and memory of the operator, and its requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.client import Call, Client
from tests.bench.manifests import Kind
from tests.bench.matching_names import watching
from tests.bench.process import Process
from tests.bench.raw_rates import Operation, RawRates
from tests.bench.request_tally import Requests, RequestTally


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of one run of a scenario.

    `seconds` ends when the scenario sees its last result. Requests and CPU are counted until no more requests come.
    `raw` holds the writes that each instance needs. With `rates`, measured in the same round, they give the shortest
    possible time. `ideal` is that time in seconds for scenarios that are not compared with writes.
    """

    scenario: str
    subject: str
    instances: int
    seconds: float
    raw: tuple[Operation, ...] = ()
    rates: RawRates | None = None
    ideal: float | None = None
    requests: Requests | None = None
    cpu_seconds: float | None = None
    rss_mib: float | None = None


@dataclass(slots=True)
class Clock:
    """Clock that the scenario stops when its work is done."""

    started: float = field(default_factory=time.perf_counter)
    seconds: float | None = None

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self.started


@dataclass(frozen=True, slots=True)
class SubjectRun:
    """A subject at work in one namespace, and the samples measured there.

    Without `process`, the cluster's own controllers do the work.
    """

    client: Client
    rates: RawRates
    samples: list[Sample]
    subject: str
    kind: Kind
    namespace: str
    process: Process | None = None

    @asynccontextmanager
    async def measured(self, scenario: str, instances: int, *raw: Operation) -> AsyncIterator[Clock]:
        """Measure the context, which stops the clock. Then wait until requests cease, and add a sample."""
        tally = await RequestTally.begin(self.client, self.kind)
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

    async def send_and_measure(
        self, scenario: str, calls: Sequence[Call], operation: Operation, phase: str, *more: Operation
    ) -> None:
        """Send calls at the best concurrency, and measure until as many objects are in the phase.

        The operator must answer each call with one status write and with the writes in `more`.
        """
        async with (
            watching(self.client, self.kind, self.namespace, f"status.phase={phase}") as in_phase,
            self.measured(scenario, len(calls), operation, *more, "status patch") as clock,
        ):
            await self.client.send_all(calls, self.rates.best_concurrency(operation))
            await in_phase.until_count(len(calls))
            clock.stop()
