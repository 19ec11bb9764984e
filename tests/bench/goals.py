"""Goals for the figures of the bench.

Budgets count requests or bytes and hold on any machine. Speeds are ratios of times within one run and vary somewhat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.operators import THE_OPERATOR
from tests.bench.report import Row
from tests.bench.scenarios import gateway
from tests.bench.scenarios.cascade import CASCADE, LIMITED_GARBAGE_COLLECTION
from tests.bench.scenarios.growth import GROWTH, RESTART, START_UP
from tests.bench.scenarios.lifecycle import BURST, FLIPS
from tests.bench.scenarios.registry import INDEX_MEMORY, Figure
from tests.bench.scenarios.workloads import ROLL_OUT, WORKLOADS

# Smaller runs take milliseconds, and ratios of such times mean nothing.
_FULL_SIZE = 1000
_MAX_INSTANCES = 5000


@dataclass(frozen=True, slots=True)
class Goal:
    """A measured value and its bound. An exceeded budget fails the bench; any other missed goal is only reported."""

    name: str
    value: float
    bound: float
    at_least: bool = False
    budget: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def as_dict(self) -> dict[str, object]:
        """Return the goal for JSON."""
        return asdict(self) | {"met": self.is_met}


def row_goals(rows: Sequence[Row]) -> list[Goal]:
    """Return the goals for rows of scenarios on a cluster."""
    hopper = [row for row in rows if row.subject == THE_OPERATOR.name]
    full_size = [row for row in hopper if row.instances >= _FULL_SIZE]
    start_up = next((row.seconds for row in hopper if row.scenario == START_UP), 0.0)
    speeds = [*_speed_goals(full_size), *_cascade_goals(full_size, rows), *_restart_goals(full_size, start_up)]
    return [*_budgets(hopper), *speeds, *_growth_goals(hopper)]


def _budgets(hopper: Sequence[Row]) -> Iterator[Goal]:
    """Yield the budgets of writes and Events per instance."""
    max_writes = {BURST: 1.0, GROWTH: 1.0, RESTART: 0.0}
    max_writes |= dict.fromkeys((*FLIPS.values(), WORKLOADS, ROLL_OUT), 2.0)
    max_object_writes = {WORKLOADS: 3.0, ROLL_OUT: 1.0}
    for row in hopper:
        if row.scenario in max_writes and row.writes is not None:
            yield Goal(f"{_title(row)}: writes per instance", row.writes, max_writes[row.scenario], budget=True)
        if row.scenario in max_object_writes and row.objects is not None:
            bound = max_object_writes[row.scenario]
            yield Goal(f"{_title(row)}: writes of owned objects per instance", row.objects, bound, budget=True)
        if row.scenario == RESTART and row.events is not None:
            yield Goal(f"{_title(row)}: events per instance", row.events, 0.0, budget=True)


def _speed_goals(hopper: Sequence[Row]) -> Iterator[Goal]:
    for row in hopper:
        if row.scenario == BURST and row.to_raw is not None:
            yield Goal(f"{_title(row)}: share of the raw rates", row.to_raw, 0.5, at_least=True)
        min_to_peer = {BURST: 2.0, CASCADE: 3.0}.get(row.scenario)
        if min_to_peer is not None and row.to_peer is not None:
            yield Goal(f"{_title(row)}: times as fast as the peer", row.to_peer, min_to_peer, at_least=True)


def _cascade_goals(hopper: Sequence[Row], rows: Sequence[Row]) -> Iterator[Goal]:
    for row in hopper:
        for other in rows:
            if (row.scenario, other.subject) == (CASCADE, LIMITED_GARBAGE_COLLECTION):
                name = f"{_title(row)}: times as fast as garbage collection with default limits"
                yield Goal(name, other.seconds / row.seconds, 3.0, at_least=True)


def _restart_goals(hopper: Sequence[Row], start_up: float) -> Iterator[Goal]:
    for row in hopper:
        if row.scenario == RESTART and row.instances == _MAX_INSTANCES and row.to_raw:
            list_seconds = row.seconds * row.to_raw
            yield Goal(f"{_title(row)}: times as long as a raw LIST", row.seconds / list_seconds, 3.0)
            yield Goal(f"{_title(row)}: the same without process start", (row.seconds - start_up) / list_seconds, 3.0)


def _growth_goals(hopper: Sequence[Row]) -> Iterator[Goal]:
    sizes = [row for row in hopper if row.scenario == GROWTH and row.instances >= 100]
    if len(sizes) > 1:
        small, large = sizes[0], sizes[-1]
        costs: dict[str, Callable[[Row], float | None]] = {
            "CPU": lambda row: row.cpu_ms_each,
            "requests": lambda row: row.requests,
        }
        for name, cost in costs.items():
            if (before := cost(small)) and (after := cost(large)):
                title = f"{name} per instance with {large.instances:,}, compared with {small.instances:,}"
                yield Goal(title, after / before, 1.25)
    for row in hopper:
        if row.scenario in (GROWTH, RESTART) and row.instances == _MAX_INSTANCES and row.rss_mib is not None:
            yield Goal(f"{_title(row)}: RSS MiB", row.rss_mib, 150.0)


def registry_goals(figures: Sequence[Figure]) -> list[Goal]:
    """Return the goals for memory and query times of the indexes. A query may take longer if it finds more."""
    goals = []
    for figure in figures:
        if figure.name == INDEX_MEMORY:
            budget = figure.instances >= _FULL_SIZE
            goals.append(Goal(f"registry, {figure.name}: bytes", figure.value, 2048.0, budget=budget))
        elif figure.found is not None:
            goals.append(Goal(f"registry, {figure.name}: µs", figure.value, 50.0 + 15.0 * figure.found))
    return goals


def gateway_goals(figures: Sequence[Figure]) -> list[Goal]:
    """Return the goals for response times of the gateway, and the budget of its requests to the API server."""
    max_milliseconds = {
        f"{gateway.LIST}: P99": 10.0,
        f"{gateway.GET}: P99": 3.0,
        f"{gateway.TREE_READ}: P99": 50.0,
        f"{gateway.UNCHANGED}: P99": 2.0,
        f"{gateway.EVENT_DELAY}: P99": 50.0,
        f"{gateway.SECOND_GATEWAY_DELAY}: P99": 1000.0,
    }
    goals = []
    for figure in figures:
        name = figure.name.removeprefix("gateway, ")
        if name in max_milliseconds and figure.instances >= _FULL_SIZE:
            goals.append(Goal(f"{figure.name} (ms)", figure.value, max_milliseconds[name]))
        elif name == gateway.REQUESTS:
            goals.append(Goal(figure.name, figure.value, 0.0, budget=True))
        elif name.startswith(gateway.RATE) and figure.instances >= _FULL_SIZE:
            goals.append(Goal(f"gateway, {gateway.RATE}", figure.value, 1000.0, at_least=True))
    return goals


def _title(row: Row) -> str:
    return f"{row.scenario}, {row.instances:,}"


def print_goals(console: Console, goals: Sequence[Goal]) -> None:
    """Print each goal with the measured value."""
    table = Table(title="Goals", title_justify="left")
    table.add_column("goal")
    table.add_column("measured", justify="right")
    table.add_column("bound", justify="right")
    table.add_column("")
    for goal in goals:
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        table.add_row(goal.name, f"{goal.value:.2f}", bound, "[green]met[/]" if goal.is_met else "[red]missed[/]")
    console.print(table)
