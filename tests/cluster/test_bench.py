"""Short run of the benchmark: every scenario yields numbers, and the request budgets hold.

It has a cluster of its own, because the API server counts requests of all clients, also for the namespaces of other
tests that are still being deleted. Durations are not compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hopper.local import LocalCluster

ROOT = Path(__file__).parents[2]
OPERATORS = {"Hopper", "plain kopf", "bare on.event"}


def test_benchmark_measures_every_scenario_and_keeps_the_budgets(
    new_cluster: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    cluster = new_cluster("bench")
    report = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(report)]
    done = subprocess.run(
        [*command, "--kubeconfig", str(cluster.kubeconfig)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(report.read_text())
    assert {(row["scenario"], row["subject"]) for row in results["rows"]} == {
        *((scenario, subject) for scenario in _LIFECYCLE for subject in OPERATORS),
        *((scenario, subject) for scenario in _WORKLOADS for subject in ("Hopper", "plain kopf")),
        ("tree to Running", "Hopper"),
        ("cascade deletion", "Hopper"),
        ("cascade deletion", "garbage collection"),
        ("start without instances", "Hopper"),
        ("growth", "Hopper"),
        ("LIST and parse", "raw"),
        ("restart", "Hopper"),
    }
    assert all(rate > 0 for rates in results["raw"].values() for rate in rates.values())
    assert all(row["seconds"] > 0 for row in results["rows"])
    budgets = [goal for goal in results["goals"] if goal["budget"]]
    assert len(budgets) == 17
    assert all(figure["value"] > 0 for figure in results["registry"])
    assert {figure["unit"] for figure in results["registry"]} == {"bytes", "µs"}
    assert all(figure["value"] > 0 for figure in results["gateway"] if figure["unit"])
    assert all(goal["met"] for goal in budgets), budgets


_LIFECYCLE = ("burst to Running", "flip to Stopped", "flip to Running")
_WORKLOADS = ("workloads to Running", "template change")
