"""Templates through the REST API: writes, responses and errors."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.resources import TEMPLATES
from hopper.ports import Cause, ConflictError, RefusedError
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

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


def stored(gateway: InMemoryGateway, name: str = "web") -> dict[str, Any]:
    result: dict[str, Any] = gateway.store.objects[TEMPLATES.plural, "default", name]["spec"]
    return result


async def test_create_read_update_delete(gateway: InMemoryGateway) -> None:
    response = await gateway.post("/templates", {"name": "web", "spec": SPEC})
    assert (response.status_code, response.headers["location"]) == (201, "/api/v1/templates/web")
    assert (response.json()["name"], response.json()["spec"]) == ("web", SHOWN)
    assert "s3cret" not in str(stored(gateway))
    assert gateway.with_values(stored(gateway)["env"]) == SPEC["env"]
    read = await gateway.get("/templates/web")
    assert read.json() == response.json()
    assert (await gateway.get("/templates/web", headers={"If-None-Match": read.headers["etag"]})).status_code == 304

    changed = await gateway.put("/templates/web", {"spec": SHOWN | {"image": "web:2"}})
    assert (changed.status_code, changed.json()["spec"]) == (200, SHOWN | {"image": "web:2"})
    assert gateway.with_values(stored(gateway)["env"]) == SPEC["env"], (
        "what was answered without its secret loses none when sent back"
    )
    plain = await gateway.put("/templates/web", {"name": "web", "spec": {"image": "web:3"}})
    assert plain.json()["spec"] == {"image": "web:3", "securityProfile": "Restricted"}
    assert stored(gateway) == {"image": "web:3", "securityProfile": "Restricted"}

    assert (await gateway.delete("/templates/web")).status_code == 204
    for gone in (gateway.get("/templates/web"), gateway.delete("/templates/web"), gateway.put("/templates/web", SHOWN)):
        assert (await gone).status_code in (404, 422)


async def test_list_is_paged(gateway: InMemoryGateway) -> None:
    for name in ("c", "a", "b"):
        gateway.template(name)
    gateway.template("d", "other")
    response = await gateway.get("/templates?limit=2")
    body = response.json()
    assert [item["name"] for item in body["items"]] == ["a", "b"]
    assert (body["total"], body["skip"], body["limit"], body["has_more"]) == (3, 0, 2, True)
    assert [item["name"] for item in (await gateway.get("/templates?skip=2")).json()["items"]] == ["c"]
    assert (
        await gateway.get("/templates?limit=2", headers={"If-None-Match": response.headers["etag"]})
    ).status_code == 304


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
async def test_invalid_fields_are_named(gateway: InMemoryGateway, body: Any, field: str) -> None:
    problem = assert_problem(await gateway.post("/templates", body), 422, "ValidationError")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_name_in_use_gets_409(gateway: InMemoryGateway) -> None:
    gateway.template("web")
    body = assert_problem(await gateway.post("/templates", {"name": "web", "spec": SPEC}), 409, "Conflict")
    assert body["detail"] == "template web already exists; choose another name, or change that template"
    body = assert_problem(await gateway.put("/templates/web", {"name": "other", "spec": SPEC}), 422, "ValidationError")
    assert body["errors"][0]["field"] == "body -> name"


async def test_a_template_in_use_is_not_deleted(gateway: InMemoryGateway) -> None:
    gateway.template("web")
    gateway.instance("shop")
    gateway.instance("shop-a", "Orchestration", "shop", templateRef={"name": "web"})
    gateway.instance("shop-b", "Orchestration", "shop", "Terminated", templateRef={"name": "web"})
    body = assert_problem(await gateway.delete("/templates/web"), 409, "Conflict")
    assert body["detail"] == "template web is used by shop-a; give them another template, or terminate them first"
    gateway.instance(
        "shop-a", "Orchestration", "shop", "Running", desiredState="Terminated", templateRef={"name": "web"}
    )
    assert (await gateway.delete("/templates/web")).status_code == 204


async def test_a_concurrent_change_gets_409(gateway: InMemoryGateway) -> None:
    gateway.template("web")
    etag = (await gateway.get("/templates/web")).headers["etag"]
    gateway.template("web", image="other:1")
    response = await gateway.put("/templates/web", {"spec": SPEC}, headers={"If-Match": etag})
    assert_problem(response, 409, "Conflict")
    newest = (await gateway.get("/templates/web")).headers["etag"]
    assert (await gateway.put("/templates/web", {"spec": SPEC}, headers={"If-Match": newest})).status_code == 200
    for wrong in ('"k"', '"0"', '"1", "2"'):
        response = await gateway.put("/templates/web", {"spec": SPEC}, headers={"If-Match": wrong})
        assert "header -> if-match" in assert_problem(response, 422, "ValidationError")["detail"]
    gateway.store.error = ConflictError("409: modified", code=409)
    assert_problem(await gateway.delete("/templates/web"), 409, "Conflict")


async def test_api_server_errors_contain_no_secret(gateway: InMemoryGateway) -> None:
    cause = Cause("spec.env[0].value", "s3cret is too secret", "FieldValueInvalid")
    gateway.store.error = RefusedError("422: s3cret", code=422, causes=[cause])
    response = await gateway.post("/templates", {"name": "web", "spec": SPEC})
    body = assert_problem(response, 422, "ValidationError")
    assert body["errors"][0]["field"] == "body -> spec -> env -> 0 -> value"
    assert "s3cret" not in response.text
