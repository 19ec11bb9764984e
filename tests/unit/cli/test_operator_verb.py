"""`hopper operator run`: what it refuses, and what it hands on."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from hopper.cli.main import app


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["operator", "run", *args], terminal_width=200)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `serve` is called with; it answers 7."""
    calls: list[dict[str, Any]] = []

    def serve(**options: Any) -> int:
        calls.append(options)
        return 7

    monkeypatch.setattr("hopper.controller.main.serve", serve)
    return calls


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--namespace=a", "--all-namespaces"], "exclude each other"),
        (["--namespace=a", "--namespace=Team B"], "'Team B' is no name of a namespace"),
        (["--leader-elect-namespace=a"], "needs --leader-elect"),
        (["--metrics-port=-2"], "metrics-port"),
        (["--metrics-port=65536"], "metrics-port"),
        (["--log-format=xml"], "log-format"),
    ],
)
def test_what_is_refused(args: list[str], complaint: str, served: list[dict[str, Any]]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not served


def test_the_exit_code_is_that_of_the_operator(served: list[dict[str, Any]]) -> None:
    assert run().exit_code == 7
    (options,) = served
    assert (options["namespaces"], options["all_namespaces"]) == ([], False)
    assert (options["leader_elect"], options["lease_namespace"]) == (False, None)


def test_everything_is_handed_on(served: list[dict[str, Any]]) -> None:
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
    )
    (options,) = served
    assert options["namespaces"] == ["a", "b"]
    assert options["metrics_port"] is None
    assert (options["leader_elect"], options["lease_namespace"]) == (True, "ops")
    assert (options["verbose"], options["json_logs"]) == (True, True)
