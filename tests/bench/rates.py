"""What the API server alone gives, as every scenario compares itself with it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

Operation = Literal["create", "spec patch", "status patch", "delete"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
Sweep = dict[Operation, dict[int, float]]


@dataclass(slots=True)
class Rates:
    """Requests per second by operation and concurrency, in one round."""

    sweep: Sweep = field(default_factory=lambda: {name: {} for name in OPERATIONS})

    def best_concurrency(self, operation: Operation) -> int:
        rates = self.sweep[operation]
        return max(rates, key=lambda concurrency: rates[concurrency])

    def seconds(self, count: int, operations: Sequence[Operation], concurrency: Mapping[Operation, int]) -> float:
        """Return the time in which the API server does each operation `count` times, one operation after the other."""
        return sum(count / self.sweep[operation][concurrency[operation]] for operation in operations)


def medians(rounds: Sequence[Rates]) -> Rates:
    """Return the median over the rounds of each rate.

    The concurrency that is best there counts as best in every round: the best of a single sweep would be the luckiest.
    """
    return Rates(
        {
            operation: {
                concurrency: statistics.median(rates.sweep[operation][concurrency] for rates in rounds)
                for concurrency in rounds[0].sweep[operation]
            }
            for operation in OPERATIONS
        }
    )
