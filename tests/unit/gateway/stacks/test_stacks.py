"""Stacks through the REST API: writes, responses and errors."""

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
    """A stack and a template."""
    gateway.instance("shop")
    gateway.template("web", ports=[{"containerPort": 80}], volumes=[{"target": "/data"}])


def service(
    gateway: InMemoryGateway, name: str = "shop-a", phase: str | None = "Running", **spec: Any
) -> dict[str, Any]:
    spec = {"templateRef": {"name": "web"}, **spec}
    return gateway.instance(name, "Orchestration", "shop", phase, **spec)


class TestCreateAndRead:
    async def test_create_an_instance(self, gateway: InMemoryGateway) -> None:
        body = {"instance_id": "a", "template_service_id": "web", "description": "the first"}
        response = await gateway.post(SHOP, body)
        assert (response.status_code, response.headers["location"]) == (201, f"/api/v1{SHOP}/a")
        created = response.json()
        assert {key: created[key] for key in ("id", "stack_id", "instance_id", "template_service_id")} == {
            "id": "shop-a",
            "stack_id": "shop",
            "instance_id": "a",
            "template_service_id": "web",
        }
        assert (created["template_name"], created["container_name"]) == ("web", "hopper-shop-a")
        assert (created["description"], created["enabled"], created["override_count"]) == ("the first", True, 0)
        assert gateway.spec("shop-a") == {
            "scope": "Orchestration",
            "parentRef": {"name": "shop"},
            "templateRef": {"name": "web"},
            "description": "the first",
        }
        read = await gateway.get(f"{SHOP}/a")
        assert read.json().items() >= created.items()
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
    async def test_invalid_fields_are_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        problem = assert_problem(await gateway.post(SHOP, body), 422, "ValidationError")
        assert [error["field"] for error in problem["errors"]] == [field]

    async def test_missing_objects_get_an_error(self, gateway: InMemoryGateway) -> None:
        body = {"instance_id": "a", "template_service_id": "none"}
        problem = assert_problem(await gateway.post(SHOP, body), 400, "BadRequest")
        assert problem["detail"] == "template none does not exist in namespace default; create it first"
        for path in ("/stacks/none/instances", "/stacks/shop-a/instances"):
            assert_problem(await gateway.get(path), 404, "NotFound")
            assert_problem(await gateway.post(path, body), 404, "NotFound")

    @pytest.mark.parametrize("phase", ["Created", "Stopped", "Error", "Archived", "Terminated"])
    async def test_a_stack_that_is_not_running_gets_404(self, gateway: InMemoryGateway, phase: str) -> None:
        service(gateway)
        gateway.instance("shop", phase=phase)
        assert_problem(await gateway.get(SHOP), 404, "NotFound")
        assert_problem(await gateway.post(SHOP, {"instance_id": "b", "template_service_id": "web"}), 404, "NotFound")
        assert (await gateway.get(f"{SHOP}/a")).status_code == (404 if phase == "Terminated" else 200)

    async def test_a_name_in_use_gets_409(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        body = {"instance_id": "a", "template_service_id": "web"}
        problem = assert_problem(await gateway.post(SHOP, body), 409, "Conflict")
        assert (
            problem["detail"] == "shop-a is already in use; choose another instance_id, or delete that instance first"
        )
        service(gateway, desiredState="Terminated")
        assert "try again" in assert_problem(await gateway.post(SHOP, body), 409, "Conflict")["detail"]
        service(gateway, phase="Terminated")
        assert (await gateway.post(SHOP, body)).status_code == 201, "the name of a terminated one is free"

    async def test_list_can_be_filtered(self, gateway: InMemoryGateway) -> None:
        for name, more in {
            "shop-c": {"description": "Keeps Money"},
            "shop-a": {"desiredState": "Stopped"},
            "shop-b": {"overrides": {"env": OVERRIDES["env"]}},
            "shop-d": {"desiredState": "Terminated"},
        }.items():
            service(gateway, name, **more)
        gateway.instance("shop-e", "Orchestration", "shop")  # without a template
        service(gateway, "plain")
        response = await gateway.get(SHOP)
        assert [item["instance_id"] for item in response.json()] == ["plain", "a", "b", "c"]
        assert [item["override_count"] for item in response.json()] == [0, 0, 2, 0]
        assert (await gateway.get(SHOP, headers={"If-None-Match": response.headers["etag"]})).status_code == 304
        for query, expected in {
            "enabled=false": ["a"],
            "enabled=true": ["plain", "b", "c"],
            "search=money": ["c"],
            "search=LAI": ["plain"],
            "search=web&enabled=true": ["plain", "b", "c"],
            "search=nothing": [],
        }.items():
            assert [item["instance_id"] for item in (await gateway.get(f"{SHOP}?{query}")).json()] == expected, query
        assert_problem(await gateway.get(f"{SHOP}?enabled=perhaps"), 422, "ValidationError")

    async def test_an_instance_is_found_by_name_id_and_uid(self, gateway: InMemoryGateway) -> None:
        uid = service(gateway)["metadata"]["uid"]
        for name in ("a", "shop-a", uid):
            assert (await gateway.get(f"{SHOP}/{name}")).json()["id"] == "shop-a"
        for name in ("b", "shop", "A"):
            assert_problem(await gateway.get(f"{SHOP}/{name}"), 404, "NotFound")

    async def test_an_unavailable_api_server_gets_503(self, gateway: InMemoryGateway) -> None:
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


class TestUpdate:
    async def test_description_and_enabled(self, gateway: InMemoryGateway) -> None:
        service(gateway, description="before")
        response = await gateway.put(f"{SHOP}/a", {"enabled": False})
        assert (response.json()["enabled"], gateway.spec("shop-a")["desiredState"]) == (False, "Stopped")
        assert response.json()["description"] == "before"
        await gateway.put(f"{SHOP}/a", {"enabled": True, "description": "after"})
        assert (gateway.spec("shop-a")["desiredState"], gateway.spec("shop-a")["description"]) == ("Running", "after")
        assert (await gateway.put(f"{SHOP}/a", {"description": None})).json()["description"] is None

    async def test_a_paused_instance_is_enabled(self, gateway: InMemoryGateway) -> None:
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
    async def test_a_change_by_another_gateway_is_a_conflict(
        self, gateway: InMemoryGateway, before: dict[str, Any], path: str, body: Any
    ) -> None:
        """Even if the instance seems to be in the requested state, because the index is behind."""
        spec = service(gateway, description="old")["spec"]
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "shop-a", {"spec": spec | before, "status": {"phase": "Running"}})
        assert_problem(await gateway.put(f"{SHOP}/a{path}", body), 409, "Conflict")
        assert (await gateway.put(f"{SHOP}/a{path}", body)).status_code == 200
        result = gateway.spec("shop-a")
        assert (result["desiredState"], result["description"], result.get("overrides", {})) == ("Running", "old", {})

    async def test_an_archived_instance_is_read_only(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase="Archived", desiredState="Archived")
        assert_problem(await gateway.put(f"{SHOP}/a", {"enabled": True}), 400, "BadRequest")
        assert_problem(await gateway.put(f"{SHOP}/a/ports", OVERRIDES["ports"]), 400, "BadRequest")

    @pytest.mark.parametrize("body", [{"enabled": "perhaps"}, {"instance_id": "b"}, [], "x"])
    async def test_invalid_fields_are_named(self, gateway: InMemoryGateway, body: Any) -> None:
        service(gateway)
        assert assert_problem(await gateway.put(f"{SHOP}/a", body), 422, "ValidationError")["errors"]

    async def test_delete_keeps_the_object(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        assert (await gateway.delete(f"{SHOP}/a")).status_code == 204
        assert gateway.spec("shop-a")["desiredState"] == "Terminated"
        assert_problem(await gateway.delete(f"{SHOP}/a"), 404, "NotFound")
        service(gateway, "shop-b", deletionProtection=True)
        assert_problem(await gateway.delete(f"{SHOP}/b"), 403, "Forbidden")


class TestOverrides:
    @pytest.mark.parametrize("kind", OVERRIDE_KINDS.values(), ids=lambda kind: kind.path)
    async def test_each_kind_is_replaced(self, gateway: InMemoryGateway, kind: Any) -> None:
        """Returned without secrets, counted, removed again; a response may be sent back."""
        service(gateway)
        body = OVERRIDES[kind.wire]
        response = await gateway.put(f"{SHOP}/a/{kind.path}", body)
        assert response.status_code == 200, response.text
        assert "s3cret" not in response.text
        stored = gateway.spec("shop-a")["overrides"][kind.wire]
        assert response.json()["override_count"] == (len(body) if kind.is_list else 1)
        again = await gateway.put(f"{SHOP}/a/{kind.path}", response.json()[kind.response_field])
        assert again.json() == response.json()
        assert gateway.spec("shop-a")["overrides"][kind.wire] == stored
        assert (await gateway.get(f"{SHOP}/a")).json() == response.json()
        empty = await gateway.put(f"{SHOP}/a/{kind.path}", [] if kind.is_list else None)
        assert (empty.json()["override_count"], kind.wire in gateway.spec("shop-a")["overrides"]) == (0, False)

    async def test_null_removes_the_healthcheck(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides={"healthcheck": OVERRIDES["healthcheck"]})
        json = {"Content-Type": "application/json"}
        response = await gateway.client.put(f"{SHOP}/a/healthcheck", content="null", headers=json)
        assert (response.status_code, response.json()["healthcheck"]) == (200, None)

    async def test_other_kinds_are_unchanged(self, gateway: InMemoryGateway) -> None:
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
    async def test_problems_are_named(self, gateway: InMemoryGateway, path: str, body: Any, field: str) -> None:
        """Also those that appear only with the template or another kind: the last case removes the port of a domain."""
        service(gateway, overrides={"domains": OVERRIDES["domains"]})
        problem = assert_problem(await gateway.put(f"{SHOP}/a/{path}", body), 422, "ValidationError")
        assert [error["field"] for error in problem["errors"]] == [field]

    async def test_existing_problems_do_not_block_a_change(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides={"domains": [{"domain": "a.b", "proxyPort": 9}]})
        assert (await gateway.put(f"{SHOP}/a/labels", OVERRIDES["labels"])).status_code == 200

    async def test_variables_that_are_secret_in_the_template(self, gateway: InMemoryGateway) -> None:
        """Also with a value of the instance, and while the template is unknown."""
        own = [{"name": "TOKEN", "value": "s3cret-own"}, {"name": "TZ", "value": "UTC", "secret": False}]
        for secret, named in ((True, "web"), (None, "unknown")):
            gateway.template("web", env=[{"name": "TOKEN", "value": "s3cret", "secret": secret}])
            service(gateway, overrides={"env": own}, templateRef={"name": named})
            shown = [{"name": "TOKEN", "secret": True}, {"name": "TZ", "value": "UTC", "secret": False}]
            assert (await gateway.get(f"{SHOP}/a")).json()["env_vars"] == shown
            detail = (await gateway.get("/instances/shop-a")).json()["overrides"]
            assert detail == {"env": shown}
            for sent in (
                gateway.put(f"{SHOP}/a/env-vars", shown),
                gateway.put("/instances/shop-a", {"overrides": detail}),
            ):
                response = await sent
                assert (response.status_code, "s3cret" in response.text) == (200, False)
                assert gateway.env_of("shop-a") == [own[0] | {"secret": True}, own[1]]
        gateway.template("web", env=[{"name": "TOKEN", "value": "open"}])
        service(gateway, overrides={"env": own}, templateRef={"name": "web"})
        assert (await gateway.get(f"{SHOP}/a")).json()["env_vars"] == own

    async def test_api_server_errors_name_the_field_and_no_secret(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        cause = Cause("spec.overrides.env[1].value", "s3cret is too secret", "FieldValueInvalid")
        gateway.store.error = RefusedError("422: s3cret", code=422, causes=[cause])
        response = await gateway.put(f"{SHOP}/a/env-vars", OVERRIDES["env"])
        body = assert_problem(response, 422, "ValidationError")
        assert body["errors"][0]["field"] == "body -> 1 -> value"
        assert "s3cret" not in response.text

    async def test_api_server_errors_on_create_name_the_field(self, gateway: InMemoryGateway) -> None:
        cause = Cause("metadata.name", "is no name", "FieldValueInvalid")
        gateway.store.error = RefusedError("422: no", code=422, causes=[cause])
        response = await gateway.post(SHOP, {"instance_id": "b", "template_service_id": "web"})
        assert assert_problem(response, 422, "ValidationError")["detail"] == "body -> instance_id: is no name"


class TestDuplicate:
    async def test_template_and_overrides_are_copied(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES, description="d", replicas=2, restartedAt="2026-01-01T00:00:00Z")
        response = await gateway.post(f"{SHOP}/a/duplicate", {})
        assert (response.status_code, response.json()["instance_id"]) == (201, "a-copy")
        assert "s3cret" not in response.text
        assert response.json()["container_name"] == "hopper-shop-a-copy"
        before, after = gateway.spec("shop-a"), gateway.spec("shop-a-copy")
        assert "s3cret" not in str(after)
        after = after | {"overrides": after["overrides"] | {"env": gateway.env_of("shop-a-copy")}}
        assert after == {key: value for key, value in before.items() if key != "restartedAt"} | {
            "reason": "copy of shop-a"
        }
        assert (await gateway.client.post(f"{SHOP}/a/duplicate")).json()["instance_id"] == "a-copy-2", (
            "without a body too"
        )
        assert (await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "b"})).json()["instance_id"] == "b"
        assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "b"}), 409, "Conflict")
        assert_problem(await gateway.post(f"{SHOP}/none/duplicate", {}), 404, "NotFound")
        assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "x" * 60}), 422, "ValidationError")

    async def test_a_long_name_is_truncated(self, gateway: InMemoryGateway) -> None:
        service(gateway, "shop-" + "x" * 58)
        response = await gateway.post(f"{SHOP}/{'x' * 58}/duplicate", {})
        assert response.status_code == 201
        assert len(response.json()["id"]) == 63
        assert response.json()["id"].endswith("x-copy")

    async def test_the_copy_of_an_archived_instance_is_stopped(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase="Archived", desiredState="Archived")
        assert (await gateway.post(f"{SHOP}/a/duplicate", {})).status_code == 201
        assert gateway.spec("shop-a-copy")["desiredState"] == "Stopped"

    async def test_concurrent_copies_get_different_names(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES)
        responses = await asyncio.gather(*(gateway.post(f"{SHOP}/a/duplicate", {}) for _ in range(50)))
        assert {response.status_code for response in responses} == {201}
        assert len({response.json()["id"] for response in responses}) == 50

    async def test_a_stack_without_a_free_slot_gets_409(self, gateway: InMemoryGateway) -> None:
        gateway.instance("shop", config={"limits": {"maxChildInstances": 1}})
        service(gateway)
        assert "1 children" in assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {}), 409, "Conflict")["detail"]


class TestRename:
    async def test_the_new_object_names_its_predecessor(self, gateway: InMemoryGateway) -> None:
        raw = service(gateway, overrides=OVERRIDES)
        metadata = {
            "labels": {"team": "x", "app.kubernetes.io/instance": "gitops"},
            "annotations": {"hopper.dev/created-by": "bob", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        }
        status = raw["status"] | {"workloadName": "hopper-shop-a"}
        gateway.store.put(INSTANCES, "default", "shop-a", {"spec": raw["spec"], "status": status, "metadata": metadata})
        response = await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert (response.status_code, response.json()["instance_id"]) == (200, "b")
        assert (response.json()["container_name"], response.json()["override_count"]) == ("hopper-shop-b", 8)
        renamed = {"name": "shop-a", "claimPrefix": "hopper-shop-a"}
        spec = gateway.spec("shop-b")
        assert "s3cret" not in str(spec)
        spec = spec | {"overrides": spec["overrides"] | {"env": gateway.env_of("shop-b")}}
        assert spec == raw["spec"] | {"renamedFrom": renamed, "reason": "renamed from shop-a"}
        made = gateway.store.objects[INSTANCES.plural, "default", "shop-b"]["metadata"]
        assert (made["labels"], made["annotations"]) == ({"team": "x"}, {"hopper.dev/created-by": "bob"})
        assert [item["instance_id"] for item in (await gateway.get(SHOP)).json()] == ["b"], "there is only the new name"
        assert assert_problem(await gateway.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith(
            "has been renamed to b"
        )

    async def test_a_rename_can_be_repeated(self, gateway: InMemoryGateway) -> None:
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
        body = assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert body["detail"] == "a has already been renamed to b"
        assert assert_problem(await gateway.get(f"{SHOP}/a"), 404, "NotFound")["detail"].endswith(
            "has been renamed to b"
        )

    async def test_an_index_behind_the_deletion(
        self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The API server has deleted the instance, and the index receives the successor later."""
        monkeypatch.setattr("hopper.gateway.stacks.renaming.DELETION_SECONDS", 0.2)
        metadata = service(gateway)["metadata"]
        old = gateway.store.objects.pop((INSTANCES.plural, "default", "shop-a"))
        renames = [asyncio.create_task(gateway.put(f"{SHOP}/a/rename", {"instance_id": name})) for name in ("b", "c")]
        while len(gateway.context.waiters) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        status = {"phase": "Created", "predecessor": metadata["uid"]}
        service(gateway, "shop-b", renamedFrom={"name": "shop-a"}, status=status)
        gateway.store.listeners[0]("DELETED", old)
        assert [(await task).status_code for task in renames] == [200, 409]

    async def test_the_claim_prefix_is_kept_over_several_renames(self, gateway: InMemoryGateway) -> None:
        service(gateway, renamedFrom={"name": "shop-0", "claimPrefix": "hopper-shop-0"})
        await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert gateway.spec("shop-b")["renamedFrom"] == {"name": "shop-a", "claimPrefix": "hopper-shop-0"}

    async def test_obstacles_to_a_rename(self, gateway: InMemoryGateway) -> None:
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

    async def test_the_name_of_a_terminated_instance_is_free(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        service(gateway, "shop-b", phase="Terminated")
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})).status_code == 200

    async def test_one_of_many_concurrent_renames_succeeds(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        calls = (gateway.put(f"{SHOP}/a/rename", {"instance_id": f"b{number % 25}"}) for number in range(50))
        responses = await asyncio.gather(*calls)
        assert sorted(response.status_code for response in responses) == [200] * 2 + [409] * 48
        (winner,) = {response.json()["id"] for response in responses if response.status_code == 200}
        assert {name for _, _, name in gateway.store.objects} == {"shop", "shop-a", "web", winner}

    async def test_a_gateway_that_stops_between_the_writes(self, gateway: InMemoryGateway) -> None:
        service(gateway)
        now = datetime.now(UTC)

        def died(ago: float) -> None:
            noted = {ANNOTATION_RENAMING_TO: f"shop-b {(now - timedelta(seconds=ago)).isoformat()}"}
            old = gateway.store.objects[INSTANCES.plural, "default", "shop-a"]
            gateway.store.put(INSTANCES, "default", "shop-a", old | {"metadata": {"annotations": noted}})

        died(ago=5)
        body = assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"}), 409, "Conflict")
        assert "repeat that request, or try again in a minute" in body["detail"]
        died(ago=61)
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_a_rejected_rename_releases_the_instance(
        self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service(gateway)

        async def refuse(*_: Any) -> Any:
            raise RefusedError("422: no", code=422)

        monkeypatch.setattr(gateway.store, "create", refuse)
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 422, "ValidationError")
        monkeypatch.undo()
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "c"})).status_code == 200

    async def test_constant_changes_get_409(self, gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        service(gateway)

        async def conflict(*_: Any) -> Any:
            raise ConflictError("409: modified", code=409)

        monkeypatch.setattr(gateway.store, "patch", conflict)
        assert_problem(await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"}), 409, "Conflict")


class TestPreview:
    async def test_removed_and_kept_objects(self, gateway: InMemoryGateway) -> None:
        service(gateway, overrides=OVERRIDES)
        gateway.template("other", dependsOn=["a"])
        service(gateway, "shop-b", templateRef={"name": "other"})
        body = (await gateway.get(f"{SHOP}/a/delete-preview")).json()
        assert (body["id"], body["name"], body["template_name"]) == ("shop-a", "a", "web")
        assert (body["override_count"], body["container_name"]) == (8, "hopper-shop-a")
        kinds = {removed["kind"] for removed in body["removed"]}
        assert kinds == {"Deployment", "Service", "ConfigMap", "Secret", "Ingress"}
        assert body["kept"] == [{"kind": "PersistentVolumeClaim", "name": "hopper-shop-a-data"}]
        assert (body["needed_by"], body["warnings"]) == (["b"], [])
        assert_problem(await gateway.get(f"{SHOP}/none/delete-preview"), 404, "NotFound")

    async def test_a_template_that_cannot_be_rendered(self, gateway: InMemoryGateway) -> None:
        service(gateway, templateRef={"name": "none"}, deletionProtection=True)
        body = (await gateway.get(f"{SHOP}/a/delete-preview")).json()
        assert body["removed"] == [{"kind": "Deployment", "name": "hopper-shop-a"}]
        assert len(body["warnings"]) == 2

    async def test_an_instance_without_objects(self, gateway: InMemoryGateway) -> None:
        service(gateway, phase=None)
        assert (await gateway.get(f"{SHOP}/a/delete-preview")).json()["removed"] == []
