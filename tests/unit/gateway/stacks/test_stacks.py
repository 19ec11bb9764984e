"""Stacks through the REST API: what is written, what is answered, and everything that is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hopper.api.names import ANNOTATION_RENAMING_TO
from hopper.api.resources import INSTANCES
from hopper.gateway.models.stacks import OVERRIDE_KINDS
from hopper.ports import Cause, ConflictError, RefusedError, UnavailableError
from tests.unit.gateway.answers import is_problem
from tests.unit.gateway.world import World

SHOP = "/stacks/shop/instances"
OVERRIDES: dict[str, Any] = {
    "ports": [{"containerPort": 80}],
    "volumes": [{"target": "/data", "size": "1Gi"}],
    "env": [{"name": "TZ", "value": "UTC"}, {"name": "TOKEN", "value": "s3cret", "secret": True}],
    "labels": [{"name": "tier", "value": "web"}],
    "domains": [{"domain": "web.example.com"}],
    "healthcheck": {"test": ["CMD", "true"]},
    "configFiles": [{"path": "/etc/web.conf", "content": "x"}],
}


@pytest.fixture(autouse=True)
def shop(world: World) -> None:
    """A stack, and a template for it."""
    world.instance("shop")
    world.template("web", ports=[{"containerPort": 80}], volumes=[{"target": "/data"}])


def service(world: World, name: str = "shop-a", phase: str | None = "Running", **spec: Any) -> dict[str, Any]:
    spec = {"templateRef": {"name": "web"}, **spec}
    return world.instance(name, "Orchestration", "shop", phase, **spec)


class TestCreateAndRead:
    async def test_create(self, world: World) -> None:
        body = {"instance_id": "a", "template_service_id": "web", "description": "the first"}
        answer = await world.post(SHOP, body)
        assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{SHOP}/a")
        found = answer.json()
        assert {key: found[key] for key in ("id", "stack_id", "instance_id", "template_service_id")} == {
            "id": "shop-a",
            "stack_id": "shop",
            "instance_id": "a",
            "template_service_id": "web",
        }
        assert (found["template_name"], found["container_name"]) == ("web", "hopper-shop-a")
        assert (found["description"], found["enabled"], found["override_count"]) == ("the first", True, 0)
        assert world.spec("shop-a") == {
            "scope": "Orchestration",
            "parentRef": {"name": "shop"},
            "templateRef": {"name": "web"},
            "description": "the first",
        }
        read = await world.get(f"{SHOP}/a")
        assert read.json().items() >= found.items()
        assert (await world.get(f"{SHOP}/a", headers={"If-None-Match": read.headers["etag"]})).status_code == 304

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"template_service_id": "web"}, "body -> instance_id"),
            ({"instance_id": "a"}, "body -> template_service_id"),
            ({"instance_id": "A", "template_service_id": "web"}, "body -> instance_id"),
            ({"instance_id": "a.b", "template_service_id": "web"}, "body -> instance_id"),
            ({"instance_id": "x" * 60, "template_service_id": "web"}, "body -> instance_id"),
            ({"instance_id": "a", "template_service_id": "web", "colour": "red"}, "body -> colour"),
        ],
    )
    async def test_what_is_wrong_is_named(self, world: World, body: Any, field: str) -> None:
        found = is_problem(await world.post(SHOP, body), 422, "ValidationError")
        assert [it["field"] for it in found["errors"]] == [field]

    async def test_what_is_missing(self, world: World) -> None:
        body = {"instance_id": "a", "template_service_id": "none"}
        found = is_problem(await world.post(SHOP, body), 400, "BadRequest")
        assert found["detail"] == "template none does not exist"
        for path in ("/stacks/none/instances", "/stacks/shop-a/instances"):
            is_problem(await world.get(path), 404, "NotFound")
            is_problem(await world.post(path, body), 404, "NotFound")

    @pytest.mark.parametrize("phase", ["Created", "Stopped", "Error", "Archived", "Terminated"])
    async def test_a_stack_that_is_not_active(self, world: World, phase: str) -> None:
        service(world)
        world.instance("shop", phase=phase)
        is_problem(await world.get(SHOP), 404, "NotFound")
        is_problem(await world.post(SHOP, {"instance_id": "b", "template_service_id": "web"}), 404, "NotFound")
        assert (await world.get(f"{SHOP}/a")).status_code == (404 if phase == "Terminated" else 200)

    async def test_the_name_is_taken(self, world: World) -> None:
        service(world)
        body = {"instance_id": "a", "template_service_id": "web"}
        found = is_problem(await world.post(SHOP, body), 409, "Conflict")
        assert found["detail"] == "shop-a is taken: choose another instance_id, or delete that one first"
        service(world, desiredState="Terminated")
        assert "try again" in is_problem(await world.post(SHOP, body), 409, "Conflict")["detail"]
        service(world, phase="Terminated")
        assert (await world.post(SHOP, body)).status_code == 201, "the name of a terminated one is free"

    async def test_list(self, world: World) -> None:
        for name, more in {
            "shop-c": {"description": "Keeps Money"},
            "shop-a": {"desiredState": "Stopped"},
            "shop-b": {"overrides": {"env": OVERRIDES["env"]}},
            "shop-d": {"desiredState": "Terminated"},
        }.items():
            service(world, name, **more)
        world.instance("shop-e", "Orchestration", "shop")  # logical
        service(world, "plain")
        answer = await world.get(SHOP)
        assert [it["instance_id"] for it in answer.json()] == ["plain", "a", "b", "c"]
        assert [it["override_count"] for it in answer.json()] == [0, 0, 2, 0]
        assert (await world.get(SHOP, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
        for query, expected in {
            "enabled=false": ["a"],
            "enabled=true": ["plain", "b", "c"],
            "search=money": ["c"],
            "search=LAI": ["plain"],
            "search=web&enabled=true": ["plain", "b", "c"],
            "search=nothing": [],
        }.items():
            assert [it["instance_id"] for it in (await world.get(f"{SHOP}?{query}")).json()] == expected, query
        is_problem(await world.get(f"{SHOP}?enabled=perhaps"), 422, "ValidationError")

    async def test_an_instance_has_several_names(self, world: World) -> None:
        uid = service(world)["metadata"]["uid"]
        for name in ("a", "shop-a", uid):
            assert (await world.get(f"{SHOP}/{name}")).json()["id"] == "shop-a"
        for name in ("b", "shop", "A"):
            is_problem(await world.get(f"{SHOP}/{name}"), 404, "NotFound")

    async def test_the_api_server_is_away(self, world: World) -> None:
        service(world)
        world.store.error = UnavailableError("connection refused")
        assert (await world.get(f"{SHOP}/a")).status_code == 200
        for call in (
            world.post(SHOP, {"instance_id": "b", "template_service_id": "web"}),
            world.put(f"{SHOP}/a", {"enabled": False}),
            world.put(f"{SHOP}/a/ports", OVERRIDES["ports"]),
            world.post(f"{SHOP}/a/duplicate", {}),
            world.put(f"{SHOP}/a/rename", {"instance_id": "b"}),
            world.delete(f"{SHOP}/a"),
        ):
            is_problem(await call, 503, "ServiceUnavailable")


class TestChange:
    async def test_description_and_enabled(self, world: World) -> None:
        service(world, description="before")
        answer = await world.put(f"{SHOP}/a", {"enabled": False})
        assert (answer.json()["enabled"], world.spec("shop-a")["desiredState"]) == (False, "Stopped")
        assert answer.json()["description"] == "before"
        await world.put(f"{SHOP}/a", {"enabled": True, "description": "after"})
        assert (world.spec("shop-a")["desiredState"], world.spec("shop-a")["description"]) == ("Running", "after")
        assert (await world.put(f"{SHOP}/a", {"description": None})).json()["description"] is None

    async def test_a_paused_one_is_enabled(self, world: World) -> None:
        service(world, desiredState="Paused")
        assert (await world.put(f"{SHOP}/a", {"enabled": True})).json()["enabled"]
        assert world.spec("shop-a")["desiredState"] == "Paused"

    @pytest.mark.parametrize(
        ("before", "path", "body"),
        [
            ({"desiredState": "Stopped"}, "", {"enabled": True}),
            ({"description": "new"}, "", {"description": "old"}),
            ({"overrides": {"ports": OVERRIDES["ports"]}}, "/ports", []),
        ],
    )
    async def test_what_another_gateway_has_just_changed(
        self, world: World, before: dict[str, Any], path: str, body: Any
    ) -> None:
        """It is not taken for so already because this one has not heard of it yet."""
        spec = service(world, description="old")["spec"]
        world.store.listeners.clear()
        world.store.put(INSTANCES, "default", "shop-a", {"spec": spec | before, "status": {"phase": "Running"}})
        is_problem(await world.put(f"{SHOP}/a{path}", body), 409, "Conflict")
        assert (await world.put(f"{SHOP}/a{path}", body)).status_code == 200
        found = world.spec("shop-a")
        assert (found["desiredState"], found["description"], found.get("overrides", {})) == ("Running", "old", {})

    async def test_an_archived_one_is_read_only(self, world: World) -> None:
        service(world, phase="Archived", desiredState="Archived")
        is_problem(await world.put(f"{SHOP}/a", {"enabled": True}), 400, "BadRequest")
        is_problem(await world.put(f"{SHOP}/a/ports", OVERRIDES["ports"]), 400, "BadRequest")

    @pytest.mark.parametrize("body", [{"enabled": "perhaps"}, {"instance_id": "b"}, [], "x"])
    async def test_what_is_wrong_is_named(self, world: World, body: Any) -> None:
        service(world)
        assert is_problem(await world.put(f"{SHOP}/a", body), 422, "ValidationError")["errors"]

    async def test_delete_is_soft(self, world: World) -> None:
        service(world)
        assert (await world.delete(f"{SHOP}/a")).status_code == 204
        assert world.spec("shop-a")["desiredState"] == "Terminated"
        is_problem(await world.delete(f"{SHOP}/a"), 404, "NotFound")
        service(world, "shop-b", deletionProtection=True)
        is_problem(await world.delete(f"{SHOP}/b"), 403, "Forbidden")


class TestOverrides:
    @pytest.mark.parametrize("kind", OVERRIDE_KINDS.values(), ids=lambda it: it.path)
    async def test_each_kind(self, world: World, kind: Any) -> None:
        """Replaced whole, answered without secrets, counted, taken away again; what was answered may be sent back."""
        service(world)
        body = OVERRIDES[kind.wire]
        answer = await world.put(f"{SHOP}/a/{kind.path}", body)
        assert answer.status_code == 200, answer.text
        assert "s3cret" not in answer.text
        stored = world.spec("shop-a")["overrides"][kind.wire]
        assert answer.json()["override_count"] == (len(body) if kind.is_list else 1)
        again = await world.put(f"{SHOP}/a/{kind.path}", answer.json()[kind.answer])
        assert again.json() == answer.json()
        assert world.spec("shop-a")["overrides"][kind.wire] == stored
        assert (await world.get(f"{SHOP}/a")).json() == answer.json()
        empty = await world.put(f"{SHOP}/a/{kind.path}", [] if kind.is_list else None)
        assert (empty.json()["override_count"], kind.wire in world.spec("shop-a")["overrides"]) == (0, False)

    async def test_a_null_takes_the_healthcheck_away(self, world: World) -> None:
        service(world, overrides={"healthcheck": OVERRIDES["healthcheck"]})
        json = {"Content-Type": "application/json"}
        answer = await world.client.put(f"{SHOP}/a/healthcheck", content="null", headers=json)
        assert (answer.status_code, answer.json()["healthcheck"]) == (200, None)

    async def test_one_kind_leaves_the_others_alone(self, world: World) -> None:
        service(world, overrides=OVERRIDES)
        await world.put(f"{SHOP}/a/labels", [{"name": "tier", "$remove": True}])
        left = world.spec("shop-a")["overrides"]
        assert left == OVERRIDES | {"labels": [{"name": "tier", "value": "", "$remove": True}]}

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("ports", {"containerPort": 80}, "body"),
            ("ports", [{"containerPort": 0}], "body -> 0 -> containerPort"),
            ("ports", [{"containerPort": 80, "colour": "red"}], "body -> 0 -> colour"),
            ("ports", [{"containerPort": n} for n in range(1, 66)], "body"),
            ("volumes", [{"target": "/a", "size": "large"}], "body -> 0 -> size"),
            ("env-vars", [{"name": "1A"}], "body -> 0 -> name"),
            ("labels", [{"name": "a", "value": "b c"}], "body -> 0 -> value"),
            ("domains", [{"domain": "https://a"}], "body -> 0 -> domain"),
            ("domains", [{"domain": "a.b", "proxyPort": 9}], "body -> 0 -> proxyPort"),
            ("healthcheck", [], "body"),
            ("healthcheck", {"test": ["CMD", "x"], "retries": 0}, "body -> retries"),
            ("config-files", [{"path": "/a", "mode": "rwx"}], "body -> 0 -> mode"),
            ("config-files", [{"path": "/a", "template": True, "content": "{{ nope }}"}], "body -> 0 -> content"),
            ("ports", [{"containerPort": 80, "$remove": True}], "body"),
        ],
    )  # fmt: skip
    async def test_what_is_wrong_is_named(self, world: World, path: str, body: Any, field: str) -> None:
        """Also what only shows with the template or another kind: the last one takes the port away from the domain."""
        service(world, overrides={"domains": OVERRIDES["domains"]})
        found = is_problem(await world.put(f"{SHOP}/a/{path}", body), 422, "ValidationError")
        assert [it["field"] for it in found["errors"]] == [field]

    async def test_what_was_wrong_before_is_in_nobodys_way(self, world: World) -> None:
        service(world, overrides={"domains": [{"domain": "a.b", "proxyPort": 9}]})
        assert (await world.put(f"{SHOP}/a/labels", OVERRIDES["labels"])).status_code == 200

    async def test_what_the_template_keeps_secret(self, world: World) -> None:
        """It is so under a value of the instance's own, which does not say so itself, and while nobody knows."""
        own = [{"name": "TOKEN", "value": "s3cret-own"}, {"name": "TZ", "value": "UTC", "secret": False}]
        for secret, named in ((True, "web"), (None, "unknown")):
            world.template("web", env=[{"name": "TOKEN", "value": "s3cret", "secret": secret}])
            service(world, overrides={"env": own}, templateRef={"name": named})
            told = [{"name": "TOKEN", "secret": True}, {"name": "TZ", "value": "UTC", "secret": False}]
            assert (await world.get(f"{SHOP}/a")).json()["env_vars"] == told
            detail = (await world.get("/instances/shop-a")).json()["overrides"]
            assert detail == {"env": told}
            for sent in (
                world.put(f"{SHOP}/a/env-vars", told),
                world.put("/instances/shop-a", {"overrides": detail}),
            ):
                answer = await sent
                assert (answer.status_code, "s3cret" in answer.text) == (200, False)
                assert world.spec("shop-a")["overrides"]["env"] == [own[0] | {"secret": True}, own[1]]
        world.template("web", env=[{"name": "TOKEN", "value": "open"}])
        service(world, overrides={"env": own}, templateRef={"name": "web"})
        assert (await world.get(f"{SHOP}/a")).json()["env_vars"] == own

    async def test_a_refusal_names_the_field_of_the_body_and_no_secret(self, world: World) -> None:
        service(world)
        cause = Cause("spec.overrides.env[1].value", "s3cret is too secret", "FieldValueInvalid")
        world.store.error = RefusedError("422: s3cret", code=422, causes=[cause])
        answer = await world.put(f"{SHOP}/a/env-vars", OVERRIDES["env"])
        found = is_problem(answer, 422, "ValidationError")
        assert found["errors"][0]["field"] == "body -> 1 -> value"
        assert "s3cret" not in answer.text

    async def test_a_refusal_of_a_new_one_does_too(self, world: World) -> None:
        cause = Cause("metadata.name", "is no name", "FieldValueInvalid")
        world.store.error = RefusedError("422: no", code=422, causes=[cause])
        answer = await world.post(SHOP, {"instance_id": "b", "template_service_id": "web"})
        assert is_problem(answer, 422, "ValidationError")["detail"] == "body -> instance_id: is no name"


class TestDuplicate:
    async def test_everything_is_copied(self, world: World) -> None:
        service(world, overrides=OVERRIDES, description="d", replicas=2, restartedAt="2026-01-01T00:00:00Z")
        answer = await world.post(f"{SHOP}/a/duplicate", {})
        assert (answer.status_code, answer.json()["instance_id"]) == (201, "a-copy")
        assert "s3cret" not in answer.text
        assert answer.json()["container_name"] == "hopper-shop-a-copy"
        before, after = world.spec("shop-a"), world.spec("shop-a-copy")
        assert after == {key: it for key, it in before.items() if key != "restartedAt"} | {"reason": "copy of shop-a"}
        assert (await world.client.post(f"{SHOP}/a/duplicate")).json()["instance_id"] == "a-copy-2", (
            "without a body too"
        )
        assert (await world.post(f"{SHOP}/a/duplicate", {"instance_id": "b"})).json()["instance_id"] == "b"
        is_problem(await world.post(f"{SHOP}/a/duplicate", {"instance_id": "b"}), 409, "Conflict")
        is_problem(await world.post(f"{SHOP}/none/duplicate", {}), 404, "NotFound")
        is_problem(await world.post(f"{SHOP}/a/duplicate", {"instance_id": "x" * 60}), 422, "ValidationError")

    async def test_a_long_name_is_shortened(self, world: World) -> None:
        service(world, "shop-" + "x" * 58)
        answer = await world.post(f"{SHOP}/{'x' * 58}/duplicate", {})
        assert answer.status_code == 201
        assert len(answer.json()["id"]) == 63
        assert answer.json()["id"].endswith("x-copy")

    async def test_an_archived_one_gives_a_stopped_copy(self, world: World) -> None:
        service(world, phase="Archived", desiredState="Archived")
        assert (await world.post(f"{SHOP}/a/duplicate", {})).status_code == 201
        assert world.spec("shop-a-copy")["desiredState"] == "Stopped"

    async def test_many_at_once(self, world: World) -> None:
        service(world, overrides=OVERRIDES)
        answers = await asyncio.gather(*(world.post(f"{SHOP}/a/duplicate", {}) for _ in range(50)))
        assert {it.status_code for it in answers} == {201}
        assert len({it.json()["id"] for it in answers}) == 50

    async def test_no_room_left(self, world: World) -> None:
        world.instance("shop", config={"limits": {"maxChildInstances": 1}})
        service(world)
        assert "1 children" in is_problem(await world.post(f"{SHOP}/a/duplicate", {}), 409, "Conflict")["detail"]


class TestRename:
    async def test_one_object_says_whom_it_replaces(self, world: World) -> None:
        raw = service(world, overrides=OVERRIDES)
        metadata = {
            "labels": {"team": "x", "app.kubernetes.io/instance": "gitops"},
            "annotations": {"hopper.dev/created-by": "bob", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        }
        status = raw["status"] | {"workloadName": "hopper-shop-a"}
        world.store.put(INSTANCES, "default", "shop-a", {"spec": raw["spec"], "status": status, "metadata": metadata})
        answer = await world.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert (answer.status_code, answer.json()["instance_id"]) == (200, "b")
        assert (answer.json()["container_name"], answer.json()["override_count"]) == ("hopper-shop-b", 8)
        renamed = {"name": "shop-a", "claimPrefix": "hopper-shop-a"}
        assert world.spec("shop-b") == raw["spec"] | {"renamedFrom": renamed, "reason": "renamed from shop-a"}
        made = world.store.objects[INSTANCES.plural, "default", "shop-b"]["metadata"]
        assert (made["labels"], made["annotations"]) == ({"team": "x"}, {"hopper.dev/created-by": "bob"})
        assert [it["instance_id"] for it in (await world.get(SHOP)).json()] == ["b"], "there is only the new name"
        assert is_problem(await world.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith("is now b")

    async def test_it_may_be_repeated(self, world: World) -> None:
        uid = service(world)["metadata"]["uid"]
        first = await world.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        for name in ("a", "shop-a"):
            again = await world.put(f"{SHOP}/{name}/rename", {"instance_id": "b"})
            assert (again.status_code, again.json()) == (200, first.json())
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        await world.store.delete(INSTANCES, "default", "shop-a", uid=uid)
        old = world.store.objects[INSTANCES.plural, "default", "shop-b"]
        world.store.put(INSTANCES, "default", "shop-b", old | {"status": {"phase": "Running", "predecessor": uid}})
        for name in ("a", uid):
            again = await world.put(f"{SHOP}/{name}/rename", {"instance_id": "b"})
            assert again.status_code == 200, "when it is done, too"
        found = is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert found["detail"] == "a has another name by now: b"
        assert is_problem(await world.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith("is now b")

    async def test_a_watch_that_is_behind(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The instance is gone by the API server's word, and the registry hears only later what became of it."""
        monkeypatch.setattr("hopper.gateway.stacks.renaming.CATCH_UP_SECONDS", 0.2)
        metadata = service(world)["metadata"]
        old = world.store.objects.pop((INSTANCES.plural, "default", "shop-a"))
        asked = [asyncio.create_task(world.put(f"{SHOP}/a/rename", {"instance_id": it})) for it in ("b", "c")]
        while len(world.context.waiting) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        status = {"phase": "Created", "predecessor": metadata["uid"]}
        service(world, "shop-b", renamedFrom={"name": "shop-a"}, status=status)
        world.store.listeners[0]("DELETED", old)
        assert [(await it).status_code for it in asked] == [200, 409]

    async def test_the_prefix_of_the_claims_is_the_first_names(self, world: World) -> None:
        service(world, renamedFrom={"name": "shop-0", "claimPrefix": "hopper-shop-0"})
        await world.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert world.spec("shop-b")["renamedFrom"] == {"name": "shop-a", "claimPrefix": "hopper-shop-0"}

    async def test_what_is_in_the_way(self, world: World) -> None:
        service(world)
        service(world, "shop-b")
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 409, "Conflict")
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "a"}), 409, "Conflict")
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "B"}), 422, "ValidationError")
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "x" * 60}), 422, "ValidationError")
        is_problem(await world.put(f"{SHOP}/a/rename", {}), 422, "ValidationError")
        is_problem(await world.put(f"{SHOP}/none/rename", {"instance_id": "c"}), 404, "NotFound")
        service(world, deletionProtection=True)
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 403, "Forbidden")
        world.instance("x", "Event", "shop-b")
        is_problem(await world.put(f"{SHOP}/b/rename", {"instance_id": "c"}), 409, "Conflict")

    async def test_the_name_of_a_terminated_one_is_free(self, world: World) -> None:
        service(world)
        service(world, "shop-b", phase="Terminated")
        assert (await world.put(f"{SHOP}/a/rename", {"instance_id": "b"})).status_code == 200

    async def test_one_of_many_wins(self, world: World) -> None:
        service(world)
        calls = (world.put(f"{SHOP}/a/rename", {"instance_id": f"b{number % 25}"}) for number in range(50))
        answers = await asyncio.gather(*calls)
        assert sorted(it.status_code for it in answers) == [200] * 2 + [409] * 48
        (winner,) = {it.json()["id"] for it in answers if it.status_code == 200}
        assert {name for _, _, name in world.store.objects} == {"shop", "shop-a", "web", winner}

    async def test_a_gateway_that_died_halfway_leaves_no_trace(self, world: World) -> None:
        service(world)
        now = datetime.now(UTC)

        def died(ago: float) -> None:
            noted = {ANNOTATION_RENAMING_TO: f"shop-b {(now - timedelta(seconds=ago)).isoformat()}"}
            old = world.store.objects[INSTANCES.plural, "default", "shop-a"]
            world.store.put(INSTANCES, "default", "shop-a", old | {"metadata": {"annotations": noted}})

        died(ago=5)
        found = is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert "repeat that, or try again in a minute" in found["detail"]
        died(ago=61)
        assert (await world.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_a_refusal_leaves_the_instance_free(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        service(world)

        async def refuse(*_: Any) -> Any:
            raise RefusedError("422: no", code=422)

        monkeypatch.setattr(world.store, "create", refuse)
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 422, "ValidationError")
        monkeypatch.undo()
        assert (await world.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_edited_all_the_time(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        service(world)

        async def conflict(*_: Any) -> Any:
            raise ConflictError("409: modified", code=409)

        monkeypatch.setattr(world.store, "patch", conflict)
        is_problem(await world.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 409, "Conflict")


class TestPreview:
    async def test_what_would_go_and_what_would_stay(self, world: World) -> None:
        service(world, overrides=OVERRIDES)
        world.template("other", dependsOn=["a"])
        service(world, "shop-b", templateRef={"name": "other"})
        found = (await world.get(f"{SHOP}/a/delete-preview")).json()
        assert (found["id"], found["name"], found["template_name"]) == ("shop-a", "a", "web")
        assert (found["override_count"], found["container_name"]) == (8, "hopper-shop-a")
        kinds = {it["kind"] for it in found["removed"]}
        assert kinds == {"Deployment", "Service", "ConfigMap", "Secret", "Ingress"}
        assert found["kept"] == [{"kind": "PersistentVolumeClaim", "name": "hopper-shop-a-data"}]
        assert (found["needed_by"], found["warnings"]) == (["b"], [])
        is_problem(await world.get(f"{SHOP}/none/delete-preview"), 404, "NotFound")

    async def test_what_cannot_be_rendered(self, world: World) -> None:
        service(world, templateRef={"name": "none"}, deletionProtection=True)
        found = (await world.get(f"{SHOP}/a/delete-preview")).json()
        assert found["removed"] == [{"kind": "Deployment", "name": "hopper-shop-a"}]
        assert len(found["warnings"]) == 2

    async def test_nothing_is_there_yet(self, world: World) -> None:
        service(world, phase=None)
        assert (await world.get(f"{SHOP}/a/delete-preview")).json()["removed"] == []
