"""What is said of bad input: which field, what is wrong with it in the words of this API, and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.answers import is_problem
from tests.unit.gateway.world import World

SCOPES = "GLOBAL, PROJECT, ORCHESTRATION, PERSONAL, FAMILY, EVENT, FEDERATED"
STATUSES = "created, starting, running, paused, stopping, stopped, error, archived, terminated"
UNKNOWN = "is not known here: remove it, or mend its name"


@pytest.fixture
def world(world: World) -> World:
    world.instance("global", "Global")
    world.instance("web", "Project", "global")
    world.instance("web-b", "Orchestration", "web")
    world.instance("web-a", "Orchestration", "web")
    return world


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("/instances?status=fine", "query -> status", f"has to be one of {STATUSES}"),
        ("/instances?scope=", "query -> scope", f"has to be one of {SCOPES}"),
        ("/instances?limit=many", "query -> limit", "has to be an integer"),
        ("/registry/discover?status=running&status=x", "query -> status -> 1", f"has to be one of {STATUSES}"),
        ("/registry/discover?can_parent=moon", "query -> can_parent", f"has to be one of {SCOPES}"),
        ("/registry/discover?healthy=perhaps", "query -> healthy", "has to be true or false"),
    ],
)
async def test_parameters(world: World, path: str, field: str, message: str) -> None:
    body = is_problem(await world.get(path), 422, "ValidationError")
    assert [(it["field"], it["message"]) for it in body["errors"]] == [(field, message)]
    assert body["detail"] == f"{field}: {message}"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"name": "a"}, "body -> scope", "is missing: it has to be given"),
        ({"name": "a", "scope": "moon"}, "body -> scope", f"has to be one of {SCOPES}"),
        ({"name": "a", "scope": 1}, "body -> scope", f"has to be one of {SCOPES}"),
        ({"name": "a", "scope": "EVENT", "colour": 1}, "body -> colour", UNKNOWN),
        ({"name": "a", "scope": "EVENT", "config": {"colour": 1}}, "body -> config -> colour", UNKNOWN),
        ({"name": "active", "scope": "EVENT"}, "body -> name", "active is a word of this API: give another id"),
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
async def test_bodies(world: World, body: dict[str, Any], field: str, message: str) -> None:
    answer = is_problem(await world.post("/instances", body), 422, "ValidationError")
    assert [(it["field"], it["message"]) for it in answer["errors"]] == [(field, message)]


async def test_how_an_instance_may_find_itself(world: World) -> None:
    """There are other words for health, but those are not a matter of opinion."""
    for status in ("unknown", "inactive", "fine", 1):
        answer = await world.post("/registry/instances/web/heartbeat", {"status": status})
        (error,) = is_problem(answer, 422, "ValidationError")["errors"]
        assert error["message"] == "has to be one of healthy, degraded, unhealthy"
    schema = world.app.openapi()["components"]["schemas"]["Vitals"]["properties"]["status"]
    assert schema["anyOf"][0]["enum"] == ["healthy", "degraded", "unhealthy"]


async def test_a_second_global_instance(world: World) -> None:
    """Another id is no way out: that of a Global instance cannot be chosen."""
    answer = await world.post("/instances", {"name": "Another", "scope": "GLOBAL", "id": "another"})
    assert is_problem(answer, 409, "Conflict")["detail"].startswith("there is a Global instance already, global")


async def test_children_are_named_in_order(world: World) -> None:
    detail = is_problem(await world.delete("/instances/web"), 409, "Conflict")["detail"]
    assert detail == "web has live children: web-a, web-b; terminate them first, or cascade=true"


async def test_what_a_path_is_for(world: World) -> None:
    detail = is_problem(await world.client.patch("/instances/web"), 405, "MethodNotAllowed")["detail"]
    assert detail == "PATCH is not for /api/v1/instances/web, only DELETE, GET, PUT"


async def test_a_body_of_nothing_but_mistakes(world: World) -> None:
    """To list 50,000 of them takes a second, in which nobody else is served, and five megabytes."""
    answer = await world.post("/instances", {f"k{number}": 1 for number in range(50_000)})
    (error,) = is_problem(answer, 422, "ValidationError")["errors"]
    assert error["message"] == "has 50002 things wrong: it is not what is wanted here"
    assert (
        len(
            is_problem(await world.post("/instances", {f"k{n}": 1 for n in range(900)}), 422, "ValidationError")[
                "errors"
            ]
        )
        == 902
    )
