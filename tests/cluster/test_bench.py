"""The bench itself, small: every scenario yields its numbers, and the request budgets hold. No wall-clock times.

On a cluster of its own: it goes by what the API server counts, where namespaces of other tests may still be ending.
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


def test_the_bench_measures_every_scenario_and_the_budgets_hold(
    new_cluster: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    own = new_cluster("bench")
    report = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(report)]
    done = subprocess.run(
        [*command, "--kubeconfig", str(own.kubeconfig)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert {(row["scenario"], row["subject"]) for row in found["rows"]} == {
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
    assert all(rate > 0 for rates in found["raw"].values() for rate in rates.values())
    assert all(row["seconds"] > 0 for row in found["rows"])
    budgets = [goal for goal in found["goals"] if goal["budget"]]
    assert len(budgets) == 17
    assert all(it["value"] > 0 for it in found["registry"])
    assert {it["unit"] for it in found["registry"]} == {"bytes", "µs"}
    assert all(it["value"] > 0 for it in found["gateway"] if it["unit"])
    assert all(goal["met"] for goal in budgets), budgets


_LIFECYCLE = ("burst to Running", "flip to Stopped", "flip to Running")
_WORKLOADS = ("workloads to Running", "template change")
