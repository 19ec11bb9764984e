"""The raw rate of each kind of write, over a sweep of concurrency."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.bench.client import Call, Client, create, delete, encode, patch
from tests.bench.objects import HOPPER, instance, running_status
from tests.bench.rates import OPERATIONS, Operation, Rates

CONCURRENCIES = (1, 4, 8, 16, 32)
_PER_WORKER = 60
_SPEC = encode({"spec": {"desiredState": "Stopped"}})


async def sweep(client: Client, namespace: str, most: int) -> Rates:
    """Measure all operations on up to `most` objects at a time, in a namespace that nobody watches."""
    await client.make_namespace(namespace)
    rates = Rates()
    status = encode({"status": running_status()})
    for concurrency in CONCURRENCIES:
        names = [f"i-{index:04}" for index in range(min(most, _PER_WORKER * concurrency))]
        calls: dict[Operation, list[Call]] = {
            "create": [create(HOPPER, namespace, instance(HOPPER, name)) for name in names],
            "spec patch": [patch(HOPPER, namespace, name, _SPEC) for name in names],
            "status patch": [patch(HOPPER, namespace, name, status, "status") for name in names],
            "delete": [delete(HOPPER, namespace, name) for name in names],
        }
        for operation in OPERATIONS:
            rates.sweep[operation][concurrency] = await _rate(client, calls[operation], concurrency)
    return rates


async def _rate(client: Client, calls: Sequence[Call], concurrency: int) -> float:
    started = time.perf_counter()
    await client.send_all(calls, concurrency)
    return len(calls) / (time.perf_counter() - started)
