"""The REST API on a real API server, beside a working operator: what is asked for happens, and is told as it is."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hopper.domain.actions import Action
from tests.cluster.support.in_process_gateway import GatewayClient, running_gateway, until_gateways_agree
from tests.cluster.support.live_instances import LiveInstances, manifest

ACROSS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "name", "generation")


def wanted(obj: dict[str, Any]) -> dict[str, Any]:
    """What two objects with different names have in common if they were made the same way."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ACROSS}
    return {"metadata": metadata, "spec": obj["spec"], "apiVersion": obj["apiVersion"], "kind": obj["kind"]}


async def test_a_life(rest: GatewayClient, live: LiveInstances) -> None:
    """From creation to termination and the next one of the same name, as one user sees it."""
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
    below = await rest.until("/instances/worker", status="paused", desired_state="running", effective_state="paused")
    assert "maintenance" in below["history"][-1]["message"]
    again = await rest.post("/instances/worker/resume")
    assert (again.code, "already has desired state Running" in again["detail"]) == (409, True)
    assert (await rest.post("/instances/web/resume?wait=true"))["success"]
    await rest.until("/instances/worker", status="running")

    before = (await rest.get("/instances/worker"))["restarts"]
    assert (await rest.post("/instances/worker/restart?wait=true"))["success"]
    assert (await rest.get("/instances/worker"))["restarts"] == before + 1

    tree = await rest.get("/instances/global/hierarchy")
    assert (tree["total_instances"], tree["root"]["children"][0]["instance"]["id"]) == (3, "web")
    found = await rest.get("/registry/discover?capability=gpu&ancestor_id=global&healthy=true")
    assert [it["id"] for it in found["items"]] == ["worker"]

    refused = await rest.delete("/instances/web")
    assert (refused.code, "worker" in refused["detail"]) == (409, True)
    assert (await rest.delete("/instances/web?cascade=true")).code == 204
    await rest.until("/instances/worker", status="terminated")
    await rest.until("/instances/web", status="terminated")
    assert (await rest.post("/instances/web/start")).code == 400
    successor = await rest.post("/instances", {"name": "web", "scope": "PROJECT", "parent_id": "global"})
    assert (successor.code, successor["uid"] != created["uid"]) == (201, True)
    await rest.until("/instances/web", status="running")


async def test_created_as_with_kubectl(rest: GatewayClient, live: LiveInstances) -> None:
    """The same object, and the same end state."""
    config = {"capabilities": ["gpu"], "limits": {"maxDepth": 3}, "extra": {"a": {"b": [1, "x"]}}}
    overrides = {"env": [{"name": "MODE", "value": "fast"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    spec = {"displayName": "Web", "description": "sells", "config": config, "overrides": overrides, "type": "Singleton"}
    await live.create_from(manifest("by-kubectl", **spec))
    body = {"name": "Web", "id": "by-rest", "scope": "PROJECT", "description": "sells", "config": config}
    made = await rest.post("/instances", body | {"overrides": overrides, "instance_type": "SINGLETON"})
    assert made.code == 201, made.text
    await live.until_phase("Running", "by-kubectl", "by-rest")
    for name in ("by-kubectl", "by-rest"):
        await rest.until(f"/instances/{name}", status="running", ready=True)
    one, other = live["by-kubectl"], live["by-rest"]
    assert wanted(one) == wanted(other)
    assert live.phase_history("by-kubectl") == live.phase_history("by-rest")
    managers = {it["manager"] for it in other["metadata"]["managedFields"]}
    assert managers == {"hopper-gateway", "hopper-operator"}
    views = [(await rest.get(f"/instances/{it}")).body for it in ("by-kubectl", "by-rest")]
    same = ("name", "scope", "status", "config", "description", "overrides", "conditions", "instance_type")
    assert [views[0][key] for key in same[:6]] == [views[1][key] for key in same[:6]]


# What leads to each phase that an instance can stay in, and what each action answers there.
STAYS: dict[str, list[str]] = {
    "running": [],
    "paused": ["pause"],
    "stopped": ["stop"],
    "archived": ["archive"],
}
CODES = {
    "running": {"start": 409, "stop": 200, "restart": 200, "pause": 200, "resume": 409, "archive": 200},
    "paused": {"start": 200, "stop": 200, "restart": 200, "pause": 409, "resume": 200, "archive": 200},
    "stopped": {"start": 200, "stop": 409, "restart": 400, "pause": 400, "resume": 400, "archive": 200},
    "archived": {"start": 400, "stop": 400, "restart": 400, "pause": 400, "resume": 400, "archive": 409},
    "terminated": dict.fromkeys(Action, 400),
    "error": dict.fromkeys(Action, 200),
    "created": {"start": 409, "stop": 200, "restart": 200, "pause": 200, "resume": 409, "archive": 200},
}


ENDS = {"start": "running", "stop": "stopped", "pause": "paused", "resume": "running", "archive": "archived"}


async def test_every_action_from_every_phase(rest: GatewayClient, live: LiveInstances, stages: None) -> None:
    """Each on an instance of its own, and each that is allowed leads where it should."""
    await live.request("POST", live.path.replace("instances", "templates"), template("crash", "crash:1"))

    async def check(phase: str, action: str) -> None:
        name = f"{phase}-{action}"
        await prepare(rest, live, name, phase)
        answer = await rest.post(f"/instances/{name}/{action}")
        assert answer.code == CODES[phase][action], f"{phase} {action}: {answer.text}"
        if answer.code == 200:
            assert (answer["previous_status"], answer["success"]) == (phase, True)
            if phase not in ("created", "error"):
                await rest.until(f"/instances/{name}", status=ENDS.get(action, phase))

    await asyncio.gather(*(check(phase, action) for phase in CODES for action in Action))


async def prepare(rest: GatewayClient, live: LiveInstances, name: str, phase: str) -> None:
    """Have an instance that stays in a phase."""
    if phase == "created":  # its parent is missing, which only kubectl lets happen
        await live.create(name, "Orchestration", "nobody")
    elif phase == "error":
        await live.create(name, restartPolicy={"policy": "Never"}, templateRef={"name": "crash"})
    else:
        assert (await rest.post("/instances", {"name": name, "scope": "PROJECT"})).code == 201
    if phase == "terminated":
        assert (await rest.delete(f"/instances/{name}")).code == 204
    for step in STAYS.get(phase, []):
        assert (await rest.post(f"/instances/{name}/{step}?wait=true"))["success"]
    await rest.until(f"/instances/{name}", status=phase)


def template(name: str, image: str) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": metadata, "spec": {"image": image}}


class TestManyAtOnce:
    """Fifty calls that contradict each other: one wins, and the others hear so."""

    @pytest.mark.parametrize("action", ["stop", "pause", "archive"])
    async def test_an_action(self, rest: GatewayClient, action: str) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        answers = await asyncio.gather(*(rest.post(f"/instances/web/{action}") for _ in range(50)))
        codes = Counter(it.code for it in answers)
        assert codes == {200: 1, 409: 49}
        await rest.until("/instances/web", status=ENDS[action])

    async def test_a_creation(self, rest: GatewayClient) -> None:
        answers = await asyncio.gather(
            *(rest.post("/instances", {"name": f"Web {n}", "id": "web", "scope": "PROJECT"}) for n in range(50))
        )
        assert Counter(it.code for it in answers) == {201: 1, 409: 49}
        (winner,) = (it["name"] for it in answers if it.code == 201)
        assert (await rest.get("/instances/web"))["name"] == winner

    async def test_a_replacement(self, rest: GatewayClient) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        assert (await rest.delete("/instances/web")).code == 204
        await rest.until("/instances/web", status="terminated")
        answers = await asyncio.gather(*(rest.post("/instances", {"name": "web", "scope": "EVENT"}) for _ in range(50)))
        assert Counter(it.code for it in answers) == {201: 1, 409: 49}
        await rest.until("/instances/web", status="running", scope="EVENT")

    async def test_a_change(self, rest: GatewayClient, live: LiveInstances) -> None:
        """Without a version: what two decided on the same spec excludes each other, a status in between does not."""
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        await rest.until("/instances/web", status="running")
        tag = (await rest.get("/instances/web")).headers["etag"]
        puts = (rest.put("/instances/web", {"description": f"by {n}"}, If_Match=tag) for n in range(50))
        answers = await asyncio.gather(*puts)
        assert Counter(it.code for it in answers) == {200: 1, 409: 49}
        (winner,) = (it["description"] for it in answers if it.code == 200)
        await live.until(lambda: live["web"]["spec"].get("description") == winner, f"description {winner}")

    async def test_an_end(self, rest: GatewayClient) -> None:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        answers = await asyncio.gather(*(rest.delete("/instances/web") for _ in range(50)))
        assert Counter(it.code for it in answers) == {204: 1, 409: 49}


async def test_two_gateways_agree(rest: GatewayClient, live: LiveInstances) -> None:
    """What one has written, the other tells soon."""
    async with running_gateway(live.namespace) as other:
        assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
        await other.until("/instances/web", status="running")
        assert (await other.post("/instances/web/pause?wait=true"))["success"]
        await rest.until("/instances/web", status="paused")
        await until_gateways_agree(rest, other)


async def test_reads_cost_the_api_server_nothing(rest: GatewayClient, live: LiveInstances) -> None:
    assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
    await rest.until("/instances/web", status="running")
    sent = rest.gateway.context.metrics.api_requests
    before = {tuple(it.labels.items()): it.value for metric in sent.collect() for it in metric.samples}
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
    after = {tuple(it.labels.items()): it.value for metric in sent.collect() for it in metric.samples}
    assert after == before


class TestEvents:
    async def test_what_happens_is_told_and_can_be_gone_on_from(self, rest: GatewayClient) -> None:
        async with following(rest) as events:
            kind, _, first = await anext(events)
            assert (kind, first["total"]) == ("snapshot", 0)
            assert (await rest.post("/instances", {"name": "web", "scope": "PROJECT"})).code == 201
            seen = [await until_event(events, "registered")]
            assert seen[0][2]["id"] == "web"
            steps = [(await until_event(events, "transition"))[2] for _ in range(2)]
            assert [(it["from"], it["to"]) for it in steps] == [("created", "starting"), ("starting", "running")]
        assert (await rest.delete("/instances/web")).code == 204
        await rest.until("/instances/web", status="terminated")
        async with following(rest, Last_Event_ID=seen[0][1]) as events:
            again = [(await until_event(events, "transition"))[2] for _ in range(5)]
            assert [it["to"] for it in again] == ["starting", "running", "stopping", "stopped", "terminated"]
            assert rest.gateway.context.stream_limit.open == 1

    async def test_another_gateway_begins_anew(self, rest: GatewayClient, live: LiveInstances) -> None:
        revision = (await rest.get("/registry/topology"))["revision"]
        async with running_gateway(live.namespace) as other, following(other, Last_Event_ID=revision) as events:
            kind, _, data = await anext(events)
            assert (kind, data["reset"]) == ("snapshot", True)


Told = tuple[str, str, dict[str, Any]]


@asynccontextmanager
async def following(rest: GatewayClient, **headers: str) -> AsyncIterator[AsyncIterator[Told]]:
    """Follow the events of a gateway: kind, id, data."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with rest.session.get(f"{rest.url}/api/v1/registry/events", headers=sent) as response:
        assert response.status == 200

        async def read() -> AsyncIterator[Told]:
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


async def until_event(
    events: AsyncIterator[tuple[str, str, dict[str, Any]]], kind: str
) -> tuple[str, str, dict[str, Any]]:
    async with asyncio.timeout(10):
        while (found := await anext(events))[0] != kind:
            pass
    return found


async def test_secrets_are_nowhere(rest: GatewayClient, live: LiveInstances, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in an answer, nor in what is refused, nor in the log."""
    await live.request("POST", live.path.replace("instances", "templates"), template("shop", "shop:1"))
    secret = "s3cret-value"
    overrides = {"env": [{"name": "TOKEN", "value": secret, "secret": True}]}
    body = {"name": "web", "scope": "PROJECT", "template": "shop", "overrides": overrides}
    with caplog.at_level("INFO"):
        answers = [await rest.post("/instances", body)]
        await rest.until("/instances/web", status="running")
        answers += [await rest.post("/instances", body), await rest.put("/instances/web", {"overrides": overrides})]
        twice = {"env": [*overrides["env"], *overrides["env"]]}
        answers.append(await rest.put("/instances/web", {"overrides": twice}))
        for path in ("", "/web", "/web/hierarchy", "/web/status", "/active", "/projects/web"):
            answers.append(await rest.get(f"/instances{path}"))
        answers += [await rest.get(f"/registry/{it}") for it in ("instances", "discover", "health", "topology")]
    assert [it.code for it in answers[:4]] == [201, 409, 200, 422]
    assert not [it.text for it in answers if secret in it.text]
    assert secret not in caplog.text
    assert live["web"]["spec"]["overrides"]["env"][0]["value"] == secret
