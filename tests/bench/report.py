"""Report: rows with medians over the rounds, as tables and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Sample
from tests.bench.operators import PLAIN_PEER
from tests.bench.raw_rates import OPERATIONS, Operation, RawRates, median_rates
from tests.bench.scenarios.cascade import CASCADE, GARBAGE_COLLECTION
from tests.bench.scenarios.lifecycle import BURST, FLIPS
from tests.bench.scenarios.registry import Figure
from tests.bench.scenarios.workloads import ROLL_OUT, WORKLOADS

# The subject with which the others are compared, by scenario.
PEERS = {
    **dict.fromkeys((BURST, *FLIPS.values(), WORKLOADS, ROLL_OUT), PLAIN_PEER.name),
    CASCADE: GARBAGE_COLLECTION,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds for one scenario, subject and number of instances.

    `requests` to `failed` are per instance. `to_raw` is the shortest possible time, by the raw rates, divided by
    `seconds`. `to_peer` says how many times as fast as the peer the subject is. Both are medians of the ratios within
    one round.
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


def summarize(samples: Sequence[Sample], rounds: Sequence[RawRates]) -> list[Row]:
    """Group samples by scenario, subject and size. Scenarios keep the order of their first samples."""
    groups: dict[tuple[str, str, int], list[Sample]] = {}
    scenarios = list(dict.fromkeys(sample.scenario for sample in samples))
    for sample in sorted(samples, key=lambda sample: scenarios.index(sample.scenario)):
        groups.setdefault((sample.scenario, sample.subject, sample.instances), []).append(sample)
    rates = median_rates(rounds)
    best = {operation: rates.best_concurrency(operation) for operation in OPERATIONS}
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
        _median(counts.total / each for counts in requests),
        _median(counts.writes / each for counts in requests),
        _median(counts.objects / each for counts in requests),
        _median(counts.events / each for counts in requests),
        _median(counts.failed / each for counts in requests),
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
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def as_json(rows: Sequence[Row], rounds: Sequence[RawRates]) -> dict[str, Any]:
    """Return the raw rates and the rows for JSON."""
    return {"raw": median_rates(rounds).sweep, "rows": [asdict(row) for row in rows]}


def print_rates(console: Console, rounds: Sequence[RawRates]) -> None:
    """Print the raw rates, the best of each operation in bold."""
    rates = median_rates(rounds).sweep
    table = Table(title="Raw API server: requests per second by concurrency", title_justify="left")
    table.add_column("operation")
    for concurrency in next(iter(rates.values())):
        table.add_column(str(concurrency), justify="right")
    for operation, by_concurrency in rates.items():
        best = max(by_concurrency.values())
        cells = (f"[bold]{rate:,.0f}[/]" if rate == best else f"{rate:,.0f}" for rate in by_concurrency.values())
        table.add_row(operation, *cells)
    console.print(table)


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Print one table line per row."""
    columns: dict[str, Callable[[Row], str]] = {
        "n": lambda row: f"{row.instances:,}",
        "seconds": lambda row: f"{row.seconds:.2f}",
        "rate /s": lambda row: f"{row.rate:,.0f}" if row.instances else "",
        "share of raw": lambda row: _number(row.to_raw, "{:.2f}"),
        "times as fast as peer": lambda row: _number(row.to_peer, "{:.2f}"),
        "requests per instance": lambda row: _number(row.requests, "{:.2f}"),
        "writes": lambda row: _number(row.writes, "{:.2f}"),
        "objects": lambda row: _number(row.objects, "{:.2f}"),
        "events": lambda row: _number(row.events, "{:.2f}"),
        "failed": lambda row: _number(row.failed, "{:.3f}"),
        "CPU s": lambda row: _number(row.cpu_seconds, "{:.2f}"),
        "CPU ms per instance": lambda row: _number(row.cpu_ms_each, "{:.2f}"),
        "RSS MiB": lambda row: _number(row.rss_mib, "{:.0f}"),
    }
    table = Table(title="Scenarios (medians)", title_justify="left")
    table.add_column("scenario")
    table.add_column("subject")
    for name in columns:
        table.add_column(name, justify="right")
    before = ""
    for row in rows:
        if before and row.scenario != before:
            table.add_section()
        table.add_row(
            "" if row.scenario == before else row.scenario, row.subject, *(show(row) for show in columns.values())
        )
        before = row.scenario
    console.print(table)


def print_figures(console: Console, figures: Sequence[Figure]) -> None:
    """Print a table of figures."""
    if not figures:
        return
    table = Table(title=f"{figures[0].instances:,} instances", title_justify="left")
    table.add_column("figure")
    table.add_column("instances found", justify="right")
    table.add_column("measured", justify="right")
    for figure in figures:
        found = "" if figure.found is None else f"{figure.found:,}"
        table.add_row(figure.name, found, f"{figure.value:,.1f} {figure.unit}")
    console.print(table)


def _number(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)
