"""What the API server alone gives, as every scenario compares itself with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Operation = Literal["create", "spec patch", "status patch", "delete"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)


@dataclass(slots=True)
class Rates:
    """Requests per second by operation and concurrency."""

    sweep: dict[Operation, dict[int, float]] = field(default_factory=lambda: {name: {} for name in OPERATIONS})

    def best(self, operation: Operation) -> float:
        return max(self.sweep[operation].values())

    def best_concurrency(self, operation: Operation) -> int:
        rates = self.sweep[operation]
        return max(rates, key=lambda concurrency: rates[concurrency])

    def seconds(self, count: int, *operations: Operation) -> float:
        """Return the time in which the API server does each of these operations `count` times, one after the other."""
        return sum(count / self.best(operation) for operation in operations)
