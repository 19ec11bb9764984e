"""`hopper operator run`: options, defaults and environment variables."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from hopper.api.template import ResourceAmounts
from hopper.cli.main import app
from hopper.controller.operator import OperatorOptions
from hopper.domain.service.domains import DomainPolicy


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["operator", "run", *args], terminal_width=200)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each call of `run_operator`, which returns 7."""
    calls: list[dict[str, Any]] = []

    def serve(**options: Any) -> int:
        calls.append(options)
        return 7

    monkeypatch.setattr("hopper.controller.operator.run_operator", serve)
    return calls


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--namespace=a", "--all-namespaces"], "exclude each other"),
        (["--namespace=a", "--namespace=Team B"], "invalid namespace 'Team B'"),
        (["--leader-elect-namespace=a"], "needs --leader-elect"),
        (["--metrics-port=-2"], "metrics-port"),
        (["--metrics-port=65536"], "metrics-port"),
        (["--log-format=xml"], "log-format"),
        (["--prefix=Acme"], "starting with a letter"),
        (["--prefix=1a"], "starting with a letter"),
        (["--prefix=a-"], "starting with a letter"),
        (["--prefix="], "starting with a letter"),
        (["--prefix", "a" * 21], "at most 20"),
        (["--concurrency=0"], "concurrency"),
        (["--resync=1"], "resync"),
        (["--domain-suffix=Example.org"], "'Example.org' is not a domain suffix"),
        (["--default-cpu-limit=two"], "--default-cpu-limit 'two' is not a positive amount"),
        (["--default-cpu-limit=0"], "--default-cpu-limit '0' is not a positive amount"),
        (["--default-cpu-limit=0.1m"], "--default-cpu-limit '0.1m' is not a positive amount"),
        (["--default-memory-limit=-1"], "--default-memory-limit '-1' is not a positive amount"),
        (["--default-memory-limit=0Mi"], "--default-memory-limit '0Mi' is not a positive amount"),
        (["--default-memory-limit=500m"], "--default-memory-limit '500m' is not a positive amount"),
    ],
)
def test_invalid_options_are_rejected(args: list[str], message: str, served: list[dict[str, Any]]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.output
    assert not served


def test_default_options_and_exit_code(served: list[dict[str, Any]]) -> None:
    assert run().exit_code == 7
    (options,) = served
    assert (options["namespaces"], options["all_namespaces"]) == ([], False)
    assert options["leader_elect"] is False
    assert options["options"] == OperatorOptions(metrics_port=8080)


def test_options_take_precedence_over_the_environment(
    served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PREFIX", "acme"), ("CONCURRENCY", "4"), ("RESYNC", "60")):
        monkeypatch.setenv(f"HOPPER_{name}", value)
    run("--concurrency=8")
    (options,) = served
    assert options["options"] == OperatorOptions(metrics_port=8080, prefix="acme", concurrency=8, resync_seconds=60)


def test_all_options_are_passed_on(served: list[dict[str, Any]]) -> None:
    run(
        "-n",
        "a",
        "-n",
        "b",
        "--metrics-port=-1",
        "--leader-elect",
        "--leader-elect-namespace=ops",
        "-v",
        "--log-format=json",
        "--prefix=acme",
        "--concurrency=4",
        "--resync=60",
        "--domain-suffix=a=example.org",
        "--default-cpu-limit=500m",
        "--default-memory-limit=512Mi",
    )
    (options,) = served
    assert options["namespaces"] == ["a", "b"]
    assert options["leader_elect"]
    assert options["options"] == OperatorOptions(
        metrics_port=None,
        lease_namespace="ops",
        prefix="acme",
        concurrency=4,
        resync_seconds=60,
        domain_policy=DomainPolicy(own={"a": ("example.org",)}),
        default_limits=ResourceAmounts(cpu="500m", memory="512Mi"),
    )
    assert (options["verbose"], options["json_logs"]) == (True, True)
