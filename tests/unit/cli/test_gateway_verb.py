"""`hopper gateway`: options, defaults and API keys."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hopper.api.resources import INSTANCES
from hopper.cli.main import app
from hopper.gateway.auth import ApiKeyAuthority, Permission
from hopper.gateway.http.connections import is_loopback
from hopper.gateway.main import serve_gateway
from hopper.gateway.server import AuthMode

OPTIONS: dict[str, Any] = {
    "namespaces": [],
    "all_namespaces": False,
    "port": 0,
    "rate": 0,
    "allowed_hosts": [],
    "tls_files": None,
    "token_audiences": [],
    "prefix": "hopper",
    "system_namespaces": (),
    "verbose": False,
    "json_logs": False,
}


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["gateway", "run", *args], terminal_width=200)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each call of `serve_gateway`, which returns 7."""
    calls: list[dict[str, Any]] = []

    def serve(**options: Any) -> int:
        calls.append(options)
        return 7

    monkeypatch.setattr("hopper.gateway.main.serve_gateway", serve)
    return calls


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--namespace=a", "--all-namespaces"], "exclude each other"),
        (["--namespace=a", "--namespace=Team B"], "invalid namespace 'Team B'"),
        (["--port=70000"], "port"),
        (["--auth=password"], "auth"),
        (["--tls-cert=tls.crt"], "belong together"),
        (["--tls-key=tls.key"], "belong together"),
        (["--auth=apikey", "--token-audience=hopper"], "has no meaning"),
        (["--log-format=xml"], "log-format"),
        (["--prefix=Acme"], "starting with a letter"),
    ],
)
def test_invalid_options_are_rejected(args: list[str], message: str, served: list[dict[str, Any]]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.output
    assert not served


def test_default_options(served: list[dict[str, Any]]) -> None:
    assert run().exit_code == 7
    (options,) = served
    assert (options["namespaces"], options["all_namespaces"]) == ([], False)
    assert (options["host"], options["port"], options["auth"]) == ("127.0.0.1", 8090, AuthMode.TOKEN)
    assert (options["rate"], options["prefix"]) == (500, "hopper")


def test_all_options_are_passed_on(served: list[dict[str, Any]]) -> None:
    run(
        "-n",
        "a",
        "-n",
        "b",
        "--host=::1",
        "--port=0",
        "--auth=apikey",
        "--rate=9",
        "--allowed-host=Hopper.example.org",
        "--tls-cert=tls.crt",
        "--tls-key=tls.key",
        "-v",
        "--log-format=json",
        "--prefix=x",
    )
    (options,) = served
    assert options["namespaces"] == ["a", "b"]
    assert (options["host"], options["port"], options["auth"]) == ("::1", 0, AuthMode.API_KEY)
    assert (options["rate"], options["verbose"], options["json_logs"]) == (9, True, True)
    assert options["prefix"] == "x"
    assert options["allowed_hosts"] == ["Hopper.example.org"]
    assert options["tls_files"] == (Path("tls.crt"), Path("tls.key"))


def test_token_audiences(served: list[dict[str, Any]]) -> None:
    run("--token-audience=hopper", "--token-audience=ci")
    assert served[0]["token_audiences"] == ["hopper", "ci"]


def test_a_certificate_that_cannot_be_read_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    options = OPTIONS | {"tls_files": (tmp_path / "tls.crt", tmp_path / "tls.key")}
    assert serve_gateway(host="127.0.0.1", auth=AuthMode.TOKEN, **options) == 1
    assert "cannot read --tls-cert and --tls-key" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_auth_none_is_rejected_on_other_addresses_than_loopback(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert serve_gateway(host=host, auth=AuthMode.NONE, **OPTIONS) == 1
    assert "use --host 127.0.0.1" in capsys.readouterr().err


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost")))


class TestApiKey:
    def create(self, *args: str) -> tuple[str, dict[str, Any]]:
        result = CliRunner().invoke(app, ["gateway", "key", "create", *args])
        assert result.exit_code == 0, result.output
        secret = yaml.safe_load(result.stdout)
        key = result.stderr.split()[-1]
        assert key not in result.stdout
        return key, secret

    async def load_keys(self, key: str, secret: dict[str, Any], namespace: str) -> ApiKeyAuthority:
        keys = ApiKeyAuthority("home")
        data = {name: base64.b64encode(text.encode()).decode() for name, text in secret["stringData"].items()}
        keys.put({"metadata": {"namespace": namespace, "name": secret["metadata"]["name"], "uid": "1"}, "data": data})
        return keys

    async def test_the_gateway_accepts_the_key_in_its_namespaces(self) -> None:
        key, secret = self.create("ci", "--role", "edit", "--for", "a", "--for", "b", "--days", "3")
        assert secret["metadata"] == {"name": "hopper-api-key-ci", "labels": {"hopper.dev/api-keys": "true"}}
        keys = await self.load_keys(key, secret, "home")
        caller = await keys.identify({"x-api-key": key})
        assert caller.name == "key:ci"
        write = Permission("patch", INSTANCES)
        assert [await keys.allows(caller, write, namespace) for namespace in ("a", "b", "home")] == [True, True, False]

    async def test_by_default_the_key_gives_read_access_to_the_namespace_of_its_secret(self) -> None:
        key, secret = self.create("ci")
        keys = await self.load_keys(key, secret, "there")
        caller = await keys.identify({"x-api-key": key})
        rights = [await keys.allows(caller, Permission(verb, INSTANCES), "there") for verb in ("get", "patch")]
        assert rights == [True, False]
        assert not await keys.allows(caller, Permission("get", INSTANCES), "home")

    def test_an_invalid_name_is_rejected(self) -> None:
        assert CliRunner().invoke(app, ["gateway", "key", "create", "My Key"]).exit_code == 2
