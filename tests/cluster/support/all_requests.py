"""All that the operator and the gateway ever ask of the API server, for a test of the rights that this takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from hopper.api.heartbeat import configmap_name, shard_of
from hopper.api.resources import OWNED_RESOURCES
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import ALL, Workloads


async def run_everything(live: LiveInstances, workloads: Workloads) -> None:
    """Have the operator do all that it ever does."""
    await workloads.template("web", **ALL)
    await live.create("shop")
    await live.create("shop-web", "Orchestration", "shop", templateRef={"name": "web"})
    await live.create("short", ttlSecondsAfterFinished=0)
    await live.until_phase("Running", "shop", "shop-web", "short")
    await workloads.until_users("shop-web")
    await _take_back_everything(live, workloads)
    await live.edit("short", desiredState="Stopped")
    await live.until_gone("short")
    # A claim goes only with an instance that leaves nothing behind.
    await live.edit("shop-web", type="Ephemeral", desiredState="Terminated")
    await live.until_phase("Terminated", "shop-web")
    await workloads.until_owned("shop-web")
    await live.create("shop-mail", "Orchestration", "shop")
    await live.until_phase("Running", "shop-mail")
    await live.until_event("shop-mail", "Running")
    await live.delete("shop")
    await live.until_gone("shop", "shop-web", "shop-mail")


async def _take_back_everything(live: LiveInstances, workloads: Workloads) -> None:
    """Strip all objects of what says whose they are: they are recognised by a look at each."""
    await workloads.until_owned("shop-web", *OWNED_RESOURCES)
    owned = workloads.owned("shop-web")
    names = {kind: it["metadata"]["name"] for kind, it in owned.items()}
    await asyncio.gather(*(workloads.edit(kind, name, {"metadata": {"labels": None}}) for kind, name in names.items()))
    await workloads.until_owned("shop-web", *names)
    await live.until(lambda: live.is_ready("shop-web"), "shop-web is ready again")


_LOOK_SECONDS, _LOOKS = 0.05, 600


class InProcessGateway:
    """Somebody who calls the gateway about a namespace."""

    def __init__(self, url: str, namespace: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._query = {"namespace": namespace}
        self._headers = headers

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the code and the body of the answer."""
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, f"{self._url}/api/v1{path}", json=body, params=self._query) as response,
        ):
            return response.status, await response.json() if response.status != 204 else None

    async def expect(self, code: int, method: str, path: str, body: object = None) -> Any:
        """Return the body of an answer that has this code."""
        found, answer = await self(method, path, body)
        assert found == code, f"{method} {path}: {found} {answer}"
        return answer

    async def until(self, holds: Callable[[int, Any], bool], path: str) -> None:
        """Wait until a GET is answered as it should be: the gateway's watch may be a moment behind another one."""
        for _ in range(_LOOKS):
            code, answer = await self("GET", path)
            if holds(code, answer):
                return
            await asyncio.sleep(_LOOK_SECONDS)
        raise AssertionError(f"not within {_LOOKS * _LOOK_SECONDS:.0f} s: GET {path} is answered with {code} {answer}")


async def call_everything(live: LiveInstances, workloads: Workloads, rest: InProcessGateway) -> None:
    """Have the gateway do all that it ever does, with an operator at work."""
    await rest.expect(201, "POST", "/instances", {"name": "called", "scope": "PROJECT"})
    await live.until_phase("Running", "called")
    # Whoever comes second goes by what is old by then, and has to look.
    await _all_at_once(rest, [("PUT", "/instances/called", {"description": f"{number}"}) for number in range(10)])
    await _use_templates(rest)
    await _use_a_stack(live, rest)
    await rest.expect(204, "POST", "/registry/instances/called/heartbeat", {"active_tasks": 1})
    noted = configmap_name(shard_of("called"))
    await live.until(lambda: noted in workloads.now("ConfigMap"), f"{noted} is there")
    await rest.expect(200, "POST", "/instances/called/pause")
    await live.until_phase("Paused", "called")
    await rest.expect(204, "DELETE", "/instances/called")
    await rest.until(lambda _, answer: answer["status"] == "terminated", "/instances/called")
    await rest.expect(201, "POST", "/instances", {"name": "called", "scope": "PROJECT"})
    await live.until_phase("Running", "called")


async def _use_templates(rest: InProcessGateway) -> None:
    await rest.expect(201, "POST", "/templates", {"name": "called", "spec": {"image": "web:1"}})
    changes = ({"image": "web:1", "description": f"{number}"} for number in range(10))
    await _all_at_once(rest, [("PUT", "/templates/called", {"spec": spec}) for spec in changes])
    await rest.expect(204, "DELETE", "/templates/called")


async def _use_a_stack(live: LiveInstances, rest: InProcessGateway) -> None:
    await rest.expect(201, "POST", "/instances", {"name": "stack", "scope": "PROJECT"})
    await live.until_phase("Running", "stack")
    wanted = {"instance_id": "db", "template_service_id": "web"}
    await rest.expect(201, "POST", "/stacks/stack/instances", wanted)
    await live.until_phase("Running", "stack-db")
    await rest.expect(200, "GET", "/stacks/stack/instances/db/delete-preview")
    await rest.expect(201, "POST", "/stacks/stack/instances/db/duplicate", {})
    await rest.expect(200, "PUT", "/stacks/stack/instances/db/rename", {"instance_id": "store"})
    await live.until_gone("stack-db")
    await live.until_phase("Running", "stack-store", "stack-db-copy")


async def _all_at_once(rest: InProcessGateway, calls: list[tuple[str, str, object]]) -> None:
    answers = await asyncio.gather(*(rest(*call) for call in calls))
    assert {code for code, _ in answers} <= {200, 409}, answers
