"""`python -m tests.bench`: measure, print tables, write JSON. Exits with 1 when a budget of requests is exceeded."""

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

from rich.console import Console

from hopper.api.crd import KINDS
from hopper.local import Cluster, CurrentCluster, LocalCluster, processes
from hopper.local.progress import Progress, progress_for
from tests.bench.client import Client, connected
from tests.bench.goals import figure_goals, gateway_goals, goals, print_goals
from tests.bench.machine import Neighbours
from tests.bench.measure import Sample
from tests.bench.objects import HOPPER, HOPPER_TEMPLATES, PEER, PEER_TEMPLATES
from tests.bench.operators import BARE_PEER, PLAIN_PEER, THE_OPERATOR
from tests.bench.process import ROOT
from tests.bench.rates import Rates
from tests.bench.report import as_json, print_figures, print_rates, print_rows, rows
from tests.bench.scenarios import cascade, gateway, growth, lifecycle, raw, registry, workloads
from tests.generators.crds import render_crd_file

SCENARIOS = ("lifecycle", "cascade", "workloads", "growth", "registry", "gateway")


@dataclass(frozen=True, slots=True)
class Options:
    """What to run: `scale` is the number of instances of the usual scenarios.

    Growth goes up to five times that, the registry has ten times that, and 30 % of them run something.
    """

    scenarios: tuple[str, ...]
    scale: int
    rounds: int
    json_file: Path
    kubeconfig: Path | None
    quick: bool


def parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Hopper and its peers.")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one (may be repeated)")
    parser.add_argument("--scale", type=int, default=1000, metavar="N", help="instances (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="repetitions (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round of 30 instances: does it work?")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", metavar="FILE")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="use a running cluster instead of an own one")
    found = parser.parse_args(arguments)
    scale, rounds = (30, 1) if found.quick else (found.scale, found.rounds)
    return Options(tuple(found.scenario or SCENARIOS), scale, rounds, found.json, found.kubeconfig, found.quick)


@dataclass(slots=True)
class Bench:
    """One run: what it is told, and what it has found so far."""

    client: Client
    options: Options
    progress: Progress
    neighbours: Neighbours
    rates: list[Rates] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    figures: list[registry.Figure] = field(default_factory=list)
    _prefix: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:4]}")
    _namespaces: int = 0

    async def run(self) -> None:
        """Everything that is compared is measured within the same round, one after the other."""
        chosen = self.options.scenarios
        with self.progress.step("Warming up the API server"):
            await raw.sweep(self.client, self._namespace(), self.options.scale // 4)
        for number in range(1, self.options.rounds + 1):
            if number > 1 and set(chosen) <= {"growth", "registry", "gateway"}:
                break
            turn = f"Round {number} of {self.options.rounds}"
            self.neighbours.begin()
            with self.progress.step(f"{turn}: raw rates"):
                self.rates.append(await raw.sweep(self.client, self._namespace(), self.options.scale))
            if "lifecycle" in chosen:
                await self._lifecycle(turn)
            if "cascade" in chosen:
                await self._cascade(turn)
            if "workloads" in chosen:
                await self._workloads(turn)
            self.neighbours.end()
        if "growth" in chosen:
            self.neighbours.begin()
            await self._growth()
            self.neighbours.end()
        if "gateway" in chosen:
            size = self.options.scale * 10
            with self.progress.step(f"Gateway: {size} instances"):
                self.figures += await gateway.measure(self.client, self._namespace(), size)

    async def _lifecycle(self, turn: str) -> None:
        for subject in (THE_OPERATOR, PLAIN_PEER, BARE_PEER):
            with self.progress.step(f"{turn}: burst and flips, {subject.name}"):
                found = await lifecycle.measure(
                    self.client, subject, self._namespace(), self.options.scale, self.rates[-1]
                )
            self.samples.extend(found)

    async def _cascade(self, turn: str) -> None:
        arguments = self.options.scale, self.rates[-1]
        with self.progress.step(f"{turn}: cascade, Hopper"):
            self.samples.extend(await cascade.measure_hopper(self.client, self._namespace(), *arguments))
        if len(self.rates) == 1:
            with self.progress.step("Waiting until garbage collection knows the kind"):
                await cascade.warm_up(self.client, self._namespace())
        with self.progress.step(f"{turn}: cascade, garbage collection alone"):
            found = await cascade.measure_garbage_collection(self.client, self._namespace(), *arguments)
            self.samples.extend(found)

    async def _workloads(self, turn: str) -> None:
        count = workloads.size(self.options.scale)
        for subject in workloads.SUBJECTS:
            with self.progress.step(f"{turn}: {count} workloads and a template change, {subject.name}"):
                found = await workloads.measure(self.client, subject, self._namespace(), count, self.rates[-1])
            self.samples.extend(found)

    async def _growth(self) -> None:
        scale, rounds = self.options.scale, self.options.rounds
        with self.progress.step("Start without instances"):
            self.samples.extend(await growth.measure_start(self.client, self._namespace(), rounds))
        for size in (max(1, scale // 10), scale, scale * 5):
            with self.progress.step(f"Growth and restart: {size} instances"):
                found = await growth.measure(self.client, self._namespace(), size, self.rates[-1], rounds)
            self.samples.extend(found)

    def _namespace(self) -> str:
        self._namespaces += 1
        return f"{self._prefix}-{self._namespaces}"


@asynccontextmanager
async def prepared(cluster: Cluster) -> AsyncIterator[Client]:
    """Install all definitions, and connect."""
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    for definition in (*map(render_crd_file, KINDS), PEER.definition(), PEER_TEMPLATES.definition()):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=definition)
    async with connected() as client:
        for kind in (HOPPER, PEER, HOPPER_TEMPLATES, PEER_TEMPLATES):
            await client.until_served(kind)
        yield client


async def measure(options: Options, cluster: Cluster, progress: Progress) -> Bench:
    """Run on one cluster."""
    async with prepared(cluster) as client:
        pids = []
        if isinstance(cluster, LocalCluster):
            pids = [process.pid for process in processes.recorded_processes(cluster.directory)]
        bench = Bench(client, options, progress, Neighbours(pids))
        await bench.run()
        return bench


async def measure_limited(cluster: Cluster, size: int, rates: Rates) -> list[Sample]:
    """Run garbage collection alone on a cluster with default limits: once, as the limits decide and not the machine."""
    async with prepared(cluster) as client:
        await cascade.warm_up(client, "warm-up")
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
    nodes = workloads.nodes(options.scale)
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


def _report_registry(options: Options, figures: Sequence[registry.Figure]) -> int:
    """Tell what was measured without a cluster."""
    judged = figure_goals(figures)
    print_figures(_console(), figures)
    print_goals(_console(), judged)
    options.json_file.parent.mkdir(parents=True, exist_ok=True)
    found = {"registry": [asdict(it) for it in figures], "goals": [goal.as_dict() for goal in judged]}
    options.json_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(any(goal.budget and not goal.met for goal in judged))


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=170)


def _report(bench: Bench, figures: Sequence[registry.Figure], seconds: float) -> int:
    found = rows(bench.samples, bench.rates)
    judged = [*goals(found), *figure_goals(figures), *gateway_goals(bench.figures)]
    console = _console()
    print_rates(console, bench.rates)
    print_rows(console, found)
    print_figures(console, figures)
    print_figures(console, bench.figures)
    print_goals(console, judged)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    about = {"machine": machine, "scale": bench.options.scale, "rounds": bench.options.rounds, "seconds": seconds}
    about["cpu_used_by_others"] = bench.neighbours.shares
    bench.options.json_file.parent.mkdir(parents=True, exist_ok=True)
    document = about | as_json(found, bench.rates) | {"registry": [asdict(it) for it in figures]}
    document |= {"gateway": [asdict(it) for it in bench.figures]}
    document |= {"goals": [goal.as_dict() for goal in judged]}
    bench.options.json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if bench.neighbours.cluster:
        shares = ", ".join(f"{share:.0%}" for share in bench.neighbours.shares)
        console.print(f"Other processes used {shares} of the CPUs in the rounds and in growth: the less, the better")
    console.print(f"{seconds:.0f} s in all; written to {bench.options.json_file}")
    return int(any(goal.budget and not goal.met for goal in judged))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
