"""Status codes of every route: missing objects, invalid requests, authentication, rights, and no API server."""

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
from tests.cluster.support.fault_proxy import FaultProxy, running_fault_proxy
from tests.cluster.support.in_process_gateway import GatewayClient, GatewayResponse, running_gateway, settings_with
from tests.cluster.support.live_instances import LiveInstances, RefusedError
from tests.cluster.support.rights import READ_VERBS, create_service_account
from tests.generators.rest_docs import openapi_document


class Call(NamedTuple):
    """Request that fits the schema."""

    method: str
    path: str
    body: Any
    is_write: bool
    has_path_parameter: bool
    is_stream: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def example_calls() -> Iterator[Call]:
    """Yield a request for each operation of the API, with the examples of its schema."""
    spec = openapi_document()
    for path, operations in spec["paths"].items():
        if not path.startswith("/api/v1"):
            continue
        for method, operation in operations.items():
            body = None
            if "requestBody" in operation:
                body = example_body(spec, operation["requestBody"]["content"]["application/json"])
            is_stream = "text/event-stream" in operation["responses"].get("200", {}).get("content", ())
            route = path.removeprefix("/api/v1")
            yield Call(method.upper(), path_with_names(route), body, method != "get", "{" in route, is_stream)


def example_body(spec: dict[str, Any], content: dict[str, Any]) -> Any:
    """Return the first example in the schema of a request body."""
    schema = content["schema"]
    for candidate in (schema, *schema.get("anyOf", ())):
        if "$ref" in candidate:
            candidate = spec["components"]["schemas"][candidate["$ref"].rpartition("/")[2]]
        if "examples" in candidate:
            return candidate["examples"][0]
    return {} if schema.get("type") != "array" else []


def path_with_names(path: str) -> str:
    """Replace each path parameter by the name `sample`. Most tests create no object of this name."""
    return "/".join("sample" if part.startswith("{") else part for part in path.split("/"))


CALLS = list(example_calls())


async def send(rest: GatewayClient, call: Call, **headers: str) -> GatewayResponse:
    async with asyncio.timeout(30):
        return await rest.call(call.method, call.path, call.body, **headers)


async def expect_codes(rest: GatewayClient, expected: dict[str, set[int]], **headers: str) -> None:
    """Send every call; fail with a list of the unexpected responses."""
    wrong = []
    for call in CALLS:
        response = await send(rest, call, **headers)
        if response.code not in expected[str(call)]:
            wrong.append(f"{call}: {response.code} instead of {expected[str(call)]}: {response.text[:200]}")
    assert not wrong, "\n".join(wrong)


def every_call(*expected: int) -> dict[str, set[int]]:
    """Expect the same codes for every call."""
    return {str(call): set(expected) for call in CALLS}


async def test_missing_object_is_reported_with_404_or_400(rest: GatewayClient) -> None:
    """A missing template or parent in the body is reported with 400."""
    finite = [call for call in CALLS if not call.is_stream]
    expected = {str(call): {404, 400} if call.has_path_parameter else set(range(200, 500)) for call in finite}
    wrong = []
    for call in finite:
        response = await send(rest, call)
        if response.code not in expected[str(call)]:
            wrong.append(f"{call}: {response.code}: {response.text[:200]}")
    assert not wrong, "\n".join(wrong)


async def test_invalid_request_is_reported_with_422_and_the_field(rest: GatewayClient) -> None:
    for call in CALLS:
        if call.body is not None:
            response = await rest.call(call.method, call.path, {"no such field": 1})
            assert (response.code, bool(response["errors"])) == (422, True), f"{call}: {response.text}"
        response = await rest.call(call.method, f"{call.path}?namespace=Not_A_Name", call.body)
        assert response.code == 422, f"{call}: {response.text}"
        assert "query -> namespace" in [error["field"] for error in response["errors"]]


class TestToken:
    """Bearer tokens are checked with TokenReview, and rights with SubjectAccessReview and the RBAC of the cluster."""

    async def test_allows_what_the_role_of_its_user_allows(self, live: LiveInstances, operator: Any) -> None:
        read = [{"apiGroups": [INSTANCES.group], "resources": [INSTANCES.plural], "verbs": READ_VERBS}]
        write = [{"apiGroups": [INSTANCES.group], "resources": ["*"], "verbs": ["*"]}]
        reader = await create_service_account(live, read, "reader")
        writer = await create_service_account(live, write)
        async with running_gateway(live.namespace, auth=AuthMode.TOKEN) as rest:
            await expect_codes(rest, every_call(401))
            await expect_codes(rest, every_call(401), Authorization="Bearer nonsense")
            await expect_codes(rest, every_call(401), X_API_Key="nonsense")
            bearer = {"Authorization": f"Bearer {reader}"}
            for call in CALLS:
                if call.is_stream:
                    continue
                response = await send(rest, call, **bearer)
                assert (response.code == 403) == (call.is_write or "template" in call.path), f"{call}: {response.text}"
            sent = {"Authorization": f"Bearer {writer}"}
            created = await rest.post("/instances", {"name": "web", "scope": "PROJECT"}, **sent)
            user = f"system:serviceaccount:{live.namespace}:operator"
            assert (created.code, created["created_by"]) == (201, user)
            await live.until_phase("Running", "web")
            assert (await rest.post("/instances/web/pause", {"reason": "lunch"}, **sent)).code == 200
            await live.until_phase("Paused", "web")
            # The user is shown in the history, in the Events, and in the response to a later request.
            reason = f"lunch (by {user})"
            assert live["web"]["status"]["history"][-1]["message"] == reason
            await live.until(
                lambda: any(reason in event["note"] for event in live.events_of("web")), f"an Event with {reason}"
            )
            assert (await rest.get("/instances/web", **bearer))["reason"] == reason


class TestApiKey:
    async def test_allows_what_its_role_allows_until_it_is_removed(self, live: LiveInstances) -> None:
        """After the key is removed from its Secret, requests are rejected and open event streams end."""
        viewer, editor = new_key(), new_key()
        entries = {"viewer": {"hash": hash_of(viewer)}, "editor": {"hash": hash_of(editor), "role": "edit"}}
        await self.write_keys(live, entries)
        settings = settings_with(keepalive_seconds=0.1)
        async with running_gateway(live.namespace, auth=AuthMode.API_KEY, settings=settings) as rest:
            await expect_codes(rest, every_call(401))
            await expect_codes(rest, every_call(401), X_API_Key=new_key())
            for call in CALLS:
                if not call.is_stream:
                    response = await send(rest, call, X_API_Key=viewer)
                    assert (response.code == 403) == call.is_write, f"{call}: {response.text}"
            created = await rest.post("/instances", {"name": "web", "scope": "PROJECT"}, X_API_Key=editor)
            assert (created.code, created["created_by"]) == (201, "key:editor")
            async with rest.session.get(f"{rest.url}/api/v1/registry/events", headers={"X-API-Key": viewer}) as stream:
                del entries["viewer"]
                await self.write_keys(live, entries)
                async with asyncio.timeout(10):
                    await stream.read()
            assert (await rest.get("/instances/web", X_API_Key=viewer)).code == 401
            assert (await rest.get("/instances/web", X_API_Key=editor)).code == 200

    @staticmethod
    async def write_keys(live: LiveInstances, entries: dict[str, Any]) -> None:
        """Create or replace the Secret with the API keys."""
        secrets = f"/api/v1/namespaces/{live.namespace}/secrets"
        data = {name: base64.b64encode(json.dumps(entry).encode()).decode() for name, entry in entries.items()}
        metadata = {"name": "keys", "labels": {LABEL_API_KEYS: "true"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        try:
            await live.request("POST", secrets, secret)
        except RefusedError:
            await live.request("PUT", f"{secrets}/keys", secret)


@asynccontextmanager
async def gateway_behind_proxy(
    cluster: Any, live: LiveInstances, directory: Path, monkeypatch: pytest.MonkeyPatch, auth: AuthMode
) -> AsyncIterator[tuple[GatewayClient, FaultProxy]]:
    """Run a gateway that reaches the API server through a fault proxy."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip("needs the certificates of an embedded cluster")
    async with running_fault_proxy(cluster, directory) as (proxy, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        async with running_gateway(live.namespace, auth=auth) as rest:
            yield rest, proxy


class TestWithoutApiServer:
    async def test_reads_succeed_and_writes_get_503(
        self, cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await live.create("sample")
        async with gateway_behind_proxy(cluster, live, tmp_path, monkeypatch, AuthMode.NONE) as (rest, proxy):
            proxy.disconnect()
            for call in CALLS:
                if call.is_stream:
                    continue
                response = await send(rest, call)
                if call.is_write and call.path.startswith("/instances") and response.code not in (400, 409):
                    assert response.code == 503, f"{call}: {response.text}"
                    assert response.headers["retry-after"] == "1"
                elif call.path.startswith(("/instances", "/registry")):
                    assert response.code < 500, f"{call}: {response.text}"
            assert (await rest.get("/instances/sample")).code == 200
            proxy.reconnect()
            assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
            await live.create("later")
            await rest.until("/instances/later", id="later")

    async def test_every_authenticated_request_gets_503(
        self, cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with gateway_behind_proxy(cluster, live, tmp_path, monkeypatch, AuthMode.TOKEN) as (rest, proxy):
            proxy.disconnect()
            await expect_codes(rest, every_call(503), Authorization="Bearer some-token")


async def test_every_request_gets_503_until_the_indexes_are_complete(
    cluster: Any, live: LiveInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(cluster, LocalCluster):
        pytest.skip("needs the certificates of an embedded cluster")
    async with running_fault_proxy(cluster, tmp_path) as (proxy, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        proxy.disconnect()
        async with running_gateway(live.namespace, wait_until_ready=False) as rest:
            await expect_codes(rest, every_call(503))
            assert (await rest.get("/readyz")).code == 503
            assert (await rest.get("/healthz")).code == 200
            assert (await rest.get("/metrics")).code == 200
            proxy.reconnect()
            async with asyncio.timeout(30):
                while (await rest.get("/readyz")).code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (await rest.get("/instances")).code == 200
