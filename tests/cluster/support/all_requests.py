"""Scenarios that make the operator and the gateway send every kind of request, for the test of their rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from hopper.api.heartbeat import configmap_name, shard_of
from hopper.api.resources import OWNED_RESOURCES
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import FULL_SERVICE, Workloads

_POLL_SECONDS, _POLLS = 0.05, 600


class AuthenticatedClient:
    """Client of the gateway with the credentials of one caller, for one namespace."""

    def __init__(self, url: str, namespace: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._query = {"namespace": namespace}
        self._headers = headers

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request; return the status code and the body of the response."""
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, f"{self._url}/api/v1{path}", json=body, params=self._query) as response,
        ):
            return response.status, await response.json() if response.status != 204 else None

    async def expect(self, code: int, method: str, path: str, body: object = None) -> Any:
        """Send a request and check the status code; return the body of the response."""
        actual, content = await self(method, path, body)
        assert actual == code, f"{method} {path}: {actual} {content}"
        return content

    async def until(self, holds: Callable[[int, Any], bool], path: str) -> None:
        """Repeat a GET until its response meets a condition, because the gateway's watch may lag behind the test's."""
        for _ in range(_POLLS):
            code, content = await self("GET", path)
            if holds(code, content):
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise AssertionError(f"not within {_POLLS * _POLL_SECONDS:.0f} s: GET {path} returns {code} {content}")


async def exercise_operator(live: LiveInstances, workloads: Workloads) -> None:
    """Make the operator send every kind of request that it ever sends."""
    await workloads.create_template("web", **FULL_SERVICE)
    await live.create("shop")
    await live.create("shop-web", "Orchestration", "shop", templateRef={"name": "web"})
    await live.create("short", ttlSecondsAfterFinished=0)
    await live.until_phase("Running", "shop", "shop-web", "short")
    await workloads.until_template_users("shop-web")
    await _make_operator_recover_labels(live, workloads)
    await live.edit("short", desiredState="Stopped")
    await live.until_gone("short")
    # The operator deletes a claim only for an instance whose type keeps no data.
    await live.edit("shop-web", type="Ephemeral", desiredState="Terminated")
    await live.until_phase("Terminated", "shop-web")
    await workloads.until_owned("shop-web")
    await live.create("shop-mail", "Orchestration", "shop")
    await live.until_phase("Running", "shop-mail")
    await live.until_event("shop-mail", "Running")
    await live.delete("shop")
    await live.until_gone("shop", "shop-web", "shop-mail")


async def _make_operator_recover_labels(live: LiveInstances, workloads: Workloads) -> None:
    """Remove the labels of all owned objects, so that the operator must read each object to recognise it."""
    await workloads.until_owned("shop-web", *OWNED_RESOURCES)
    names = {kind: owned["metadata"]["name"] for kind, owned in workloads.owned_objects("shop-web").items()}
    await asyncio.gather(*(workloads.edit(kind, name, {"metadata": {"labels": None}}) for kind, name in names.items()))
    await workloads.until_owned("shop-web", *names)
    await live.until(lambda: live.is_ready("shop-web"), "shop-web is ready again")


async def exercise_gateway(live: LiveInstances, workloads: Workloads, rest: AuthenticatedClient) -> None:
    """Make the gateway send every kind of request that it ever sends, while an operator runs."""
    await rest.expect(201, "POST", "/instances", {"name": "called", "scope": "PROJECT"})
    await live.until_phase("Running", "called")
    # All but one of these writes meet a conflict, and the gateway then reads the current object.
    await _send_concurrently(rest, [("PUT", "/instances/called", {"description": f"{n}"}) for n in range(10)])
    await _exercise_templates(rest)
    await _exercise_stack(live, rest)
    await rest.expect(204, "POST", "/registry/instances/called/heartbeat", {"active_tasks": 1})
    shard = configmap_name(shard_of("called"))
    await live.until(lambda: shard in workloads.objects("ConfigMap"), f"ConfigMap {shard} exists")
    await rest.expect(200, "POST", "/instances/called/pause")
    await live.until_phase("Paused", "called")
    await rest.expect(204, "DELETE", "/instances/called")
    await rest.until(lambda _, content: content["status"] == "terminated", "/instances/called")
    await rest.expect(201, "POST", "/instances", {"name": "called", "scope": "PROJECT"})
    await live.until_phase("Running", "called")


async def _exercise_templates(rest: AuthenticatedClient) -> None:
    await rest.expect(201, "POST", "/templates", {"name": "called", "spec": {"image": "web:1"}})
    specs = ({"image": "web:1", "description": f"{n}"} for n in range(10))
    await _send_concurrently(rest, [("PUT", "/templates/called", {"spec": spec}) for spec in specs])
    await rest.expect(204, "DELETE", "/templates/called")


async def _exercise_stack(live: LiveInstances, rest: AuthenticatedClient) -> None:
    await rest.expect(201, "POST", "/instances", {"name": "stack", "scope": "PROJECT"})
    await rest.until(lambda _, content: content["status"] == "running", "/instances/stack")
    service = {"instance_id": "db", "template_service_id": "web"}
    await rest.expect(201, "POST", "/stacks/stack/instances", service)
    await live.until_phase("Running", "stack-db")
    variables = [{"name": "TOKEN", "value": "s3cret", "secret": True}]
    await rest.expect(200, "PUT", "/stacks/stack/instances/db/env-vars", variables)
    await rest.expect(200, "GET", "/stacks/stack/instances/db/delete-preview")
    await rest.expect(201, "POST", "/stacks/stack/instances/db/duplicate", {})
    await rest.expect(200, "PUT", "/stacks/stack/instances/db/rename", {"instance_id": "store"})
    await live.until_gone("stack-db")
    await live.until_phase("Running", "stack-store", "stack-db-copy")


async def _send_concurrently(rest: AuthenticatedClient, calls: list[tuple[str, str, object]]) -> None:
    responses = await asyncio.gather(*(rest(*call) for call in calls))
    assert {code for code, _ in responses} <= {200, 409}, responses
