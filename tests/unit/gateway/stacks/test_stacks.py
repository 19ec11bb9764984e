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
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

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
def shop(gateway: InMemoryGateway) -> None:
    """A stack, and a template for it."""
    gateway.instance("shop")
    gateway.template("web", ports=[{"containerPort": 80}], volumes=[{"target": "/data"}])


def service(
    gateway: InMemoryGateway, name: str = "shop-a", phase: str | None = "Running", **spec: Any
) -> dict[str, Any]:
    spec = {"templateRef": {"name": "web"}, **spec}
    return gateway.instance(name, "Orchestration", "shop", phase, **spec)


class TestCreateAndRead:
    async def test_create(self, gateway: InMemoryGateway) -> None:
        body = {"instance_id": "a", "template_service_id": "web", "description": "the first"}
        answer = await gateway.post(SHOP, body)
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
        assert gateway.spec("shop-a") == {
            "scope": "Orchestration",
            "parentRef": {"name": "shop"},
            "templateRef": {"name": "web"},
            "description": "the first",
        }
        read = await gateway.get(f"{SHOP}/a")
        assert read.json().items() >= found.items()
        assert (await gateway.get(f"{SHOP}/a", headers={"If-None-Match": read.headers["etag"]})).status_code == 304

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
    async def test_what_is_wrong_is_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        found = assert_problem(await gateway.post(SHOP, body), 422, "ValidationError")
        assert [it["field"] for it in found["errors"]] == [field]

    async def test_what_is_missing(self, gateway: InMemoryGateway) -> None:
        body = {"instance_id": "a", "template_service_id": "none"}
        found = assert_problem(await gateway.post(SHOP, body), 400, "BadRequest")
        assert found["detail"] == "template none does not exist in namespace default; create it first"
        for path in ("/stacks/none/instances", "/stacks/shop-a/instances"):
            assert_problem(await gateway.get(path), 404, "NotFound")
            assert_problem(await gateway.post(path, body), 404, "NotFound")

    @pytest.mark.parametrize("phase", ["Created", "Stopped", "Error", "Archived", "Terminated"])
    async def test_a_stack_that_is_not_active(self, gateway: InMemoryGateway, phase: str) -> None:
        service(gateway)
        gateway.instance("shop", phase=phase)
        assert_problem(await gateway.get(SHOP), 404, "NotFound")
        assert_problem(await gateway.post(SHOP, {"instance_id": "b", "template_service_id": "web"}), 404, "NotFound")
        assert (await gateway.get(f"{SHOP}/a")).status_code == (404 if phase == "Terminated" else 200)

    async def test_the_name_is_taken(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        body = {"instance_id": "a", "template_service_id": "web"}
        found = assert_problem(await gateway.post(SHOP, body), 409, "Conflict")
        assert found["detail"] == "shop-a is already in use; choose another instance_id, or delete that instance first"
        service(gateway, desiredState="Terminated")
        assert "try again" in assert_problem(await gateway.post(SHOP, body), 409, "Conflict")["detail"]
        service(gateway, phase="Terminated")
        assert (await gateway.post(SHOP, body)).status_code == 201, "the name of a terminated one is free"

    async def test_list(self, gateway: InMemoryGateway) -> None:
        for name, more in {
            "shop-c": {"description": "Keeps Money"},
            "shop-a": {"desiredState": "Stopped"},
            "shop-b": {"overrides": {"env": OVERRIDES["env"]}},
            "shop-d": {"desiredState": "Terminated"},
        }.items():
            service(gateway, name, **more)
        gateway.instance("shop-e", "Orchestration", "shop")  # logical
        service(gateway, "plain")
        answer = await gateway.get(SHOP)
        assert [it["instance_id"] for it in answer.json()] == ["plain", "a", "b", "c"]
        assert [it["override_count"] for it in answer.json()] == [0, 0, 2, 0]
        assert (await gateway.get(SHOP, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
        for query, expected in {
            "enabled=false": ["a"],
            "enabled=true": ["plain", "b", "c"],
            "search=money": ["c"],
            "search=LAI": ["plain"],
            "search=web&enabled=true": ["plain", "b", "c"],
            "search=nothing": [],
        }.items():
            assert [it["instance_id"] for it in (await gateway.get(f"{SHOP}?{query}")).json()] == expected, query
        assert_problem(await gateway.get(f"{SHOP}?enabled=perhaps"), 422, "ValidationError")

    async def test_an_instance_has_several_names(self, gateway: InMemoryGateway) -> None:
        uid = service(gateway)["metadata"]["uid"]
        for name in ("a", "shop-a", uid):
            assert (await gateway.get(f"{SHOP}/{name}")).json()["id"] == "shop-a"
        for name in ("b", "shop", "A"):
            assert_problem(await gateway.get(f"{SHOP}/{name}"), 404, "NotFound")

    async def test_the_api_server_is_away(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        gateway.store.error = UnavailableError("connection refused")
        assert (await gateway.get(f"{SHOP}/a")).status_code == 200
        for call in (
            gateway.post(SHOP, {"instance_id": "b", "template_service_id": "web"}),
            gateway.put(f"{SHOP}/a", {"enabled": False}),
            gateway.put(f"{SHOP}/a/ports", OVERRIDES["ports"]),
            gateway.post(f"{SHOP}/a/duplicate", {}),
            gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}),
            gateway.delete(f"{SHOP}/a"),
        ):
            assert_problem(await call, 503, "ServiceUnavailable")


class TestChange:
    async def test_description_and_enabled(self, gateway: InMemoryGateway) -> None:
        service(gateway, description="before")
        answer = await gateway.put(f"{SHOP}/a", {"enabled": False})
        assert (answer.json()["enabled"], gateway.spec("shop-a")["desiredState"]) == (False, "Stopped")
        assert answer.json()["description"] == "before"
        await gateway.put(f"{SHOP}/a", {"enabled": True, "description": "after"})
        assert (gateway.spec("shop-a")["desiredState"], gateway.spec("shop-a")["description"]) == ("Running", "after")
        assert (await gateway.put(f"{SHOP}/a", {"description": None})).json()["description"] is None

    async def test_a_paused_one_is_enabled(self, gateway: InMemoryGateway) -> None:
        service(gateway, desiredState="Paused")
        assert (await gateway.put(f"{SHOP}/a", {"enabled": True})).json()["enabled"]
        assert gateway.spec("shop-a")["desiredState"] == "Paused"

    @pytest.mark.parametrize(
        ("before", "path", "body"),
        [
            ({"desiredState": "Stopped"}, "", {"enabled": True}),
            ({"description": "new"}, "", {"description": "old"}),
            ({"overrides": {"ports": OVERRIDES["ports"]}}, "/ports", []),
        ],
    )
    async def test_what_another_gateway_has_just_changed(
        self, gateway: InMemoryGateway, before: dict[str, Any], path: str, body: Any
    ) -> None:
        """It is not taken for so already because this one has not heard of it yet."""
        spec = service(gateway, description="old")["spec"]
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "shop-a", {"spec": spec | before, "status": {"phase": "Running"}})
        assert_problem(await gateway.put(f"{SHOP}/a{path}", body), 409, "Conflict")
        assert (await gateway.put(f"{SHOP}/a{path}", body)).status_code == 200
        found = gateway.spec("shop-a")
        assert (found["desiredState"], found["description"], found.get("overrides", {})) == ("Running", "old", {})

    async def test_an_archived_one_is_read_only(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase="Archived", desiredState="Archived")
        assert_problem(await gateway.put(f"{SHOP}/a", {"enabled": True}), 400, "BadRequest")
        assert_problem(await gateway.put(f"{SHOP}/a/ports", OVERRIDES["ports"]), 400, "BadRequest")

    @pytest.mark.parametrize("body", [{"enabled": "perhaps"}, {"instance_id": "b"}, [], "x"])
    async def test_what_is_wrong_is_named(self, gateway: InMemoryGateway, body: Any) -> None:
        service(gateway)
        assert assert_problem(await gateway.put(f"{SHOP}/a", body), 422, "ValidationError")["errors"]

    async def test_delete_is_soft(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        assert (await gateway.delete(f"{SHOP}/a")).status_code == 204
        assert gateway.spec("shop-a")["desiredState"] == "Terminated"
        assert_problem(await gateway.delete(f"{SHOP}/a"), 404, "NotFound")
        service(gateway, "shop-b", deletionProtection=True)
        assert_problem(await gateway.delete(f"{SHOP}/b"), 403, "Forbidden")


class TestOverrides:
    @pytest.mark.parametrize("kind", OVERRIDE_KINDS.values(), ids=lambda it: it.path)
    async def test_each_kind(self, gateway: InMemoryGateway, kind: Any) -> None:
        """Replaced whole, answered without secrets, counted, taken away again; what was answered may be sent back."""
        service(gateway)
        body = OVERRIDES[kind.wire]
        answer = await gateway.put(f"{SHOP}/a/{kind.path}", body)
        assert answer.status_code == 200, answer.text
        assert "s3cret" not in answer.text
        stored = gateway.spec("shop-a")["overrides"][kind.wire]
        assert answer.json()["override_count"] == (len(body) if kind.is_list else 1)
        again = await gateway.put(f"{SHOP}/a/{kind.path}", answer.json()[kind.response_field])
        assert again.json() == answer.json()
        assert gateway.spec("shop-a")["overrides"][kind.wire] == stored
        assert (await gateway.get(f"{SHOP}/a")).json() == answer.json()
        empty = await gateway.put(f"{SHOP}/a/{kind.path}", [] if kind.is_list else None)
        assert (empty.json()["override_count"], kind.wire in gateway.spec("shop-a")["overrides"]) == (0, False)

    async def test_a_null_takes_the_healthcheck_away(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides={"healthcheck": OVERRIDES["healthcheck"]})
        json = {"Content-Type": "application/json"}
        answer = await gateway.client.put(f"{SHOP}/a/healthcheck", content="null", headers=json)
        assert (answer.status_code, answer.json()["healthcheck"]) == (200, None)

    async def test_one_kind_leaves_the_others_alone(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES)
        await gateway.put(f"{SHOP}/a/labels", [{"name": "tier", "$remove": True}])
        left = gateway.spec("shop-a")["overrides"]
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
    async def test_what_is_wrong_is_named(self, gateway: InMemoryGateway, path: str, body: Any, field: str) -> None:
        """Also what only shows with the template or another kind: the last one takes the port away from the domain."""
        service(gateway, overrides={"domains": OVERRIDES["domains"]})
        found = assert_problem(await gateway.put(f"{SHOP}/a/{path}", body), 422, "ValidationError")
        assert [it["field"] for it in found["errors"]] == [field]

    async def test_what_was_wrong_before_is_in_nobodys_way(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides={"domains": [{"domain": "a.b", "proxyPort": 9}]})
        assert (await gateway.put(f"{SHOP}/a/labels", OVERRIDES["labels"])).status_code == 200

    async def test_what_the_template_keeps_secret(self, gateway: InMemoryGateway) -> None:
        """It is so under a value of the instance's own, which does not say so itself, and while nobody knows."""
        own = [{"name": "TOKEN", "value": "s3cret-own"}, {"name": "TZ", "value": "UTC", "secret": False}]
        for secret, named in ((True, "web"), (None, "unknown")):
            gateway.template("web", env=[{"name": "TOKEN", "value": "s3cret", "secret": secret}])
            service(gateway, overrides={"env": own}, templateRef={"name": named})
            told = [{"name": "TOKEN", "secret": True}, {"name": "TZ", "value": "UTC", "secret": False}]
            assert (await gateway.get(f"{SHOP}/a")).json()["env_vars"] == told
            detail = (await gateway.get("/instances/shop-a")).json()["overrides"]
            assert detail == {"env": told}
            for sent in (
                gateway.put(f"{SHOP}/a/env-vars", told),
                gateway.put("/instances/shop-a", {"overrides": detail}),
            ):
                answer = await sent
                assert (answer.status_code, "s3cret" in answer.text) == (200, False)
                assert gateway.spec("shop-a")["overrides"]["env"] == [own[0] | {"secret": True}, own[1]]
        gateway.template("web", env=[{"name": "TOKEN", "value": "open"}])
        service(gateway, overrides={"env": own}, templateRef={"name": "web"})
        assert (await gateway.get(f"{SHOP}/a")).json()["env_vars"] == own

    async def test_a_refusal_names_the_field_of_the_body_and_no_secret(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        cause = Cause("spec.overrides.env[1].value", "s3cret is too secret", "FieldValueInvalid")
        gateway.store.error = RefusedError("422: s3cret", code=422, causes=[cause])
        answer = await gateway.put(f"{SHOP}/a/env-vars", OVERRIDES["env"])
        found = assert_problem(answer, 422, "ValidationError")
        assert found["errors"][0]["field"] == "body -> 1 -> value"
        assert "s3cret" not in answer.text

    async def test_a_refusal_of_a_new_one_does_too(self, gateway: InMemoryGateway) -> None:
        cause = Cause("metadata.name", "is no name", "FieldValueInvalid")
        gateway.store.error = RefusedError("422: no", code=422, causes=[cause])
        answer = await gateway.post(SHOP, {"instance_id": "b", "template_service_id": "web"})
        assert assert_problem(answer, 422, "ValidationError")["detail"] == "body -> instance_id: is no name"


class TestDuplicate:
    async def test_everything_is_copied(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES, description="d", replicas=2, restartedAt="2026-01-01T00:00:00Z")
        answer = await gateway.post(f"{SHOP}/a/duplicate", {})
        assert (answer.status_code, answer.json()["instance_id"]) == (201, "a-copy")
        assert "s3cret" not in answer.text
        assert answer.json()["container_name"] == "hopper-shop-a-copy"
        before, after = gateway.spec("shop-a"), gateway.spec("shop-a-copy")
        assert after == {key: it for key, it in before.items() if key != "restartedAt"} | {"reason": "copy of shop-a"}
        assert (await gateway.client.post(f"{SHOP}/a/duplicate")).json()["instance_id"] == "a-copy-2", (
            "without a body too"
        )
        assert (await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "b"})).json()["instance_id"] == "b"
        assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "b"}), 409, "Conflict")
        assert_problem(await gateway.post(f"{SHOP}/none/duplicate", {}), 404, "NotFound")
        assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "x" * 60}), 422, "ValidationError")

    async def test_a_long_name_is_shortened(self, gateway: InMemoryGateway) -> None:
        service(gateway, "shop-" + "x" * 58)
        answer = await gateway.post(f"{SHOP}/{'x' * 58}/duplicate", {})
        assert answer.status_code == 201
        assert len(answer.json()["id"]) == 63
        assert answer.json()["id"].endswith("x-copy")

    async def test_an_archived_one_gives_a_stopped_copy(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase="Archived", desiredState="Archived")
        assert (await gateway.post(f"{SHOP}/a/duplicate", {})).status_code == 201
        assert gateway.spec("shop-a-copy")["desiredState"] == "Stopped"

    async def test_many_at_once(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES)
        answers = await asyncio.gather(*(gateway.post(f"{SHOP}/a/duplicate", {}) for _ in range(50)))
        assert {it.status_code for it in answers} == {201}
        assert len({it.json()["id"] for it in answers}) == 50

    async def test_no_room_left(self, gateway: InMemoryGateway) -> None:
        gateway.instance("shop", config={"limits": {"maxChildInstances": 1}})
        service(gateway)
        assert "1 children" in assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {}), 409, "Conflict")["detail"]


class TestRename:
    async def test_one_object_says_whom_it_replaces(self, gateway: InMemoryGateway) -> None:
        raw = service(gateway, overrides=OVERRIDES)
        metadata = {
            "labels": {"team": "x", "app.kubernetes.io/instance": "gitops"},
            "annotations": {"hopper.dev/created-by": "bob", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        }
        status = raw["status"] | {"workloadName": "hopper-shop-a"}
        gateway.store.put(INSTANCES, "default", "shop-a", {"spec": raw["spec"], "status": status, "metadata": metadata})
        answer = await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert (answer.status_code, answer.json()["instance_id"]) == (200, "b")
        assert (answer.json()["container_name"], answer.json()["override_count"]) == ("hopper-shop-b", 8)
        renamed = {"name": "shop-a", "claimPrefix": "hopper-shop-a"}
        assert gateway.spec("shop-b") == raw["spec"] | {"renamedFrom": renamed, "reason": "renamed from shop-a"}
        made = gateway.store.objects[INSTANCES.plural, "default", "shop-b"]["metadata"]
        assert (made["labels"], made["annotations"]) == ({"team": "x"}, {"hopper.dev/created-by": "bob"})
        assert [it["instance_id"] for it in (await gateway.get(SHOP)).json()] == ["b"], "there is only the new name"
        assert assert_problem(await gateway.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith(
            "has been renamed to b"
        )

    async def test_it_may_be_repeated(self, gateway: InMemoryGateway) -> None:
        uid = service(gateway)["metadata"]["uid"]
        first = await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        for name in ("a", "shop-a"):
            again = await gateway.put(f"{SHOP}/{name}/rename", {"instance_id": "b"})
            assert (again.status_code, again.json()) == (200, first.json())
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        await gateway.store.delete(INSTANCES, "default", "shop-a", uid=uid)
        old = gateway.store.objects[INSTANCES.plural, "default", "shop-b"]
        gateway.store.put(INSTANCES, "default", "shop-b", old | {"status": {"phase": "Running", "predecessor": uid}})
        for name in ("a", uid):
            again = await gateway.put(f"{SHOP}/{name}/rename", {"instance_id": "b"})
            assert again.status_code == 200, "when it is done, too"
        found = assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert found["detail"] == "a has already been renamed to b"
        assert assert_problem(await gateway.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith(
            "has been renamed to b"
        )

    async def test_a_watch_that_is_behind(self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """The instance is gone by the API server's word, and the registry hears only later what became of it."""
        monkeypatch.setattr("hopper.gateway.stacks.renaming.DELETION_SECONDS", 0.2)
        metadata = service(gateway)["metadata"]
        old = gateway.store.objects.pop((INSTANCES.plural, "default", "shop-a"))
        asked = [asyncio.create_task(gateway.put(f"{SHOP}/a/rename", {"instance_id": it})) for it in ("b", "c")]
        while len(gateway.context.waiters) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        status = {"phase": "Created", "predecessor": metadata["uid"]}
        service(gateway, "shop-b", renamedFrom={"name": "shop-a"}, status=status)
        gateway.store.listeners[0]("DELETED", old)
        assert [(await it).status_code for it in asked] == [200, 409]

    async def test_the_prefix_of_the_claims_is_the_first_names(self, gateway: InMemoryGateway) -> None:
        service(gateway, renamedFrom={"name": "shop-0", "claimPrefix": "hopper-shop-0"})
        await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert gateway.spec("shop-b")["renamedFrom"] == {"name": "shop-a", "claimPrefix": "hopper-shop-0"}

    async def test_what_is_in_the_way(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        service(gateway, "shop-b")
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 409, "Conflict")
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "a"}), 409, "Conflict")
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "B"}), 422, "ValidationError")
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "x" * 60}), 422, "ValidationError")
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {}), 422, "ValidationError")
        assert_problem(await gateway.put(f"{SHOP}/none/rename", {"instance_id": "c"}), 404, "NotFound")
        service(gateway, deletionProtection=True)
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 403, "Forbidden")
        gateway.instance("x", "Event", "shop-b")
        assert_problem(await gateway.put(f"{SHOP}/b/rename", {"instance_id": "c"}), 409, "Conflict")

    async def test_the_name_of_a_terminated_one_is_free(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        service(gateway, "shop-b", phase="Terminated")
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})).status_code == 200

    async def test_one_of_many_wins(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        calls = (gateway.put(f"{SHOP}/a/rename", {"instance_id": f"b{number % 25}"}) for number in range(50))
        answers = await asyncio.gather(*calls)
        assert sorted(it.status_code for it in answers) == [200] * 2 + [409] * 48
        (winner,) = {it.json()["id"] for it in answers if it.status_code == 200}
        assert {name for _, _, name in gateway.store.objects} == {"shop", "shop-a", "web", winner}

    async def test_a_gateway_that_died_halfway_leaves_no_trace(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        now = datetime.now(UTC)

        def died(ago: float) -> None:
            noted = {ANNOTATION_RENAMING_TO: f"shop-b {(now - timedelta(seconds=ago)).isoformat()}"}
            old = gateway.store.objects[INSTANCES.plural, "default", "shop-a"]
            gateway.store.put(INSTANCES, "default", "shop-a", old | {"metadata": {"annotations": noted}})

        died(ago=5)
        found = assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert "repeat that request, or try again in a minute" in found["detail"]
        died(ago=61)
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_a_refusal_leaves_the_instance_free(
        self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service(gateway)

        async def refuse(*_: Any) -> Any:
            raise RefusedError("422: no", code=422)

        monkeypatch.setattr(gateway.store, "create", refuse)
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 422, "ValidationError")
        monkeypatch.undo()
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_edited_all_the_time(self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        service(gateway)

        async def conflict(*_: Any) -> Any:
            raise ConflictError("409: modified", code=409)

        monkeypatch.setattr(gateway.store, "patch", conflict)
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 409, "Conflict")


class TestPreview:
    async def test_what_would_go_and_what_would_stay(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES)
        gateway.template("other", dependsOn=["a"])
        service(gateway, "shop-b", templateRef={"name": "other"})
        found = (await gateway.get(f"{SHOP}/a/delete-preview")).json()
        assert (found["id"], found["name"], found["template_name"]) == ("shop-a", "a", "web")
        assert (found["override_count"], found["container_name"]) == (8, "hopper-shop-a")
        kinds = {it["kind"] for it in found["removed"]}
        assert kinds == {"Deployment", "Service", "ConfigMap", "Secret", "Ingress"}
        assert found["kept"] == [{"kind": "PersistentVolumeClaim", "name": "hopper-shop-a-data"}]
        assert (found["needed_by"], found["warnings"]) == (["b"], [])
        assert_problem(await gateway.get(f"{SHOP}/none/delete-preview"), 404, "NotFound")

    async def test_what_cannot_be_rendered(self, gateway: InMemoryGateway) -> None:
        service(gateway, templateRef={"name": "none"}, deletionProtection=True)
        found = (await gateway.get(f"{SHOP}/a/delete-preview")).json()
        assert found["removed"] == [{"kind": "Deployment", "name": "hopper-shop-a"}]
        assert len(found["warnings"]) == 2

    async def test_nothing_is_there_yet(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase=None)
        assert (await gateway.get(f"{SHOP}/a/delete-preview")).json()["removed"] == []
