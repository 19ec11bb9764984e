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
from hopper.cli.api_keys import read_api_keys, remove_api_key
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
        "--system-namespace=own",
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
    assert (options["prefix"], options["system_namespaces"]) == ("x", ["own"])
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

    async def test_a_key_with_role_beat_is_for_its_instances(self) -> None:
        key, secret = self.create("probe", "--role", "beat", "--instance", "web", "--description", "pings")
        keys = await self.load_keys(key, secret, "there")
        caller = await keys.identify({"x-api-key": key})
        beats = [Permission("create", INSTANCES, "heartbeat", name) for name in ("web", "db", "")]
        assert [await keys.allows(caller, beat, "there") for beat in beats] == [True, False, False]
        assert not await keys.allows(caller, Permission("get", INSTANCES), "there")

    @pytest.mark.parametrize(("args", "expires"), [((), True), (("--days", "0"), False)])
    def test_a_key_expires_unless_it_must_not(self, args: tuple[str, ...], expires: bool) -> None:
        _, secret = self.create("ci", *args)
        assert ("expires" in secret["stringData"]["ci"]) == expires

    @pytest.mark.parametrize(
        "args", [("--role", "beat"), ("--role", "work"), ("--role", "edit", "--instance", "web"), ("--role", "king")]
    )
    def test_instances_fit_the_role(self, args: tuple[str, ...]) -> None:
        assert CliRunner().invoke(app, ["gateway", "key", "create", "ci", *args]).exit_code == 2

    def test_a_description_is_limited(self) -> None:
        _, secret = self.create("ci", "--description", "x" * 255)
        assert "x" * 255 in secret["stringData"]["ci"]
        refused = CliRunner().invoke(app, ["gateway", "key", "create", "ci", "--description", "x" * 256])
        assert (refused.exit_code, "more than 255 characters" in refused.output) == (2, True)

    def test_an_invalid_name_is_rejected(self) -> None:
        assert CliRunner().invoke(app, ["gateway", "key", "create", "My Key"]).exit_code == 2


class FakeSecrets:
    """`KubeClient` for the Secrets of one namespace, with a record of all writes."""

    def __init__(self, *secrets: dict[str, Any]) -> None:
        self.secrets = secrets
        self.writes: list[tuple[str, str, object]] = []

    async def request(self, method: str, path: str, *, body: object = None, query: str = "", **_: object) -> Any:
        if method == "GET":
            assert (path, query) == ("/api/v1/namespaces/a/secrets", "labelSelector=hopper.dev%2Fapi-keys%3Dtrue")
            return {"items": list(self.secrets)}
        self.writes.append((method, path.rpartition("/")[2], body))
        return {}


def stored_secret(name: str, **entries: str) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()}
    return {"metadata": {"name": name, "uid": "u", "resourceVersion": "7"}, "data": data}


class TestStoredKeys:
    HASH = "sha256:" + "0" * 64

    async def test_the_list_shows_no_hash(self) -> None:
        entry = f'{{"hash": "{self.HASH}", "role": "operate", "expires": "2027-01-01T00:00:00Z", "description": "d"}}'
        kube: Any = FakeSecrets(stored_secret("keys", ci=entry, broken="{"))
        rows = [key.row() for key in await read_api_keys(kube, "a")]
        assert rows == [
            ("broken", "(invalid)", "", "", "", "keys", ""),
            ("ci", "operate", "*", "a", "2027-01-01 00:00", "keys", "d"),
        ]

    async def test_a_revoked_key_is_removed_from_every_secret(self) -> None:
        kube: Any = FakeSecrets(
            stored_secret("one", ci="{}"), stored_secret("two", ci="{}", x="{}"), stored_secret("z")
        )
        assert await remove_api_key(kube, "a", "ci") == ["one", "two"]
        preconditions = {"uid": "u", "resourceVersion": "7"}
        assert kube.writes == [
            ("DELETE", "one", {"preconditions": preconditions}),
            ("PATCH", "two", [{"op": "remove", "path": "/data/ci"}]),
        ]
        assert await remove_api_key(kube, "a", "unknown") == []
