"""Instances without parents: a burst of new ones to Running, then all to Stopped, then all to Running again."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.client import Client, create, delete, encode, patch
from tests.bench.manifests import instance
from tests.bench.measure import Sample, SubjectRun
from tests.bench.operators import Subject, running
from tests.bench.raw_rates import RawRates

BURST = "burst to Running"
FLIPS = {"Stopped": "flip to Stopped", "Running": "flip to Running"}


async def measure(client: Client, subject: Subject, namespace: str, size: int, rates: RawRates) -> list[Sample]:
    """Measure the burst and both flips of one operator, and delete the instances."""
    samples: list[Sample] = []
    async with running(client, subject, namespace) as process:
        run = SubjectRun(client, rates, samples, subject.name, subject.kind, namespace, process)
        names = await burst(run, size)
        for state, scenario in FLIPS.items():
            body = encode({"spec": {"desiredState": state}})
            calls = [patch(subject.kind, namespace, name, body) for name in names]
            await run.send_and_measure(scenario, calls, "spec patch", state)
    await remove(run, names)
    return samples


async def burst(run: SubjectRun, size: int, scenario: str = BURST) -> list[str]:
    """Create instances and measure until all are Running; return their names."""
    names = [f"i-{index:04}" for index in range(size)]
    calls = [create(run.kind, run.namespace, instance(run.kind, name)) for name in names]
    await run.send_and_measure(scenario, calls, "create", "Running")
    return names


async def remove(run: SubjectRun, names: Sequence[str]) -> None:
    """Delete instances that have no finalizers."""
    calls = [delete(run.kind, run.namespace, name) for name in names]
    await run.client.send_all(calls, run.rates.best_concurrency("delete"))
