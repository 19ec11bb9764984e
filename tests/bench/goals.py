"""What the numbers are to be. Budgets hold on any machine; speeds are ratios within one run, and bear some noise."""

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
from tests.bench.scenarios.registry import INDEX, Figure
from tests.bench.scenarios.workloads import ROLL_OUT, WORKLOADS

# Ratios of times mean nothing where a handful of instances takes milliseconds.
_FULL_SIZE = 1000
_MOST_INSTANCES = 5000


@dataclass(frozen=True, slots=True)
class Goal:
    """A number and its bound. A budget that is exceeded fails the bench, a speed that is missed is only shown."""

    name: str
    value: float
    bound: float
    at_least: bool = False
    budget: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self) | {"met": self.met}


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Return the goals that these rows tell something about."""
    own = [row for row in rows if row.subject == THE_OPERATOR.name]
    full = [row for row in own if row.instances >= _FULL_SIZE]
    start_up = next((row.seconds for row in own if row.scenario == START_UP), 0.0)
    return [*_budgets(own), *_speeds(full), *_cascade(full, rows), *_restarts(full, start_up), *_growth(own)]


def _budgets(own: Sequence[Row]) -> Iterator[Goal]:
    """Writes per instance (design: "Our writes")."""
    most = {BURST: 1.0, GROWTH: 1.0, RESTART: 0.0}
    most |= dict.fromkeys((*FLIPS.values(), WORKLOADS, ROLL_OUT), 2.0)
    objects = {WORKLOADS: 3.0, ROLL_OUT: 1.0}
    for row in own:
        if row.scenario in most and row.writes is not None:
            yield Goal(f"{_title(row)}: writes each", row.writes, most[row.scenario], budget=True)
        if row.scenario in objects and row.objects is not None:
            yield Goal(f"{_title(row)}: writes of objects each", row.objects, objects[row.scenario], budget=True)
        if row.scenario == RESTART and row.events is not None:
            yield Goal(f"{_title(row)}: events each", row.events, 0.0, budget=True)


def _speeds(own: Sequence[Row]) -> Iterator[Goal]:
    for row in own:
        if row.scenario == BURST and row.to_raw is not None:
            yield Goal(f"{_title(row)}: share of the raw rates", row.to_raw, 0.5, at_least=True)
        least = {BURST: 2.0, CASCADE: 3.0}.get(row.scenario)
        if least is not None and row.to_peer is not None:
            yield Goal(f"{_title(row)}: times as fast as the peer", row.to_peer, least, at_least=True)


def _cascade(own: Sequence[Row], rows: Sequence[Row]) -> Iterator[Goal]:
    for row in own:
        for other in rows:
            if (row.scenario, other.subject) == (CASCADE, LIMITED_GARBAGE_COLLECTION):
                name = f"{_title(row)}: times as fast as garbage collection with default limits"
                yield Goal(name, other.seconds / row.seconds, 3.0, at_least=True)


def _restarts(own: Sequence[Row], start_up: float) -> Iterator[Goal]:
    for row in own:
        if row.scenario == RESTART and row.instances == _MOST_INSTANCES and row.to_raw:
            listing = row.seconds * row.to_raw
            yield Goal(f"{_title(row)}: times a raw LIST", row.seconds / listing, 3.0)
            yield Goal(f"{_title(row)}: the same without start-up", (row.seconds - start_up) / listing, 3.0)


def _growth(own: Sequence[Row]) -> Iterator[Goal]:
    sizes = [row for row in own if row.scenario == GROWTH and row.instances >= 100]
    if len(sizes) > 1:
        small, large = sizes[0], sizes[-1]
        values: dict[str, Callable[[Row], float | None]] = {
            "CPU": lambda row: row.cpu_ms_each,
            "requests": lambda row: row.requests,
        }
        for name, value in values.items():
            if (before := value(small)) and (after := value(large)):
                yield Goal(f"{name} each at {large.instances:,} to {small.instances:,}", after / before, 1.25)
    for row in own:
        if row.scenario in (GROWTH, RESTART) and row.instances == _MOST_INSTANCES and row.rss_mib is not None:
            yield Goal(f"{_title(row)}: RSS MiB", row.rss_mib, 150.0)


def figure_goals(figures: Sequence[Figure]) -> list[Goal]:
    """What is to be found fast is one instance, or a part of them: microseconds, and some for each that is found."""
    goals = []
    for it in figures:
        if it.name == INDEX:
            goals.append(Goal(f"registry, {it.name}: bytes each", it.value, 2048.0, budget=it.instances >= _FULL_SIZE))
        elif it.found is not None:
            goals.append(Goal(f"registry, {it.name}: µs", it.value, 50.0 + 15.0 * it.found))
    return goals


def gateway_goals(figures: Sequence[Figure]) -> list[Goal]:
    """How long answers may take where thousands of instances are known; reading costs the API server nothing."""
    most = {
        f"{gateway.LIST}: P99": 10.0,
        f"{gateway.GET}: P99": 3.0,
        f"{gateway.TREE_READ}: P99": 50.0,
        f"{gateway.UNCHANGED}: P99": 2.0,
        f"{gateway.EVENT}: P99": 50.0,
        f"{gateway.AGREED}: P99": 1000.0,
    }
    found = []
    for it in figures:
        name = it.name.removeprefix("gateway, ")
        if name in most and it.instances >= _FULL_SIZE:
            found.append(Goal(f"{it.name} (ms)", it.value, most[name]))
        elif name == gateway.REQUESTS:
            found.append(Goal(it.name, it.value, 0.0, budget=True))
        elif name.startswith(gateway.RATE) and it.instances >= _FULL_SIZE:
            found.append(Goal(f"gateway, {gateway.RATE}", it.value, 1000.0, at_least=True))
    return found


def _title(row: Row) -> str:
    return f"{row.scenario}, {row.instances:,}"


def print_goals(console: Console, found: Sequence[Goal]) -> None:
    """Print each goal with what was measured."""
    table = Table(title="Goals", title_justify="left")
    table.add_column("goal")
    table.add_column("measured", justify="right")
    table.add_column("bound", justify="right")
    table.add_column("")
    for goal in found:
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        table.add_row(goal.name, f"{goal.value:.2f}", bound, "[green]met[/]" if goal.met else "[red]missed[/]")
    console.print(table)
