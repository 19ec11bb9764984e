"""REST API on a real API server beside a running operator: actions, concurrent calls, events, and secrets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hopper.api.resources import Manifest
from hopper.domain.actions import Action
from tests.cluster.support.in_process_gateway import GatewayClient, running_gateway, until_gateways_agree
from tests.cluster.support.live_instances import LiveInstances, manifest

INDIVIDUAL_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "name", "generation")


def without_individual_fields(instance: Manifest) -> Manifest:
    """Return the part of an object that two objects created in the same way share."""
    metadata = {key: value for key, value in instance["metadata"].items() if key not in INDIVIDUAL_FIELDS}
    return {"metadata": metadata, **{key: instance[key] for key in ("spec", "apiVersion", "kind")}}


async def test_instance_from_creation_to_termination_and_recreation(rest: GatewayClient, live: LiveInstances) -> None:
    assert (await rest.post("/instances", {"name": "Root", "scope": "GLOBAL"})).code == 201
    created = await rest.post(
        "/instances", {"name": "Web shop", "scope": "PROJECT", "id": "web", "parent_id": "global"}
    )
    assert (created.code, created["status"], created.headers["location"]) == (201, "created", "/api/v1/instances/web")
    assert (await rest.get("/instances/web"))["uid"] == created["uid"]
    worker = {"name": "worker", "scope": "ORCHESTRATION", "parent_id": "web", "config": {"capabilities": ["gpu"]}}
    assert (await rest.post("/instances", worker)).code == 201
    await rest.until("/instances/worker", status="running", ready=True)

    paused = await rest.post("/instances/web/pause?wait=true", {"reason": "maintenance"})
    assert (paused.code, paused["success"], paused["current_status"]) == (200, True, "paused")
    worker_view = await rest.until(
        "/instances/worker", status="paused", desired_state="running", effective_state="paused"
    )
    assert "maintenance" in worker_view["history"][-1]["message"]
    rejected = await rest.post("/instances/worker/resume")
    assert (rejected.code, "already has desired state Running" in rejected["detail"]) == (409, True)
    assert (await rest.post("/instances/web/resume?wait=true"))["success"]
    await rest.until("/instances/worker", status="running")

    before = (await rest.get("/instances/worker"))["restarts"]
    assert (await rest.post("/instances/worker/restart?wait=true"))["success"]
    assert (await rest.get("/instances/worker"))["restarts"] == before + 1

    tree = await rest.get("/instances/global/hierarchy")
    assert (tree["total_instances"], tree["root"]["children"][0]["instance"]["id"]) == (3, "web")
    matches = await rest.get("/registry/discover?capability=gpu&ancestor_id=global&healthy=true")
    assert [match["id"] for match in matches["items"]] == ["worker"]

    rejected = await rest.delete("/instances/web")
    assert (rejected.code, "worker" in rejected["detail"]) == (409, True)
    assert (await rest.delete("/instances/web?cascade=true")).code == 204
    await rest.until("/instances/worker", status="terminated")
    await rest.until("/instances/web", status="terminated")
    assert (await rest.post("/instances/web/start")).code == 400
    recreated = await rest.post("/instances", {"name": "web", "scope": "PROJECT", "parent_id": "global"})
    assert (recreated.code, recreated["uid"] != created["uid"]) == (201, True)
    await rest.until("/instances/web", status="running")


async def test_instance_created_through_rest_equals_one_created_with_kubectl(
    rest: GatewayClient, live: LiveInstances
) -> None:
    config = {"capabilities": ["gpu"], "limits": {"maxDepth": 3}, "extra": {"a": {"b": [1, "x"]}}}
    overrides = {"env": [{"name": "MODE", "value": "fast"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    spec = {"displayName": "Web", "description": "sells", "config": config, "overrides": overrides, "type": "Singleton"}
    await live.create_from(manifest("by-kubectl", **spec))
    body = {"name": "Web", "id": "by-rest", "scope": "PROJECT", "description": "sells", "config": config}
    created = await rest.post("/instances", body | {"overrides": overrides, "instance_type": "SINGLETON"})
    assert created.code == 201, created.text
    await live.until_phase("Running", "by-kubectl", "by-rest")
    for name in ("by-kubectl", "by-rest"):
        await rest.until(f"/instances/{name}", status="running", ready=True)
    by_kubectl, by_rest = live["by-kubectl"], live["by-rest"]
    assert without_individual_fields(by_kubectl) == without_individual_fields(by_rest)
    assert live.phase_history("by-kubectl") == live.phase_history("by-rest")
    managers = {entry["manager"] for entry in by_rest["metadata"]["managedFields"]}
    assert managers == {"hopper-gateway", "hopper-operator"}
    views = [(await rest.get(f"/instances/{name}")).body for name in ("by-kubectl", "by-rest")]
    keys = ("name", "scope", "status", "config", "description", "overrides")
    assert [views[0][key] for key in keys] == [views[1][key] for key in keys]


# Actions that lead from Running to each phase.
ACTIONS_TO_PHASE: dict[str, list[str]] = {
    "running": [],
    "paused": ["pause"],
    "stopped": ["stop"],
    "archived": ["archive"],
}
# Status code of each action in each phase.
CODES = {
    "running": {"start": 409, "stop": 200, "restart": 200, "pause": 200, "resume": 409, "archive": 200},
    "paused": {"start": 200, "stop": 200, "restart": 200, "pause": 409, "resume": 200, "archive": 200},
    "stopped": {"start": 200, "stop": 409, "restart": 400, "pause": 400, "resume": 400, "archive": 200},
    "archived": {"start": 400, "stop": 400, "restart": 400, "pause": 400, "resume": 400, "archive": 409},
    "terminated": dict.fromkeys(Action, 400),
    "error": dict.fromkeys(Action, 200),
    "created": {"start": 409, "stop": 200, "restart": 200, "pause": 200, "resume": 409, "archive": 200},
}

# Phase that each action leads to.
PHASE_AFTER = {"start": "running", "stop": "stopped", "pause": "paused", "resume": "running", "archive": "archived"}


async def test_every_action_in_every_phase(rest: GatewayClient, live: LiveInstances, stages: None) -> None:
    """Each case has an instance of its own; an accepted action leads to its phase."""
    await live.request("POST", live.path.replace("instances", "templates"), template_manifest("crash", "crash:1"))

    async def check(phase: str, action: str) -> None:
        name = f"{phase}-{action}"
        await create_in_phase(rest, live, name, phase)
        response = await rest.post(f"/instances/{name}/{action}")
        assert response.code == CODES[phase][action], f"{phase} {action}: {response.text}"
        if response.code == 200:
            assert (response["previous_status"], response["success"]) == (phase, True)
            if phase not in ("created", "error"):
                await rest.until(f"/instances/{name}", status=PHASE_AFTER.get(action, phase))

    await asyncio.gather(*(check(phase, action) for phase in CODES for action in Action))


async def create_in_phase(rest: GatewayClient, live: LiveInstances, name: str, phase: str) -> None:
    """Create an instance and bring it to a phase in which it stays."""
    if phase == "created":  # the parent does not exist, which the gateway would reject
        await live.create(name, "Orchestration", "missing")
    elif phase == "error":
        await live.create(name, restartPolicy={"policy": "Never"}, templateRef={"name": "crash"})
    else:
        assert (await rest.post("/instances", {"name": name, "scope": "PROJECT"})).code == 201
    if phase == "terminated":
        assert (await rest.delete(f"/instances/{name}")).code == 204
    for action in ACTIONS_TO_PHASE.get(phase, []):
        assert (await rest.post(f"/instances/{name}/{action}?wait=true"))["success"]
    await rest.until(f"/instances/{name}", status=phase)


def template_manifest(name: str, image: str) -> Manifest:
    metadata = {"name": name}
    return {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": metadata, "spec": {"image": image}}


class TestFiftyConcurrent:
    """Concurrent calls that exclude each other: one succeeds, and the others get 409."""

    @pytest.mark.parametrize("action", ["stop", "pause", "archive"])
    async def test_actions_succeed_once(self, rest: GatewayClient, action: str) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        responses = await asyncio.gather(*(rest.post(f"/instances/web/{action}") for _ in range(50)))
        codes = Counter(response.code for response in responses)
        assert codes == {200: 1, 409: 49}
        await rest.until("/instances/web", status=PHASE_AFTER[action])

    async def test_creations_succeed_once(self, rest: GatewayClient) -> None:
        responses = await asyncio.gather(
            *(rest.post("/instances", {"name": f"Web {n}", "id": "web", "scope": "PROJECT"}) for n in range(50))
        )
        assert Counter(response.code for response in responses) == {201: 1, 409: 49}
        (winner,) = (response["name"] for response in responses if response.code == 201)
        assert (await rest.get("/instances/web"))["name"] == winner

    async def test_recreations_of_a_terminated_instance_succeed_once(self, rest: GatewayClient) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        assert (await rest.delete("/instances/web")).code == 204
        await rest.until("/instances/web", status="terminated")
        responses = await asyncio.gather(
            *(rest.post("/instances", {"name": "web", "scope": "EVENT"}) for _ in range(50))
        )
        assert Counter(response.code for response in responses) == {201: 1, 409: 49}
        await rest.until("/instances/web", status="running", scope="EVENT")

    async def test_changes_of_one_version_succeed_once(self, rest: GatewayClient, live: LiveInstances) -> None:
        """The version covers the spec only, so a status write in between causes no conflict."""
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        await rest.until("/instances/web", status="running")
        tag = (await rest.get("/instances/web")).headers["etag"]
        puts = (rest.put("/instances/web", {"description": f"by {n}"}, If_Match=tag) for n in range(50))
        responses = await asyncio.gather(*puts)
        assert Counter(response.code for response in responses) == {200: 1, 409: 49}
        (winner,) = (response["description"] for response in responses if response.code == 200)
        await live.until(lambda: live["web"]["spec"].get("description") == winner, f"description {winner}")

    async def test_deletions_succeed_once(self, rest: GatewayClient) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        responses = await asyncio.gather(*(rest.delete("/instances/web") for _ in range(50)))
        assert Counter(response.code for response in responses) == {204: 1, 409: 49}


async def test_two_gateways_return_the_writes_of_each_other(rest: GatewayClient, live: LiveInstances) -> None:
    async with running_gateway(live.namespace) as other:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        await other.until("/instances/web", status="running")
        assert (await other.post("/instances/web/pause?wait=true"))["success"]
        await rest.until("/instances/web", status="paused")
        await until_gateways_agree(rest, other)


async def test_reads_send_no_request_to_the_api_server(rest: GatewayClient, live: LiveInstances) -> None:
    assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
    await rest.until("/instances/web", status="running")
    requests = rest.gateway.context.metrics.api_requests
    before = {tuple(sample.labels.items()): sample.value for metric in requests.collect() for sample in metric.samples}
    for path in (
        "",
        "/web",
        "/web/hierarchy",
        "/web/status",
        "/active",
        "/web/ancestors",
        "/web/children",
        "/web/tasks",
    ):
        assert (await rest.get(f"/instances{path}")).code == 200
    for path in ("instances", "discover", "health", "topology"):
        assert (await rest.get(f"/registry/{path}")).code == 200
    after = {tuple(sample.labels.items()): sample.value for metric in requests.collect() for sample in metric.samples}
    assert after == before


class TestEventStream:
    async def test_can_be_resumed_after_the_last_event(self, rest: GatewayClient) -> None:
        async with event_stream(rest) as events:
            kind, _, first = await anext(events)
            assert (kind, first["total"]) == ("snapshot", 0)
            assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
            registered = await until_event(events, "registered")
            assert registered[2]["id"] == "web"
            transitions = [(await until_event(events, "transition"))[2] for _ in range(2)]
            assert [(data["from"], data["to"]) for data in transitions] == [
                ("created", "starting"),
                ("starting", "running"),
            ]
        assert (await rest.delete("/instances/web")).code == 204
        await rest.until("/instances/web", status="terminated")
        async with event_stream(rest, Last_Event_ID=registered[1]) as events:
            transitions = [(await until_event(events, "transition"))[2] for _ in range(5)]
            assert [data["to"] for data in transitions] == ["starting", "running", "stopping", "stopped", "terminated"]
            assert rest.gateway.context.stream_limit.open == 1

    async def test_of_another_gateway_cannot_be_resumed_and_starts_over(
        self, rest: GatewayClient, live: LiveInstances
    ) -> None:
        revision = (await rest.get("/registry/topology"))["revision"]
        async with running_gateway(live.namespace) as other, event_stream(other, Last_Event_ID=revision) as events:
            kind, _, data = await anext(events)
            assert (kind, data["reset"]) == ("snapshot", True)


StreamEvent = tuple[str, str, dict[str, Any]]  # kind, id, data


@asynccontextmanager
async def event_stream(rest: GatewayClient, **headers: str) -> AsyncIterator[AsyncIterator[StreamEvent]]:
    """Open the event stream of a gateway, and yield its events."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with rest.session.get(f"{rest.url}/api/v1/registry/events", headers=sent) as response:
        assert response.status == 200

        async def read() -> AsyncIterator[StreamEvent]:
            fields: dict[str, str] = {}
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if not line and "event" in fields:
                    yield fields["event"], fields["id"], json.loads(fields["data"])
                    fields = {}
                elif ": " in line:
                    key, _, value = line.partition(": ")
                    fields[key] = value

        yield read()


async def until_event(events: AsyncIterator[StreamEvent], kind: str) -> StreamEvent:
    """Skip events until one of this kind; return that event."""
    async with asyncio.timeout(10):
        while (event := await anext(events))[0] != kind:
            pass
    return event


async def test_secret_values_appear_neither_in_responses_nor_in_the_log(
    rest: GatewayClient, live: LiveInstances, caplog: pytest.LogCaptureFixture
) -> None:
    await live.request("POST", live.path.replace("instances", "templates"), template_manifest("shop", "shop:1"))
    secret = "s3cret-value"
    overrides = {"env": [{"name": "TOKEN", "value": secret, "secret": True}]}
    body = {"name": "web", "scope": "PROJECT", "template": "shop", "overrides": overrides}
    with caplog.at_level("INFO"):
        responses = [await rest.post("/instances", body)]
        await rest.until("/instances/web", status="running")
        responses += [await rest.post("/instances", body), await rest.put("/instances/web", {"overrides": overrides})]
        twice = {"env": [*overrides["env"], *overrides["env"]]}
        responses.append(await rest.put("/instances/web", {"overrides": twice}))
        for path in ("", "/web", "/web/hierarchy", "/web/status", "/active", "/projects/web"):
            responses.append(await rest.get(f"/instances{path}"))
        responses += [await rest.get(f"/registry/{path}") for path in ("instances", "discover", "health", "topology")]
    assert [response.code for response in responses[:4]] == [201, 409, 200, 422]
    assert not [response.text for response in responses if secret in response.text]
    assert secret not in caplog.text
    assert secret not in str(live["web"]["spec"])
    assert "valueFrom" in live["web"]["spec"]["overrides"]["env"][0]
