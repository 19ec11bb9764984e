"""`python -m tests.bench`: measure, print tables and write JSON.

Exits with 1 when a budget of requests or memory is exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from hopper.api.crd import KINDS
from hopper.local import Cluster, CurrentCluster, LocalCluster, processes
from hopper.local.live_progress import progress_for
from hopper.local.progress import Progress
from tests.bench.client import Client, connected
from tests.bench.goals import Goal, gateway_goals, print_goals, registry_goals, row_goals
from tests.bench.manifests import HOPPER, HOPPER_TEMPLATES, PEER, PEER_TEMPLATES
from tests.bench.measure import Sample
from tests.bench.operators import BARE_PEER, PLAIN_PEER, THE_OPERATOR
from tests.bench.process import ROOT, OtherProcesses
from tests.bench.raw_rates import RawRates, measure_raw_rates
from tests.bench.report import as_json, print_figures, print_rates, print_rows, summarize
from tests.bench.scenarios import cascade, gateway, growth, lifecycle, registry, workloads
from tests.generators.crds import render_crd_file

SCENARIOS = ("lifecycle", "cascade", "workloads", "growth", "registry", "gateway")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of the command line.

    `scale` is the number of instances of most scenarios. Growth goes up to five times as many, registry and gateway
    have ten times as many, and workloads have 30 %.
    """

    scenarios: tuple[str, ...]
    scale: int
    rounds: int
    json_file: Path
    kubeconfig: Path | None


def parse(arguments: Sequence[str]) -> BenchOptions:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Hopper and its peers.")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="run only this one (may be repeated)")
    parser.add_argument("--scale", type=int, default=1000, metavar="N", help="number of instances (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="repetitions (default: 3)")
    parser.add_argument("--quick", action="store_true", help="run one round of 30 instances to check the bench itself")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", metavar="FILE")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="use a running cluster instead of a new one")
    parsed = parser.parse_args(arguments)
    scale, rounds = (30, 1) if parsed.quick else (parsed.scale, parsed.rounds)
    return BenchOptions(tuple(parsed.scenario or SCENARIOS), scale, rounds, parsed.json, parsed.kubeconfig)


@dataclass(slots=True)
class Bench:
    """A run of the bench on one cluster, and its results so far."""

    client: Client
    options: BenchOptions
    progress: Progress
    other_processes: OtherProcesses
    rates: list[RawRates] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    figures: list[registry.Figure] = field(default_factory=list)
    _prefix: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:4]}")
    _namespaces: int = 0

    async def run(self) -> None:
        """Measure all chosen scenarios. Subjects that are compared run one after the other within the same round."""
        chosen = self.options.scenarios
        with self.progress.step("Warming up the API server"):
            await measure_raw_rates(self.client, self._namespace(), self.options.scale // 4)
        for number in range(1, self.options.rounds + 1):
            if number > 1 and set(chosen) <= {"growth", "registry", "gateway"}:
                break
            title = f"Round {number} of {self.options.rounds}"
            self.other_processes.begin()
            with self.progress.step(f"{title}: raw rates"):
                self.rates.append(await measure_raw_rates(self.client, self._namespace(), self.options.scale))
            if "lifecycle" in chosen:
                await self._lifecycle(title)
            if "cascade" in chosen:
                await self._cascade(title)
            if "workloads" in chosen:
                await self._workloads(title)
            self.other_processes.end()
        if "growth" in chosen:
            self.other_processes.begin()
            await self._growth()
            self.other_processes.end()
        if "gateway" in chosen:
            size = self.options.scale * 10
            with self.progress.step(f"Gateway: {size} instances"):
                self.figures += await gateway.measure(self.client, self._namespace(), size)

    async def _lifecycle(self, title: str) -> None:
        for subject in (THE_OPERATOR, PLAIN_PEER, BARE_PEER):
            with self.progress.step(f"{title}: burst and flips, {subject.name}"):
                self.samples += await lifecycle.measure(
                    self.client, subject, self._namespace(), self.options.scale, self.rates[-1]
                )

    async def _cascade(self, title: str) -> None:
        arguments = self.options.scale, self.rates[-1]
        with self.progress.step(f"{title}: cascade, Hopper"):
            self.samples += await cascade.measure_hopper(self.client, self._namespace(), *arguments)
        if len(self.rates) == 1:
            with self.progress.step("Waiting until garbage collection serves the kind"):
                await cascade.until_collected(self.client, self._namespace())
        with self.progress.step(f"{title}: cascade, garbage collection alone"):
            self.samples += await cascade.measure_garbage_collection(self.client, self._namespace(), *arguments)

    async def _workloads(self, title: str) -> None:
        count = workloads.instance_count(self.options.scale)
        for subject in workloads.SUBJECTS:
            with self.progress.step(f"{title}: {count} workloads and a template change, {subject.name}"):
                self.samples += await workloads.measure(self.client, subject, self._namespace(), count, self.rates[-1])

    async def _growth(self) -> None:
        scale, rounds = self.options.scale, self.options.rounds
        with self.progress.step("Start without instances"):
            self.samples += await growth.measure_start(self.client, self._namespace(), rounds)
        for size in (max(1, scale // 10), scale, scale * 5):
            with self.progress.step(f"Growth and restart: {size} instances"):
                self.samples += await growth.measure(self.client, self._namespace(), size, self.rates[-1], rounds)

    def _namespace(self) -> str:
        self._namespaces += 1
        return f"{self._prefix}-{self._namespaces}"


@asynccontextmanager
async def prepared(cluster: Cluster) -> AsyncIterator[Client]:
    """Install all CRDs and yield a client."""
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    for crd in (*map(render_crd_file, KINDS), PEER.definition(), PEER_TEMPLATES.definition()):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=crd)
    async with connected() as client:
        for kind in (HOPPER, PEER, HOPPER_TEMPLATES, PEER_TEMPLATES):
            await client.until_served(kind)
        yield client


async def measure(options: BenchOptions, cluster: Cluster, progress: Progress) -> Bench:
    """Run the bench on a cluster."""
    async with prepared(cluster) as client:
        pids = []
        if isinstance(cluster, LocalCluster):
            pids = [process.pid for process in processes.recorded_processes(cluster.directory)]
        bench = Bench(client, options, progress, OtherProcesses(pids))
        await bench.run()
        return bench


async def measure_limited(cluster: Cluster, size: int, rates: RawRates) -> list[Sample]:
    """Measure garbage collection with default limits. One run is enough because the limits decide, not the machine."""
    async with prepared(cluster) as client:
        await cascade.until_collected(client, "warm-up")
        subject = cascade.LIMITED_GARBAGE_COLLECTION
        return await cascade.measure_garbage_collection(client, "limited", size, rates, subject)


def main(arguments: Sequence[str]) -> int:
    """Run the bench; return the exit code."""
    options, progress, started = parse(arguments), progress_for(), time.monotonic()
    figures = []
    if "registry" in options.scenarios:
        with progress.step(f"Registry: {options.scale * 10} instances"):
            figures = registry.measure(options.scale * 10)
        if set(options.scenarios) == {"registry"}:
            return _report_registry(options, figures)
    nodes = workloads.node_count(options.scale)
    cluster = CurrentCluster(options.kubeconfig) if options.kubeconfig else LocalCluster("bench", nodes=nodes)
    with _up(cluster, progress):
        bench = asyncio.run(measure(options, cluster, progress))
    if "cascade" in options.scenarios and not options.kubeconfig:
        limited = LocalCluster("bench-limited", nodes=0, extra_args=cascade.DEFAULT_LIMITS)
        with _up(limited, progress), progress.step("Cascade, garbage collection with default limits"):
            bench.samples += asyncio.run(measure_limited(limited, options.scale, bench.rates[-1]))
    return _report(bench, figures, time.monotonic() - started)


@contextmanager
def _up(cluster: Cluster, progress: Progress) -> Iterator[None]:
    try:
        cluster.up(progress)
        yield
    finally:
        cluster.down(progress)


def _report_registry(options: BenchOptions, figures: Sequence[registry.Figure]) -> int:
    """Report a run of the registry scenario alone, which needs no cluster."""
    goals = registry_goals(figures)
    print_figures(_console(), figures)
    print_goals(_console(), goals)
    _write_json(options.json_file, {"registry": [asdict(figure) for figure in figures]}, goals)
    return _exit_code(goals)


def _report(bench: Bench, figures: Sequence[registry.Figure], seconds: float) -> int:
    rows = summarize(bench.samples, bench.rates)
    goals = [*row_goals(rows), *registry_goals(figures), *gateway_goals(bench.figures)]
    console = _console()
    print_rates(console, bench.rates)
    print_rows(console, rows)
    print_figures(console, figures)
    print_figures(console, bench.figures)
    print_goals(console, goals)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    document = {"machine": machine, "scale": bench.options.scale, "rounds": bench.options.rounds, "seconds": seconds}
    document["cpu_used_by_others"] = bench.other_processes.shares
    document |= as_json(rows, bench.rates) | {"registry": [asdict(figure) for figure in figures]}
    document |= {"gateway": [asdict(figure) for figure in bench.figures]}
    _write_json(bench.options.json_file, document, goals)
    if bench.other_processes.cluster_pids:
        shares = ", ".join(f"{share:.0%}" for share in bench.other_processes.shares)
        console.print(f"CPU used by other processes, per round and in growth: {shares} (lower is better)")
    console.print(f"{seconds:.0f} s in total; written to {bench.options.json_file}")
    return _exit_code(goals)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=170)


def _write_json(file: Path, document: dict[str, Any], goals: Sequence[Goal]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    document = document | {"goals": [goal.as_dict() for goal in goals]}
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _exit_code(goals: Sequence[Goal]) -> int:
    return int(any(goal.budget and not goal.is_met for goal in goals))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
