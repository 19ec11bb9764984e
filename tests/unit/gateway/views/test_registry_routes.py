"""`/registry`: instances with their health, search, topology and heartbeats."""

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
    """A Project with a healthy and a failed worker, and an instance with a missing parent."""
    gateway.instance("global", "Global", status=GOOD)
    gateway.instance(
        "web", "Project", "global", labels={"tier": "web", "team": "a"}, status=GOOD, displayName="Web shop"
    )
    gateway.instance("web-a", "Orchestration", "web", config={"capabilities": ["gpu", "eu"]}, status=GOOD)
    gateway.instance("web-b", "Orchestration", "web", "Error", config={"capabilities": ["gpu"]}, status=BAD)
    gateway.instance("lost", "Orchestration", "nobody", "Created")
    gateway.instance("far", namespace="other", status=GOOD)
    return gateway


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


class TestList:
    async def test_instances_have_their_health(self, gateway: InMemoryGateway) -> None:
        response = (await gateway.get("/registry/instances")).json()
        result = {item["id"]: item for item in response["items"]}
        assert sorted(result) == ["global", "lost", "web", "web-a", "web-b"]
        assert response["total"] == 5
        assert (result["web-a"]["health"], result["web-a"]["capabilities"]) == ("healthy", ["gpu", "eu"])
        assert (result["web-b"]["health"], result["web-b"]["reason"]) == ("unhealthy", "CrashLoopBackOff")
        assert result["web-b"]["message"] == "exit 1"
        assert (result["web"]["health"], result["web"]["worst_health"]) == ("healthy", "unhealthy")
        assert result["web"]["worst_id"] == "web-b"
        assert (result["web"]["labels"], result["web"]["name"]) == ({"tier": "web", "team": "a"}, "Web shop")

    async def test_instances_of_another_namespace(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/registry/instances?namespace=other")) == ["far"]

    @pytest.mark.parametrize("path", ["/registry/instances", "/registry/discover?scope=PROJECT", "/registry/topology"])
    async def test_an_unchanged_response_gets_304(self, gateway: InMemoryGateway, path: str) -> None:
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
    async def test_each_criterion(self, gateway: InMemoryGateway, query: str, expected: list[str]) -> None:
        assert ids(await gateway.get(f"/registry/discover?{query}")) == expected

    async def test_parent_and_ancestor_may_be_given_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = (await gateway.get("/instances/web")).json()["uid"]
        for field in ("parent_id", "ancestor_id"):
            assert ids(await gateway.get(f"/registry/discover?{field}={uid}")) == ["web-a", "web-b"]

    async def test_capabilities_may_have_any_name(self, gateway: InMemoryGateway) -> None:
        gateway.instance("odd", "Orchestration", "web", config={"capabilities": ["true", "null", "1"]})
        for word in ("true", "null", "1"):
            assert ids(await gateway.get(f"/registry/discover?capability={word}")) == ["odd"]

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("label=tier", "query -> label -> 0: must be a label as key=value, for example tier=web"),
            ("capability=", "query -> capability -> 0: String should have at least 1 character"),
            (f"capability={'x' * 64}", "query -> capability -> 0: String should have at most 63 characters"),
            ("namespace=Web", "query -> namespace: must consist of lower-case letters, digits and hyphens"),
        ],
    )
    async def test_messages_for_invalid_parameters(self, gateway: InMemoryGateway, query: str, message: str) -> None:
        body = assert_problem(await gateway.get(f"/registry/discover?{query}"), 422, "ValidationError")
        assert body["detail"].startswith(message)

    @pytest.mark.parametrize("query", ["label=tier", "label==x", "healthy=perhaps", "status=fine", "can_parent=moon"])
    async def test_invalid_parameters_get_422(self, gateway: InMemoryGateway, query: str) -> None:
        assert_problem(await gateway.get(f"/registry/discover?{query}"), 422, "ValidationError")


class TestHealth:
    async def test_totals_and_instances_in_trouble(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/registry/health")).json()
        assert (body["health"], body["total"]) == ("unhealthy", 5)
        assert body["by_status"] == {"created": 1, "error": 1, "running": 3}
        assert body["by_health"]["healthy"] == 3
        (bad,) = (complaint for complaint in body["unhealthy"] if complaint["health"] == "unhealthy")
        assert bad == {"id": "web-b", "health": "unhealthy", "reason": "CrashLoopBackOff", "message": "exit 1"}
        assert [instance["id"] for instance in body["instances"]] == ["global", "lost", "web", "web-a", "web-b"]

    async def test_an_empty_namespace(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/registry/health?namespace=empty")).json()
        assert (body["health"], body["total"], body["unhealthy"]) == ("inactive", 0, [])

    async def test_metrics_of_a_heartbeat(self, gateway: InMemoryGateway) -> None:
        vitals = {
            "active_tasks": 3,
            "queue_depth": 7,
            "response_time_ms": 1.5,
            "error_rate": 0.25,
            "status": "degraded",
        }
        before = gateway.store.objects[INSTANCES.plural, "default", "web-a"]
        response = await gateway.post("/registry/instances/web-a/heartbeat", vitals | {"status": "degraded"})
        assert (response.status_code, response.content) == (204, b"")
        (result,) = (
            instance
            for instance in (await gateway.get("/registry/health")).json()["instances"]
            if instance["id"] == "web-a"
        )
        assert {key: result[key] for key in vitals if key != "status"} == {
            k: v for k, v in vitals.items() if k != "status"
        }
        assert result["uptime"] > 0
        assert result["last_heartbeat"]
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
    async def test_invalid_heartbeats_get_an_error(self, gateway: InMemoryGateway, body: Any) -> None:
        assert_problem(await gateway.post("/registry/instances/web-a/heartbeat", body), 422, "ValidationError")
        assert_problem(await gateway.post("/registry/instances/nobody/heartbeat", {}), 404, "NotFound")

    async def test_the_status_of_an_instance(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/instances/web-b/status")).json()
        assert (body["status"], body["health"], body["reason"]) == ("error", "unhealthy", "CrashLoopBackOff")
        assert (body["uptime"], body["queue_size"], body["last_heartbeat"]) == (None, None, None)
        assert (await gateway.get("/instances/web/status")).json()["worst_id"] == "web-b"
        assert_problem(await gateway.get("/instances/nobody/status"), 404, "NotFound")

    async def test_health_is_cached_until_a_heartbeat_or_for_a_second(self, gateway: InMemoryGateway) -> None:
        now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
        gateway.context.clock = lambda: now

        async def of_web_a() -> dict[str, Any]:
            body = (await gateway.get("/registry/health")).json()["instances"]
            return next(entry for entry in body if entry["id"] == "web-a")

        assert (await of_web_a())["uptime"] == 3600
        await gateway.post("/registry/instances/web-a/heartbeat", {"active_tasks": 5})
        assert (await of_web_a())["active_tasks"] == 5
        now += timedelta(seconds=1)
        assert (await of_web_a())["uptime"] == 3601
        gateway.instance("web-a", "Orchestration", "web", "Stopped")
        assert (await of_web_a())["status"] == "stopped"


class TestManyInstances:
    """Large responses do not block other requests, and are rendered once."""

    @pytest.mark.parametrize(
        ("path", "model"),
        [
            ("/registry/instances", models.RegistryList),
            ("/registry/discover?name=*", models.RegistryList),
            ("/registry/health", models.RegistryHealth),
            ("/registry/topology", models.Topology),
        ],
    )
    async def test_other_requests_are_served_in_between(self, gateway: InMemoryGateway, path: str, model: type) -> None:
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
    async def test_other_requests_are_served_during_long_lists(self, gateway: InMemoryGateway, path: str) -> None:
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
    async def test_nodes_edges_and_orphans(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/registry/topology")).json()
        assert [node["id"] for node in body["nodes"]] == ["global", "lost", "web", "web-a", "web-b"]
        edges = {(edge["parent"], edge["child"]) for edge in body["edges"]}
        assert edges == {("global", "web"), ("web", "web-a"), ("web", "web-b")}
        assert (body["roots"], body["orphans"]) == (["global"], ["lost"])
        assert body["nodes"][2] | {"name": ""} == {
            "id": "web",
            "name": "",
            "scope": "PROJECT",
            "status": "running",
            "health": "healthy",
        }
