"""Templates through the REST API: what is written, what is answered, and everything that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.resources import TEMPLATES
from hopper.ports import Cause, ConflictError, RefusedError
from tests.unit.gateway.answers import is_problem
from tests.unit.gateway.world import World

SPEC = {
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "env": [{"name": "TZ", "value": "UTC"}, {"name": "TOKEN", "value": "s3cret", "secret": True}],
}
SHOWN = {
    "image": "web:1",
    "securityProfile": "Restricted",
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "env": [{"name": "TZ", "value": "UTC"}, {"name": "TOKEN", "secret": True}],
}


def stored(world: World, name: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = world.store.objects[TEMPLATES.plural, "default", name]["spec"]
    return found


async def test_create_read_change_delete(world: World) -> None:
    answer = await world.post("/templates", {"name": "web", "spec": SPEC})
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/templates/web")
    assert (answer.json()["name"], answer.json()["spec"]) == ("web", SHOWN)
    assert stored(world)["env"] == SPEC["env"]
    read = await world.get("/templates/web")
    assert read.json() == answer.json()
    assert (await world.get("/templates/web", headers={"If-None-Match": read.headers["etag"]})).status_code == 304

    changed = await world.put("/templates/web", {"spec": SHOWN | {"image": "web:2"}})
    assert (changed.status_code, changed.json()["spec"]) == (200, SHOWN | {"image": "web:2"})
    assert stored(world)["env"] == SPEC["env"], "what was answered without its secret loses none when sent back"
    plain = await world.put("/templates/web", {"name": "web", "spec": {"image": "web:3"}})
    assert plain.json()["spec"] == {"image": "web:3", "securityProfile": "Restricted"}
    assert stored(world) == {"image": "web:3", "securityProfile": "Restricted"}

    assert (await world.delete("/templates/web")).status_code == 204
    for gone in (world.get("/templates/web"), world.delete("/templates/web"), world.put("/templates/web", SHOWN)):
        assert (await gone).status_code in (404, 422)


async def test_list(world: World) -> None:
    for name in ("c", "a", "b"):
        world.template(name)
    world.template("d", "other")
    answer = await world.get("/templates?limit=2")
    found = answer.json()
    assert [it["name"] for it in found["items"]] == ["a", "b"]
    assert (found["total"], found["skip"], found["limit"], found["has_more"]) == (3, 0, 2, True)
    assert [it["name"] for it in (await world.get("/templates?skip=2")).json()["items"]] == ["c"]
    assert (await world.get("/templates?limit=2", headers={"If-None-Match": answer.headers["etag"]})).status_code == 304


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"spec": SPEC}, "body -> name"),
        ({"name": "web"}, "body -> spec"),
        ({"name": "Web", "spec": SPEC}, "body -> name"),
        ({"name": "web", "spec": {}}, "body -> spec -> image"),
        ({"name": "web", "spec": {"image": "web:1", "colour": "red"}}, "body -> spec -> colour"),
        ({"name": "web", "spec": {"image": "w", "ports": [{"containerPort": 0}]}},
         "body -> spec -> ports -> 0 -> containerPort"),
        ({"name": "web", "spec": {"image": "w", "domains": [{"domain": "a.b"}]}}, "body -> spec -> domains -> 0"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(world: World, body: Any, field: str) -> None:
    found = is_problem(await world.post("/templates", body), 422, "ValidationError")
    assert [it["field"] for it in found["errors"]] == [field]


async def test_the_name_is_taken(world: World) -> None:
    world.template("web")
    found = is_problem(await world.post("/templates", {"name": "web", "spec": SPEC}), 409, "Conflict")
    assert found["detail"] == "template web exists: choose another name, or change that one"
    found = is_problem(await world.put("/templates/web", {"name": "other", "spec": SPEC}), 422, "ValidationError")
    assert found["errors"][0]["field"] == "body -> name"


async def test_one_in_use_is_not_deleted(world: World) -> None:
    world.template("web")
    world.instance("shop")
    world.instance("shop-a", "Orchestration", "shop", templateRef={"name": "web"})
    world.instance("shop-b", "Orchestration", "shop", "Terminated", templateRef={"name": "web"})
    found = is_problem(await world.delete("/templates/web"), 409, "Conflict")
    assert found["detail"] == "template web is used by shop-a: give them another one, or terminate them first"
    world.instance("shop-a", "Orchestration", "shop", "Running", desiredState="Terminated", templateRef={"name": "web"})
    assert (await world.delete("/templates/web")).status_code == 204


async def test_edited_by_someone_else(world: World) -> None:
    world.template("web")
    etag = (await world.get("/templates/web")).headers["etag"]
    world.template("web", image="other:1")
    answer = await world.put("/templates/web", {"spec": SPEC}, headers={"If-Match": etag})
    is_problem(answer, 409, "Conflict")
    newest = (await world.get("/templates/web")).headers["etag"]
    assert (await world.put("/templates/web", {"spec": SPEC}, headers={"If-Match": newest})).status_code == 200
    for wrong in ('"k"', '"0"', '"1", "2"'):
        answer = await world.put("/templates/web", {"spec": SPEC}, headers={"If-Match": wrong})
        assert "header -> if-match" in is_problem(answer, 422, "ValidationError")["detail"]
    world.store.error = ConflictError("409: modified", code=409)
    is_problem(await world.delete("/templates/web"), 409, "Conflict")


async def test_a_refusal_does_not_repeat_a_secret(world: World) -> None:
    cause = Cause("spec.env[0].value", "s3cret is too secret", "FieldValueInvalid")
    world.store.error = RefusedError("422: s3cret", code=422, causes=[cause])
    answer = await world.post("/templates", {"name": "web", "spec": SPEC})
    found = is_problem(answer, 422, "ValidationError")
    assert found["errors"][0]["field"] == "body -> spec -> env -> 0 -> value"
    assert "s3cret" not in answer.text
