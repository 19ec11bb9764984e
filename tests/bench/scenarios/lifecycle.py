"""A burst of logical instances to Running, then all of them to Stopped, and back. None has a parent."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.client import Client, create, delete, encode, patch
from tests.bench.measure import Sample, Stage
from tests.bench.objects import instance
from tests.bench.operators import Subject, running
from tests.bench.rates import Rates

BURST = "burst to Running"
FLIPS = {"Stopped": "flip to Stopped", "Running": "flip to Running"}


async def measure(client: Client, subject: Subject, namespace: str, size: int, rates: Rates) -> list[Sample]:
    """Take `size` instances through their life with one operator, and remove them."""
    samples: list[Sample] = []
    async with running(client, subject, namespace) as process:
        stage = Stage(client, rates, samples, subject.name, subject.kind, namespace, process)
        names = await burst(stage, size)
        for state, scenario in FLIPS.items():
            body = encode({"spec": {"desiredState": state}})
            calls = [patch(subject.kind, namespace, name, body) for name in names]
            await stage.drive(scenario, calls, "spec patch", state)
    await remove(stage, names)
    return samples


async def burst(stage: Stage, size: int, scenario: str = BURST) -> list[str]:
    """Create instances and measure until all are Running; return their names."""
    names = [f"i-{index:04}" for index in range(size)]
    calls = [create(stage.kind, stage.namespace, instance(stage.kind, name)) for name in names]
    await stage.drive(scenario, calls, "create", "Running")
    return names


async def remove(stage: Stage, names: Sequence[str]) -> None:
    """Delete instances that have no finalizers."""
    calls = [delete(stage.kind, stage.namespace, name) for name in names]
    await stage.client.send_all(calls, stage.rates.best_concurrency("delete"))
