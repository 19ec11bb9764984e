"""From samples to rows (medians over the rounds), a table for people, JSON for programs, and the goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Sample
from tests.bench.operators import PLAIN_PEER
from tests.bench.rates import OPERATIONS, Operation, Rates, medians
from tests.bench.scenarios.cascade import CASCADE, GARBAGE_COLLECTION
from tests.bench.scenarios.lifecycle import BURST, FLIPS
from tests.bench.scenarios.registry import Figure
from tests.bench.scenarios.workloads import ROLL_OUT, WORKLOADS

# Scenario → who the others are compared with there.
PEERS = {
    **dict.fromkeys((BURST, *FLIPS.values(), WORKLOADS, ROLL_OUT), PLAIN_PEER.name),
    CASCADE: GARBAGE_COLLECTION,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds. Requests, writes (of the kind, and of the objects that instances own), events
    and failures are per instance.

    `to_raw` is the share of what the raw rates allow, `to_peer` how many times as fast as the peer: both are medians
    of the ratios within one round.
    """

    scenario: str
    subject: str
    instances: int
    rounds: int
    seconds: float
    rate: float
    to_raw: float | None = None
    to_peer: float | None = None
    requests: float | None = None
    writes: float | None = None
    objects: float | None = None
    events: float | None = None
    failed: float | None = None
    cpu_seconds: float | None = None
    cpu_ms_each: float | None = None
    rss_mib: float | None = None


def rows(samples: Sequence[Sample], rounds: Sequence[Rates]) -> list[Row]:
    """Group samples by scenario, subject and size; scenarios are in the order in which they first came."""
    groups: dict[tuple[str, str, int], list[Sample]] = {}
    scenarios = list(dict.fromkeys(sample.scenario for sample in samples))
    for sample in sorted(samples, key=lambda sample: scenarios.index(sample.scenario)):
        groups.setdefault((sample.scenario, sample.subject, sample.instances), []).append(sample)
    middle = medians(rounds)
    best = {operation: middle.best_concurrency(operation) for operation in OPERATIONS}
    return [
        _row(group, groups.get((scenario, PEERS.get(scenario, ""), size)), best)
        for (scenario, _, size), group in groups.items()
    ]


def _row(group: Sequence[Sample], peers: Sequence[Sample] | None, best: Mapping[Operation, int]) -> Row:
    first, each = group[0], max(group[0].instances, 1)
    seconds = statistics.median(sample.seconds for sample in group)
    requests = [sample.requests for sample in group if sample.requests is not None]
    cpu = _median(sample.cpu_seconds for sample in group)
    return Row(
        first.scenario,
        first.subject,
        first.instances,
        len(group),
        seconds,
        first.instances / seconds,
        _median(_share(sample, best) for sample in group),
        _median(peer.seconds / sample.seconds for sample, peer in zip(group, peers or (), strict=False)),
        _median(found.total / each for found in requests),
        _median(found.writes / each for found in requests),
        _median(found.objects / each for found in requests),
        _median(found.events / each for found in requests),
        _median(found.failed / each for found in requests),
        cpu,
        cpu * 1000 / each if cpu is not None and first.instances else None,
        _median(sample.rss_mib for sample in group),
    )


def _share(sample: Sample, best: Mapping[Operation, int]) -> float | None:
    ideal = sample.ideal
    if sample.raw and sample.rates:
        ideal = sample.rates.seconds(sample.instances, sample.raw, best)
    return ideal / sample.seconds if ideal else None


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def as_json(found: Sequence[Row], rounds: Sequence[Rates]) -> dict[str, Any]:
    """Return all numbers."""
    return {"raw": medians(rounds).sweep, "rows": [asdict(row) for row in found]}


def print_rates(console: Console, rounds: Sequence[Rates]) -> None:
    """Print the raw rates."""
    rates = medians(rounds).sweep
    table = Table(title="Raw API server: requests per second by concurrency", title_justify="left")
    table.add_column("operation")
    for concurrency in next(iter(rates.values())):
        table.add_column(str(concurrency), justify="right")
    for operation, by_concurrency in rates.items():
        best = max(by_concurrency.values())
        cells = (f"[bold]{rate:,.0f}[/]" if rate == best else f"{rate:,.0f}" for rate in by_concurrency.values())
        table.add_row(operation, *cells)
    console.print(table)


def print_rows(console: Console, found: Sequence[Row]) -> None:
    """Print one line per row."""
    columns: dict[str, Callable[[Row], str]] = {
        "n": lambda row: f"{row.instances:,}",
        "seconds": lambda row: f"{row.seconds:.2f}",
        "rate /s": lambda row: f"{row.rate:,.0f}" if row.instances else "",
        "of raw": lambda row: _number(row.to_raw, "{:.2f}"),
        "to peer": lambda row: _number(row.to_peer, "{:.2f}"),
        "requests each": lambda row: _number(row.requests, "{:.2f}"),
        "writes": lambda row: _number(row.writes, "{:.2f}"),
        "objects": lambda row: _number(row.objects, "{:.2f}"),
        "events": lambda row: _number(row.events, "{:.2f}"),
        "failed": lambda row: _number(row.failed, "{:.3f}"),
        "CPU s": lambda row: _number(row.cpu_seconds, "{:.2f}"),
        "ms each": lambda row: _number(row.cpu_ms_each, "{:.2f}"),
        "RSS MiB": lambda row: _number(row.rss_mib, "{:.0f}"),
    }
    table = Table(title="Scenarios (medians)", title_justify="left")
    table.add_column("scenario")
    table.add_column("subject")
    for name in columns:
        table.add_column(name, justify="right")
    before = ""
    for row in found:
        if before and row.scenario != before:
            table.add_section()
        table.add_row(
            "" if row.scenario == before else row.scenario, row.subject, *(show(row) for show in columns.values())
        )
        before = row.scenario
    console.print(table)


def print_figures(console: Console, figures: Sequence[Figure]) -> None:
    """Print what was measured without a cluster."""
    if not figures:
        return
    table = Table(title=f"{figures[0].instances:,} instances", title_justify="left")
    table.add_column("what")
    table.add_column("found", justify="right")
    table.add_column("measured", justify="right")
    for it in figures:
        table.add_row(it.name, "" if it.found is None else f"{it.found:,}", f"{it.value:,.1f} {it.unit}")
    console.print(table)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
