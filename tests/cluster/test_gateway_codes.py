"""Every route and every code of the contract: who may not, what is not there, what is wrong, and no API server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hopper.api.names import LABEL_API_KEYS
from hopper.api.resources import INSTANCES
from hopper.gateway.auth.api_keys import hash_of, new_key
from hopper.gateway.server import AuthMode
from hopper.local import LocalCluster
from tests.cluster.support.fault_proxy import Fault, running_fault_proxy
from tests.cluster.support.in_process_gateway import GatewayClient, GatewayResponse, running_gateway, settings_with
from tests.cluster.support.live_instances import LiveInstances, RefusedError
from tests.cluster.support.rights import READ_VERBS, create_service_account
from tests.generators.rest_docs import openapi_document


class Call(NamedTuple):
    """A request that fits the schema."""

    method: str
    path: str
    body: Any
    is_write: bool
    about_one: bool
    streams: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def calls() -> Iterator[Call]:
    """One for each operation of the API, with the examples of its schema."""
    spec = openapi_document()
    for path, operations in spec["paths"].items():
        if not path.startswith("/api/v1"):
            continue
        for method, operation in operations.items():
            body = None
            if "requestBody" in operation:
                body = example(spec, operation["requestBody"]["content"]["application/json"])
            streams = "text/event-stream" in operation["responses"].get("200", {}).get("content", ())
            where = path.removeprefix("/api/v1")
            yield Call(method.upper(), fill(where), body, method != "get", "{" in where, streams)


def example(spec: dict[str, Any], content: dict[str, Any]) -> Any:
    """Return the first example of a body."""
    schema = content["schema"]
    for candidate in (schema, *schema.get("anyOf", ())):
        if "$ref" in candidate:
            candidate = spec["components"]["schemas"][candidate["$ref"].rpartition("/")[2]]
        if "examples" in candidate:
            return candidate["examples"][0]
    return {} if schema.get("type") != "array" else []


def fill(path: str) -> str:
    return "/".join("nobody" if part.startswith("{") else part for part in path.split("/"))


CALLS = list(calls())


async def send(rest: GatewayClient, call: Call, **headers: str) -> GatewayResponse:
    async with asyncio.timeout(30):
        return await rest.call(call.method, call.path, call.body, **headers)


async def codes(rest: GatewayClient, expected: dict[str, set[int]], **headers: str) -> None:
    """Send every call; report each that is not answered as expected."""
    wrong = []
    for call in CALLS:
        answer = await send(rest, call, **headers)
        if answer.code not in expected[str(call)]:
            wrong.append(f"{call}: {answer.code} instead of {expected[str(call)]}: {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


def all_are(*wanted: int) -> dict[str, set[int]]:
    return {str(call): set(wanted) for call in CALLS}


async def test_what_is_not_there(rest: GatewayClient) -> None:
    """404, or 400 where a template or parent that the body names is what is missing; never anything else."""
    found = {str(it): {404, 400} if it.about_one else set(range(200, 500)) for it in CALLS if not it.streams}
    wrong = []
    for call in CALLS:
        if call.streams:
            continue
        answer = await send(rest, call)
        if answer.code not in found[str(call)]:
            wrong.append(f"{call}: {answer.code}: {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


async def test_what_is_wrong(rest: GatewayClient) -> None:
    """422 for each parameter and body, with the name of the field."""
    for call in CALLS:
        if call.body is not None:
            answer = await rest.call(call.method, call.path, {"no such field": 1})
            assert (answer.code, bool(answer["errors"])) == (422, True), f"{call}: {answer.text}"
        answer = await rest.call(call.method, f"{call.path}?namespace=Not_A_Name", call.body)
        assert answer.code == 422, f"{call}: {answer.text}"
        assert "query -> namespace" in [it["field"] for it in answer["errors"]]


class TestTokens:
    """TokenReview and SubjectAccessReview decide, and RBAC is that of the cluster."""

    async def test_who_may_what(self, live: LiveInstances, operator: Any) -> None:
        read = [{"apiGroups": [INSTANCES.group], "resources": [INSTANCES.plural], "verbs": READ_VERBS}]
        write = [{"apiGroups": [INSTANCES.group], "resources": ["*"], "verbs": ["*"]}]
        reader = await create_service_account(live, read, "reader")
        writer = await create_service_account(live, write)
        async with running_gateway(live.namespace, auth=AuthMode.TOKEN) as rest:
            await codes(rest, all_are(401))
            await codes(rest, all_are(401), Authorization="Bearer nonsense")
            await codes(rest, all_are(401), X_API_Key="nonsense")
            bearer = {"Authorization": f"Bearer {reader}"}
            for call in CALLS:
                if call.streams:
                    continue
                answer = await send(rest, call, **bearer)
                assert (answer.code == 403) == (call.is_write or "template" in call.path), f"{call}: {answer.text}"
            sent = {"Authorization": f"Bearer {writer}"}
            made = await rest.post("/instances", {"name": "web", "scope": "PROJECT"}, **sent)
            user = f"system:serviceaccount:{live.namespace}:operator"
            assert (made.code, made["created_by"]) == (201, user)
            await live.until_phase("Running", "web")
            assert (await rest.post("/instances/web/pause", {"reason": "lunch"}, **sent)).code == 200
            await live.until_phase("Paused", "web")
            # Who did it stands in the history, in the Events, and in what is asked again.
            said = f"lunch (by {user})"
            assert live["web"]["status"]["history"][-1]["message"] == said
            await live.until(lambda: any(said in it["note"] for it in live.events_of("web")), f"an Event says {said}")
            assert (await rest.get("/instances/web", **bearer))["reason"] == said


class TestKeys:
    async def test_who_may_what(self, live: LiveInstances) -> None:
        """A key that is taken out of its Secret is not accepted any more, and streams that it opened end."""
        viewer, editor = new_key(), new_key()
        entries = {"viewer": {"hash": hash_of(viewer)}, "editor": {"hash": hash_of(editor), "role": "edit"}}
        await self.keep(live, entries)
        settings = settings_with(keepalive_seconds=0.1)
        async with running_gateway(live.namespace, auth=AuthMode.API_KEY, settings=settings) as rest:
            await codes(rest, all_are(401))
            await codes(rest, all_are(401), X_API_Key=new_key())
            for call in CALLS:
                if not call.streams:
                    answer = await send(rest, call, X_API_Key=viewer)
                    assert (answer.code == 403) == call.is_write, f"{call}: {answer.text}"
            made = await rest.post("/instances", {"name": "web", "scope": "PROJECT"}, X_API_Key=editor)
            assert (made.code, made["created_by"]) == (201, "key:editor")
            async with rest.session.get(f"{rest.url}/api/v1/registry/events", headers={"X-API-Key": viewer}) as stream:
                del entries["viewer"]
                await self.keep(live, entries)
                async with asyncio.timeout(10):
                    await stream.read()
            assert (await rest.get("/instances/web", X_API_Key=viewer)).code == 401
            assert (await rest.get("/instances/web", X_API_Key=editor)).code == 200

    @staticmethod
    async def keep(live: LiveInstances, entries: dict[str, Any]) -> None:
        secrets = f"/api/v1/namespaces/{live.namespace}/secrets"
        data = {name: base64.b64encode(json.dumps(it).encode()).decode() for name, it in entries.items()}
        metadata = {"name": "keys", "labels": {LABEL_API_KEYS: "true"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        try:
            await live.request("POST", secrets, secret)
        except RefusedError:
            await live.request("PUT", f"{secrets}/keys", secret)


@asynccontextmanager
async def behind_a_proxy(
    cluster: Any, live: LiveInstances, directory: Path, monkeypatch: pytest.MonkeyPatch, auth: AuthMode
) -> AsyncIterator[tuple[GatewayClient, Any]]:
    if not isinstance(cluster, LocalCluster):
        pytest.skip("needs the certificates of an embedded cluster")
    async with running_fault_proxy(cluster, directory) as (between, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        async with running_gateway(live.namespace, auth=auth) as rest:
            yield rest, between


class TestNoApiServer:
    async def test_reads_go_on_and_writes_say_so(
        self, cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await live.create("nobody")
        async with behind_a_proxy(cluster, live, tmp_path, monkeypatch, AuthMode.NONE) as (rest, between):
            between.rule = lambda call: Fault.RESET
            between.cut()
            for call in CALLS:
                if call.streams:
                    continue
                answer = await send(rest, call)
                if call.is_write and call.path.startswith("/instances") and answer.code not in (400, 409):
                    assert answer.code == 503, f"{call}: {answer.text}"
                    assert answer.headers["retry-after"] == "1"
                elif call.path.startswith(("/instances", "/registry")):
                    assert answer.code < 500, f"{call}: {answer.text}"
            assert (await rest.get("/instances/nobody")).code == 200
            between.rule = lambda call: None
            assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
            await live.create("later")
            await rest.until("/instances/later", id="later")

    async def test_nobody_can_be_let_in(
        self, cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with behind_a_proxy(cluster, live, tmp_path, monkeypatch, AuthMode.TOKEN) as (rest, between):
            between.rule = lambda call: Fault.RESET
            between.cut()
            await codes(rest, all_are(503), Authorization="Bearer some-token")


async def test_not_complete_yet(
    cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before everything is known, nothing is answered from it."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip("needs the certificates of an embedded cluster")
    async with running_fault_proxy(cluster, tmp_path) as (between, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        between.rule = lambda call: Fault.RESET
        async with running_gateway(live.namespace, wait_until_ready=False) as rest:
            await codes(rest, all_are(503))
            assert (await rest.get("/readyz")).code == 503
            assert (await rest.get("/healthz")).code == 200
            assert (await rest.get("/metrics")).code == 200
            between.rule = lambda call: None
            async with asyncio.timeout(30):
                while (await rest.get("/readyz")).code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (await rest.get("/instances")).code == 200
