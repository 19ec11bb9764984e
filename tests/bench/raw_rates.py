"""Raw request rates of the API server, with which every scenario is compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from tests.bench.client import Call, Client, create, delete, encode, patch
from tests.bench.manifests import HOPPER, instance, running_status

Operation = Literal["create", "spec patch", "status patch", "delete"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
CONCURRENCIES = (1, 4, 8, 16, 32)
_CALLS_PER_WORKER = 60
_STOP = encode({"spec": {"desiredState": "Stopped"}})


@dataclass(slots=True)
class RawRates:
    """Requests per second by operation and concurrency, in one round."""

    sweep: dict[Operation, dict[int, float]] = field(default_factory=lambda: {name: {} for name in OPERATIONS})

    def best_concurrency(self, operation: Operation) -> int:
        rates = self.sweep[operation]
        return max(rates, key=lambda concurrency: rates[concurrency])

    def seconds(self, count: int, operations: Sequence[Operation], concurrency: Mapping[Operation, int]) -> float:
        """Return the time the API server needs for `count` requests of each operation, one operation at a time."""
        return sum(count / self.sweep[operation][concurrency[operation]] for operation in operations)


def median_rates(rounds: Sequence[RawRates]) -> RawRates:
    """Return the median of each rate over the rounds.

    The best concurrency of the medians is used in every round. The best of a single round may be an outlier.
    """
    return RawRates(
        {
            operation: {
                concurrency: statistics.median(rates.sweep[operation][concurrency] for rates in rounds)
                for concurrency in rounds[0].sweep[operation]
            }
            for operation in OPERATIONS
        }
    )


async def measure_raw_rates(client: Client, namespace: str, max_instances: int) -> RawRates:
    """Measure each operation at each concurrency, on at most `max_instances` objects.

    The namespace is new and no operator watches it.
    """
    await client.make_namespace(namespace)
    rates = RawRates()
    status = encode({"status": running_status()})
    for concurrency in CONCURRENCIES:
        names = [f"i-{index:04}" for index in range(min(max_instances, _CALLS_PER_WORKER * concurrency))]
        calls: dict[Operation, list[Call]] = {
            "create": [create(HOPPER, namespace, instance(HOPPER, name)) for name in names],
            "spec patch": [patch(HOPPER, namespace, name, _STOP) for name in names],
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
