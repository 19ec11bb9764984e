"""`/registry`: everybody with their health, discovery by any mix of criteria, the graph, and heartbeats."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from hopper.api.resources import INSTANCES
from hopper.gateway.models import registry as models
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Running",
    "message": "",
    "lastTransitionTime": "2026-03-01T11:00:00Z",
}
GOOD = {"conditions": [READY], "startedAt": "2026-03-01T11:00:00Z"}
BAD = {"conditions": [READY | {"status": "False", "reason": "CrashLoopBackOff", "message": "exit 1"}]}


@pytest.fixture
def gateway(gateway: InMemoryGateway) -> InMemoryGateway:
    """A project with one worker that is well and one that is not, and somebody whose parent is missing."""
    gateway.instance("global", "Global", status=GOOD)
    gateway.instance(
        "web", "Project", "global", labels={"tier": "web", "team": "a"}, status=GOOD, displayName="Web shop"
    )
    gateway.instance("web-a", "Orchestration", "web", config={"capabilities": ["gpu", "eu"]}, status=GOOD)
    gateway.instance("web-b", "Orchestration", "web", "Error", config={"capabilities": ["gpu"]}, status=BAD)
    gateway.instance("lost", "Orchestration", "nobody", "Created")
    gateway.instance("far", namespace="other", status=GOOD)
    return gateway


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [it["id"] for it in answer.json()["items"]]


class TestEverybody:
    async def test_with_health(self, gateway: InMemoryGateway) -> None:
        answer = (await gateway.get("/registry/instances")).json()
        found = {it["id"]: it for it in answer["items"]}
        assert sorted(found) == ["global", "lost", "web", "web-a", "web-b"]
        assert answer["total"] == 5
        assert (found["web-a"]["health"], found["web-a"]["capabilities"]) == ("healthy", ["gpu", "eu"])
        assert (found["web-b"]["health"], found["web-b"]["reason"]) == ("unhealthy", "CrashLoopBackOff")
        assert found["web-b"]["message"] == "exit 1"
        assert (found["web"]["health"], found["web"]["worst_health"]) == ("healthy", "unhealthy")
        assert found["web"]["worst_id"] == "web-b"
        assert (found["web"]["labels"], found["web"]["name"]) == ({"tier": "web", "team": "a"}, "Web shop")

    async def test_another_namespace(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/registry/instances?namespace=other")) == ["far"]

    @pytest.mark.parametrize("path", ["/registry/instances", "/registry/discover?scope=PROJECT", "/registry/topology"])
    async def test_is_not_sent_again(self, gateway: InMemoryGateway, path: str) -> None:
        first = await gateway.get(path)
        known = {"If-None-Match": first.headers["etag"]}
        assert (await gateway.get(path, headers=known)).status_code == 304
        gateway.instance("web", "Project", "global", "Paused")
        assert (await gateway.get(path, headers=known)).status_code == 200


class TestDiscover:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", ["global", "lost", "web", "web-a", "web-b"]),
            ("scope=orchestration", ["lost", "web-a", "web-b"]),
            ("status=error&status=created", ["lost", "web-b"]),
            ("type=singleton", ["global"]),
            ("capability=gpu", ["web-a", "web-b"]),
            ("capability=gpu&capability=eu", ["web-a"]),
            ("parent_id=web", ["web-a", "web-b"]),
            ("ancestor_id=global", ["web", "web-a", "web-b"]),
            ("ancestor_id=global&status=running&scope=orchestration", ["web-a"]),
            ("label=tier=web", ["web"]),
            ("label=tier=web&label=team=b", []),
            ("healthy=true", ["global", "web", "web-a"]),
            ("healthy=false", ["web-b"]),
            ("name=web-*", ["web-a", "web-b"]),
            ("name=web", ["web"]),
            ("can_parent=ORCHESTRATION", ["web"]),
            ("can_parent=PROJECT", ["global"]),
            ("can_parent=PROJECT&name=nothing", []),
        ],
    )
    async def test_all_criteria(self, gateway: InMemoryGateway, query: str, expected: list[str]) -> None:
        assert ids(await gateway.get(f"/registry/discover?{query}")) == expected

    async def test_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = (await gateway.get("/instances/web")).json()["uid"]
        for field in ("parent_id", "ancestor_id"):
            assert ids(await gateway.get(f"/registry/discover?{field}={uid}")) == ["web-a", "web-b"]

    async def test_a_capability_may_be_called_anything(self, gateway: InMemoryGateway) -> None:
        gateway.instance("odd", "Orchestration", "web", config={"capabilities": ["true", "null", "1"]})
        for word in ("true", "null", "1"):
            assert ids(await gateway.get(f"/registry/discover?capability={word}")) == ["odd"]

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("label=tier", "query -> label -> 0: must be a label as key=value, for example tier=web"),
            ("capability=", "query -> capability -> 0: String should have at least 1 character"),
            (f"capability={'x' * 64}", "query -> capability -> 0: String should have at most 63 characters"),
            ("namespace=Web", "query -> namespace: must consist of lower-case letters, digits and hyphens"),
        ],
    )
    async def test_what_is_said_of_bad_parameters(self, gateway: InMemoryGateway, query: str, said: str) -> None:
        body = assert_problem(await gateway.get(f"/registry/discover?{query}"), 422, "ValidationError")
        assert body["detail"].startswith(said)

    @pytest.mark.parametrize("query", ["label=tier", "label==x", "healthy=perhaps", "status=fine", "can_parent=moon"])
    async def test_bad_parameters(self, gateway: InMemoryGateway, query: str) -> None:
        assert_problem(await gateway.get(f"/registry/discover?{query}"), 422, "ValidationError")


class TestHealth:
    async def test_totals_and_complaints(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/registry/health")).json()
        assert (found["health"], found["total"]) == ("unhealthy", 5)
        assert found["by_status"] == {"created": 1, "error": 1, "running": 3}
        assert found["by_health"]["healthy"] == 3
        (bad,) = (it for it in found["unhealthy"] if it["health"] == "unhealthy")
        assert bad == {"id": "web-b", "health": "unhealthy", "reason": "CrashLoopBackOff", "message": "exit 1"}
        assert [it["id"] for it in found["instances"]] == ["global", "lost", "web", "web-a", "web-b"]

    async def test_of_nobody(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/registry/health?namespace=empty")).json()
        assert (found["health"], found["total"], found["unhealthy"]) == ("inactive", 0, [])

    async def test_heartbeats_are_told(self, gateway: InMemoryGateway) -> None:
        vitals = {
            "active_tasks": 3,
            "queue_depth": 7,
            "response_time_ms": 1.5,
            "error_rate": 0.25,
            "status": "degraded",
        }
        before = gateway.store.objects[INSTANCES.plural, "default", "web-a"]
        answer = await gateway.post("/registry/instances/web-a/heartbeat", vitals | {"status": "degraded"})
        assert (answer.status_code, answer.content) == (204, b"")
        (found,) = (it for it in (await gateway.get("/registry/health")).json()["instances"] if it["id"] == "web-a")
        assert {key: found[key] for key in vitals if key != "status"} == {
            k: v for k, v in vitals.items() if k != "status"
        }
        assert found["uptime"] > 0
        assert found["last_heartbeat"]
        status = (await gateway.get("/instances/web-a/status")).json()
        assert (status["queue_size"], status["active_tasks"], status["status"]) == (7, 3, "running")
        assert status["uptime"] > 0
        assert gateway.store.objects[INSTANCES.plural, "default", "web-a"] == before

    async def test_a_heartbeat_without_a_body(self, gateway: InMemoryGateway) -> None:
        assert (await gateway.client.post("/registry/instances/web-a/heartbeat")).status_code == 204

    @pytest.mark.parametrize(
        "body",
        [{"error_rate": 2}, {"active_tasks": -1}, {"status": "inactive"}, {"colour": 1}, [], {"queue_depth": "many"}],
    )
    async def test_what_is_no_heartbeat(self, gateway: InMemoryGateway, body: Any) -> None:
        assert_problem(await gateway.post("/registry/instances/web-a/heartbeat", body), 422, "ValidationError")
        assert_problem(await gateway.post("/registry/instances/nobody/heartbeat", {}), 404, "NotFound")

    async def test_the_status_of_one(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/instances/web-b/status")).json()
        assert (found["status"], found["health"], found["reason"]) == ("error", "unhealthy", "CrashLoopBackOff")
        assert (found["uptime"], found["queue_size"], found["last_heartbeat"]) == (None, None, None)
        assert (await gateway.get("/instances/web/status")).json()["worst_id"] == "web-b"
        assert_problem(await gateway.get("/instances/nobody/status"), 404, "NotFound")

    async def test_is_never_older_than_a_heartbeat_or_a_second(self, gateway: InMemoryGateway) -> None:
        now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
        gateway.context.clock = lambda: now

        async def of_web_a() -> dict[str, Any]:
            found = (await gateway.get("/registry/health")).json()["instances"]
            return next(it for it in found if it["id"] == "web-a")

        assert (await of_web_a())["uptime"] == 3600
        await gateway.post("/registry/instances/web-a/heartbeat", {"active_tasks": 5})
        assert (await of_web_a())["active_tasks"] == 5
        now += timedelta(seconds=1)
        assert (await of_web_a())["uptime"] == 3601
        gateway.instance("web-a", "Orchestration", "web", "Stopped")
        assert (await of_web_a())["status"] == "stopped"


class TestMany:
    """What takes long must not keep others waiting, nor be done twice for nothing."""

    @pytest.mark.parametrize(
        ("path", "model"),
        [
            ("/registry/instances", models.RegistryList),
            ("/registry/discover?name=*", models.RegistryList),
            ("/registry/health", models.RegistryHealth),
            ("/registry/topology", models.Topology),
        ],
    )
    async def test_others_get_their_turn(self, gateway: InMemoryGateway, path: str, model: type) -> None:
        for number in range(1000):
            gateway.instance(f"w-{number:04}", "Orchestration", "web", "Error" if number % 2 else "Running")
        gateway.context.clock = lambda: datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(other())
        first = await gateway.get(path)
        assert turns >= 3
        turns = 0
        again = await gateway.get(path)
        beside.cancel()
        assert turns <= 2
        TypeAdapter(model).validate_json(first.content)
        assert again.content == first.content
        first = await gateway.get(f"{path}{'&' if '?' in path else '?'}namespace=other")
        TypeAdapter(model).validate_json(first.content)
        assert b"w-0001" not in first.content

    @pytest.mark.parametrize(
        "path", ["/instances?limit=1000", "/instances/web/hierarchy", "/instances/web/descendants"]
    )
    async def test_also_with_long_lists(self, gateway: InMemoryGateway, path: str) -> None:
        for number in range(1000):
            gateway.instance(f"w-{number:04}", "Orchestration", "web")
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(other())
        assert (await gateway.get(path)).status_code == 200
        beside.cancel()
        assert turns >= 3


class TestTopology:
    async def test_the_graph(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/registry/topology")).json()
        assert [it["id"] for it in found["nodes"]] == ["global", "lost", "web", "web-a", "web-b"]
        edges = {(it["parent"], it["child"]) for it in found["edges"]}
        assert edges == {("global", "web"), ("web", "web-a"), ("web", "web-b")}
        assert (found["roots"], found["orphans"]) == (["global"], ["lost"])
        assert found["nodes"][2] | {"name": ""} == {
            "id": "web",
            "name": "",
            "scope": "PROJECT",
            "status": "running",
            "health": "healthy",
        }
