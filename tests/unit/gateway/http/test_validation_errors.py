"""Messages about invalid input: which field is wrong, and what value it must have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

SCOPES = "GLOBAL, PROJECT, ORCHESTRATION, PERSONAL, FAMILY, EVENT, FEDERATED"
STATUSES = "created, starting, running, paused, stopping, stopped, error, archived, terminated"
RESERVED = "active is reserved as a path of the REST API; choose another id"
UNKNOWN = "is not a known field: remove it, or correct its name"


@pytest.fixture
def gateway(gateway: InMemoryGateway) -> InMemoryGateway:
    gateway.instance("global", "Global")
    gateway.instance("web", "Project", "global")
    gateway.instance("web-b", "Orchestration", "web")
    gateway.instance("web-a", "Orchestration", "web")
    return gateway


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("/instances?status=fine", "query -> status", f"must be one of {STATUSES}"),
        ("/instances?scope=", "query -> scope", f"must be one of {SCOPES}"),
        ("/instances?limit=many", "query -> limit", "must be an integer"),
        ("/registry/discover?status=running&status=x", "query -> status -> 1", f"must be one of {STATUSES}"),
        ("/registry/discover?can_parent=moon", "query -> can_parent", f"must be one of {SCOPES}"),
        ("/registry/discover?healthy=perhaps", "query -> healthy", "must be true or false"),
    ],
)
async def test_messages_for_parameters(gateway: InMemoryGateway, path: str, field: str, message: str) -> None:
    body = assert_problem(await gateway.get(path), 422, "ValidationError")
    assert [(error["field"], error["message"]) for error in body["errors"]] == [(field, message)]
    assert body["detail"] == f"{field}: {message}"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"name": "a"}, "body -> scope", "is required"),
        ({"name": "a", "scope": "moon"}, "body -> scope", f"must be one of {SCOPES}"),
        ({"name": "a", "scope": 1}, "body -> scope", f"must be one of {SCOPES}"),
        ({"name": "a", "scope": "EVENT", "colour": 1}, "body -> colour", UNKNOWN),
        ({"name": "a", "scope": "EVENT", "config": {"colour": 1}}, "body -> config -> colour", UNKNOWN),
        (
            {"name": "active", "scope": "EVENT"},
            "body -> name",
            "active is reserved as a path of the REST API; choose another id",
        ),
        (
            {"name": "a", "scope": "ORCHESTRATION"},
            "body -> parent_id",
            "scope Orchestration needs a parent; name a Project or Personal or Family or Event",
        ),
        (
            {"name": "a", "scope": "PROJECT", "parent_id": "web"},
            "body -> parent_id",
            '"web" has scope Project, but scope Project needs a Global',
        ),
        (
            {"name": "a", "scope": "PROJECT", "config": {"delegation": {"autoCreateProjectInstances": True}}},
            "body -> config -> delegation -> autoCreateProjectInstances",
            "config.delegation.autoCreateProjectInstances is only for Global: remove it from this Project",
        ),
    ],
)
async def test_messages_for_bodies(gateway: InMemoryGateway, body: dict[str, Any], field: str, message: str) -> None:
    response = assert_problem(await gateway.post("/instances", body), 422, "ValidationError")
    assert [(error["field"], error["message"]) for error in response["errors"]] == [(field, message)]


async def test_only_some_values_of_health_can_be_reported(gateway: InMemoryGateway) -> None:
    """The gateway derives the other values."""
    for status in ("unknown", "inactive", "fine", 1):
        response = await gateway.post("/registry/instances/web/heartbeat", {"status": status})
        (error,) = assert_problem(response, 422, "ValidationError")["errors"]
        assert error["message"] == "has to be one of healthy, degraded, unhealthy"
    schema = gateway.app.openapi()["components"]["schemas"]["Vitals"]["properties"]["status"]
    assert schema["anyOf"][0]["enum"] == ["healthy", "degraded", "unhealthy"]


async def test_a_second_global_instance_gets_409(gateway: InMemoryGateway) -> None:
    """The message does not suggest another id, because a Global instance always has the same one."""
    response = await gateway.post("/instances", {"name": "Another", "scope": "GLOBAL", "id": "another"})
    assert assert_problem(response, 409, "Conflict")["detail"].startswith(
        "the namespace already has its one Global instance, global"
    )


async def test_live_children_are_listed_in_order(gateway: InMemoryGateway) -> None:
    detail = assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")["detail"]
    assert detail == "web has live children: web-a, web-b; terminate them first, or use cascade=true"


async def test_a_wrong_method_lists_the_allowed_ones(gateway: InMemoryGateway) -> None:
    detail = assert_problem(await gateway.client.patch("/instances/web"), 405, "MethodNotAllowed")["detail"]
    assert detail == "PATCH is not allowed for /api/v1/instances/web; use DELETE, GET, PUT"


async def test_a_body_with_too_many_errors_gets_one(gateway: InMemoryGateway) -> None:
    """A response with 50,000 errors would have five megabytes, and block other requests for a second."""
    response = await gateway.post("/instances", {f"k{number}": 1 for number in range(50_000)})
    (error,) = assert_problem(response, 422, "ValidationError")["errors"]
    assert error["message"] == "has 50002 errors: see /openapi.json for the expected fields"
    assert (
        len(
            assert_problem(await gateway.post("/instances", {f"k{n}": 1 for n in range(900)}), 422, "ValidationError")[
                "errors"
            ]
        )
        == 902
    )
