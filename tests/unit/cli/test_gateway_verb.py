"""`hopper gateway run`: what it refuses, and what it hands on."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from typer.testing import CliRunner

from hopper.cli.main import app
from hopper.gateway.main import is_loopback
from hopper.gateway.main import serve as really_serve
from hopper.gateway.server import AuthMode


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["gateway", "run", *args], terminal_width=200)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `serve` is called with; it answers 7."""
    calls: list[dict[str, Any]] = []

    def serve(**options: Any) -> int:
        calls.append(options)
        return 7

    monkeypatch.setattr("hopper.gateway.main.serve", serve)
    return calls


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--namespace=a", "--all-namespaces"], "exclude each other"),
        (["--port=70000"], "port"),
        (["--auth=password"], "auth"),
        (["--log-format=xml"], "log-format"),
    ],
)
def test_what_is_refused(args: list[str], complaint: str, served: list[dict[str, Any]]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not served


def test_the_defaults(served: list[dict[str, Any]]) -> None:
    assert run().exit_code == 7
    (options,) = served
    assert (options["namespaces"], options["all_namespaces"]) == ([], False)
    assert (options["host"], options["port"], options["auth"]) == ("127.0.0.1", 8090, AuthMode.TOKEN)
    assert options["rate"] == 500


def test_everything_is_handed_on(served: list[dict[str, Any]]) -> None:
    run("-n", "a", "-n", "b", "--host=::1", "--port=0", "--auth=apikey", "--rate=9", "-v", "--log-format=json")
    (options,) = served
    assert options["namespaces"] == ["a", "b"]
    assert (options["host"], options["port"], options["auth"]) == ("::1", 0, AuthMode.API_KEY)
    assert (options["rate"], options["verbose"], options["json_logs"]) == (9, True, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_no_authentication_is_only_for_loopback(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    options: dict[str, Any] = {"namespaces": [], "all_namespaces": False, "port": 0, "rate": 0, "verbose": False}
    assert really_serve(host=host, auth=AuthMode.NONE, json_logs=False, **options) == 1
    assert "only for --host 127.0.0.1" in capsys.readouterr().err


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost")))
