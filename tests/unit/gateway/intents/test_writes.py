"""Creation, update and termination of instances: writes, responses and errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hopper.api.names import API_VERSION
from hopper.api.resources import INSTANCES
from hopper.ports import Cause, ConflictError, RefusedError, UnavailableError
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

SECRET = {"env": [{"name": "TOKEN", "value": "s3cret", "secret": True}]}


class TestCreate:
    @pytest.mark.parametrize("healthcheck", [{"$remove": True}, {"$remove": None}, {}], ids=str)
    async def test_a_healthcheck_without_a_test_is_written_unchanged(
        self, gateway: InMemoryGateway, healthcheck: Any
    ) -> None:
        """The API server decides whether it is valid."""
        body = {"name": "web", "scope": "PROJECT", "overrides": {"healthcheck": healthcheck}}
        response = await gateway.post("/instances", body)
        assert response.status_code == 201, response.text
        written = gateway.spec("web")["overrides"]["healthcheck"]
        assert "test" not in written
        assert written.get("$remove") == healthcheck.get("$remove")
        response = await gateway.put("/instances/web", {"description": "still readable"})
        assert response.status_code == 200, response.text

    async def test_minimal_body(self, gateway: InMemoryGateway) -> None:
        response = await gateway.post("/instances", {"name": "web", "scope": "PROJECT"})
        assert (response.status_code, response.headers["location"]) == (201, "/api/v1/instances/web")
        assert (response.json()["id"], response.json()["status"]) == ("web", "created")
        assert gateway.spec("web") == {"scope": "Project"}
        assert (await gateway.get("/instances/web")).json() == response.json()

    async def test_full_body(self, gateway: InMemoryGateway) -> None:
        gateway.instance("global", "Global")
        gateway.template("shop")
        body = {
            "name": "Web shop",
            "scope": "project",
            "id": "web",
            "instance_type": "persistent",
            "parent_id": "global",
            "config": {"capabilities": ["gpu"], "extra": {"a": {"b": [1]}}},
            "runtime_metadata": {"pid": 7, "host": "ü"},
            "description": "sells shoes",
            "created_by": "bob",
            "template": "shop",
            "overrides": {"ports": [{"containerPort": 80}], **SECRET},
        }
        response = await gateway.post("/instances", body)
        assert response.status_code == 201, response.text
        assert "s3cret" not in response.text
        spec = gateway.spec("web")
        assert "s3cret" not in str(spec)
        assert spec | {"overrides": spec["overrides"] | {"env": gateway.env_of("web")}} == {
            "scope": "Project",
            "displayName": "Web shop",
            "type": "Persistent",
            "parentRef": {"name": "global"},
            "config": body["config"],
            "description": "sells shoes",
            "templateRef": {"name": "shop"},
            "overrides": {"ports": [{"containerPort": 80, "protocol": "TCP"}], **SECRET},
        }
        created = response.json()
        assert (created["created_by"], created["runtime_metadata"]) == (None, body["runtime_metadata"])
        assert (created["template"], created["override_count"], created["parent_id"]) == ("shop", 2, "global")

    @pytest.mark.parametrize(
        ("name", "expected"), [("Web Shop!", "web-shop"), ("  a__b ", "a-b"), ("Ä1", "1"), ("x" * 200, "x" * 63)]
    )
    async def test_the_id_is_derived_from_the_name(self, gateway: InMemoryGateway, name: str, expected: str) -> None:
        response = await gateway.post("/instances", {"name": name, "scope": "PROJECT"})
        assert (response.status_code, response.json()["id"], response.json()["name"]) == (201, expected, name)

    async def test_the_id_of_a_global_instance_is_global(self, gateway: InMemoryGateway) -> None:
        response = await gateway.post("/instances", {"name": "The Root", "scope": "Global", "id": "anything"})
        assert (response.status_code, response.json()["id"], response.json()["name"]) == (201, "global", "The Root")
        assert_problem(await gateway.post("/instances", {"name": "Another", "scope": "Global"}), 409, "Conflict")

    async def test_the_parent_may_be_given_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = gateway.instance("web")["metadata"]["uid"]
        response = await gateway.post("/instances", {"name": "a", "scope": "ORCHESTRATION", "parent_id": uid})
        assert response.json()["parent_id"] == "web"

    async def test_a_parent_missing_in_the_index_is_read_from_the_api_server(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.instance("web")
        response = await gateway.post("/instances", {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"})
        assert response.status_code == 201

    async def test_a_template_missing_in_the_index_is_read_from_the_api_server(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.template("shop")
        response = await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "template": "shop"})
        assert response.status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "body -> name"),
            ({"name": "a"}, "body -> scope"),
            ({"name": "a", "scope": "moon"}, "body -> scope"),
            ({"name": "", "scope": "PROJECT"}, "body -> name"),
            ({"name": "!!", "scope": "PROJECT"}, "body -> name"),
            ({"name": "active", "scope": "PROJECT"}, "body -> name"),
            ({"name": "a", "scope": "PROJECT", "id": "Not-So"}, "body -> id"),
            ({"name": "a", "scope": "PROJECT", "id": "projects"}, "body -> id"),
            ({"name": "a", "scope": "PROJECT", "colour": "red"}, "body -> colour"),
            ({"name": "a", "scope": "PROJECT", "config": {"rooting": {}}}, "body -> config -> rooting"),
            (
                {"name": "a", "scope": "PROJECT", "config": {"limits": {"maxDepth": -1}}},
                "body -> config -> limits -> maxDepth",
            ),
            (
                {"name": "a", "scope": "PROJECT", "config": {"delegation": {"autoCreateProjectInstances": True}}},
                "body -> config -> delegation -> autoCreateProjectInstances",
            ),
            ({"name": "a", "scope": "PROJECT", "overrides": {"ports": [{"containerPort": 0}]}},
             "body -> overrides -> ports -> 0 -> containerPort"),
            ({"name": "a", "scope": "ORCHESTRATION"}, "body -> parent_id"),
            ({"name": "a", "scope": "PROJECT", "parent_id": "fair"}, "body -> parent_id"),
            ({"name": "fair", "id": "fair2", "scope": "EVENT", "parent_id": "fair"}, "body -> parent_id"),
        ],
    )  # fmt: skip
    async def test_invalid_fields_are_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        gateway.instance("fair", "Event")
        problem = assert_problem(await gateway.post("/instances", body), 422, "ValidationError")
        assert field in [error["field"] for error in problem["errors"]]
        assert (await gateway.get("/instances")).json()["total"] == 1

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b'"x"',
            b"\xff\xfe",
            b'{"name": NaN}',
            b"[" * 100_000,
            b'{"a":' * 40 + b"1" + b"}" * 40,
        ],
    )
    async def test_invalid_json_gets_422(self, gateway: InMemoryGateway, content: bytes) -> None:
        response = await gateway.client.post(
            "/instances", content=content, headers={"Content-Type": "application/json"}
        )
        assert_problem(response, 422, "ValidationError")

    async def test_another_content_type_gets_422(self, gateway: InMemoryGateway) -> None:
        body = json.dumps({"name": "a", "scope": "PROJECT"}).encode()
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/xml"}):
            response = await gateway.client.post("/instances", content=body, headers=headers)
            (error,) = assert_problem(response, 422, "ValidationError")["errors"]
            assert error["message"] == "requires the header Content-Type: application/json"
        for kind in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
            response = await gateway.client.put("/instances/nobody", content=b"{}", headers={"Content-Type": kind})
            assert_problem(response, 404, "NotFound")

    async def test_a_large_body_gets_413(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(max_body_bytes=1000))
        body = {"name": "a", "scope": "PROJECT", "description": "x" * 1000}
        assert_problem(await gateway.post("/instances", body), 413, "PayloadTooLarge")

    async def test_a_slow_body_gets_408(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(max_body_seconds=0.01))

        async def dribble() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        json_type = {"Content-Type": "application/json"}
        response = await gateway.client.post("/instances", content=dribble(), headers=json_type)
        assert_problem(response, 408, "RequestTimeout")

    async def test_bodies_that_are_not_complete_are_limited_in_total(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(max_pending_body_bytes=1000))
        received, finish = asyncio.Event(), asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b'{"name": "first", "scope": "PROJECT"' + b" " * 900
            received.set()
            await finish.wait()
            yield b"}"

        json_type = {"Content-Type": "application/json"}
        first = asyncio.create_task(gateway.client.post("/instances", content=slow_body(), headers=json_type))
        await received.wait()
        second = {"name": "second", "scope": "PROJECT", "description": "x" * 100}
        refused = await gateway.post("/instances", second)
        assert_problem(refused, 503, "ServiceUnavailable")
        assert refused.headers["Retry-After"] == "1"
        finish.set()
        assert (await first).status_code == 201
        assert len(gateway.context.pending_bodies) == 0
        assert (await gateway.post("/instances", second)).status_code == 201

    async def test_errors_contain_no_secret(self, gateway: InMemoryGateway) -> None:
        long = "s3cret" * 10_000
        for env in ({"name": "T", "value": long, "secret": True}, {"name": "T", "value": "s3cret", "secret": "s3cret"}):
            body = {"name": "a", "scope": "PROJECT", "overrides": {"env": [env]}}
            response = await gateway.post("/instances", body)
            assert_problem(response, 422, "ValidationError")
            assert "s3cret" not in response.text
        cause = Cause("spec.overrides.env[0]", 'Invalid value: "s3cret"', "FieldValueInvalid")
        gateway.store.error = RefusedError('422: Invalid value: "s3cret"', code=422, causes=[cause])
        response = await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "overrides": SECRET})
        problem = assert_problem(response, 422, "ValidationError")
        assert problem["errors"][0]["field"] == "body -> overrides -> env -> 0"
        assert "s3cret" not in response.text

    @pytest.mark.parametrize(
        ("field", "told"),
        [
            ("metadata.name", "id"),
            ("metadata.annotations", "runtime_metadata"),
            ("spec.displayName", "name"),
            ("spec.type", "instance_type"),
            ("spec.parentRef.name", "parent_id"),
            ("spec.templateRef.name", "template"),
            ("spec.config.limits.maxDepth", "config -> limits -> maxDepth"),
            ("spec.overrides.ports[1]", "overrides -> ports -> 1"),
            ("spec.description", "description"),
            ("specification", "specification"),
        ],
    )
    async def test_api_server_errors_name_the_field_of_the_body(
        self, gateway: InMemoryGateway, field: str, told: str
    ) -> None:
        gateway.instance("web")
        gateway.store.error = RefusedError("422: no", code=422, causes=[Cause(field, "is wrong", "FieldValueInvalid")])
        for response in (
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT"}),
            await gateway.put("/instances/web", {"description": "a"}),
        ):
            body = assert_problem(response, 422, "ValidationError")
            assert (body["detail"], body["errors"][0]["field"]) == (f"body -> {told}: is wrong", f"body -> {told}")

    async def test_a_missing_parent_or_template_gets_400(self, gateway: InMemoryGateway) -> None:
        problem = assert_problem(
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "template": "no"}), 400, "BadRequest"
        )
        assert problem["detail"] == "template no does not exist in namespace default; create it first"
        body = {"name": "a", "scope": "PROJECT", "parent_id": "no"}
        assert (
            "no does not exist" in assert_problem(await gateway.post("/instances", body), 400, "BadRequest")["detail"]
        )

    async def test_a_name_in_use_gets_409(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        body = assert_problem(await gateway.post("/instances", {"name": "Web", "scope": "PROJECT"}), 409, "Conflict")
        assert "choose another id" in body["detail"]
        gateway.instance("mail", phase="Stopping", desiredState="Terminated")
        assert_problem(await gateway.post("/instances", {"name": "mail", "scope": "PROJECT"}), 409, "Conflict")

    async def test_a_name_taken_concurrently_gets_409(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.instance("web")
        assert_problem(await gateway.post("/instances", {"name": "web", "scope": "PROJECT"}), 409, "Conflict")

    async def test_a_terminated_instance_is_replaced(self, gateway: InMemoryGateway) -> None:
        old = gateway.instance("web", phase="Terminated", desiredState="Terminated")["metadata"]["uid"]
        response = await gateway.post("/instances", {"name": "web", "scope": "EVENT"})
        assert response.status_code == 201
        assert response.json()["uid"] != old
        assert (await gateway.get("/instances/web")).json()["scope"] == "EVENT"

    async def test_replacing_keeps_volumes_and_children(self, gateway: InMemoryGateway) -> None:
        """Children with volumes are orphaned, and set to Terminated."""
        deleted: dict[str, bool] = {}
        delete = gateway.store.delete

        async def note(*where: Any, orphan: bool = False, **options: Any) -> None:
            deleted[where[-1]] = orphan
            await delete(*where, orphan=orphan, **options)

        gateway.store.delete = note  # type: ignore[method-assign]
        over = {"phase": "Terminated", "desiredState": "Terminated"}
        old = gateway.instance("web", **over)
        gateway.instance("logical", **over)
        gateway.instance("party", "Event", **over, templateRef={"name": "crm"})
        gateway.instance("crm", **over, templateRef={"name": "crm"})
        gateway.instance("mail")
        owner = {"apiVersion": API_VERSION, "kind": "HopperInstance", "name": "web", "uid": old["metadata"]["uid"]}
        for name, parent in (("web-a", "web"), ("moved", "mail")):
            raw = gateway.instance(name, "Orchestration", parent, "Terminated", templateRef={"name": "crm"})
            raw["metadata"]["ownerReferences"] = [owner]
            gateway.store.put(INSTANCES, "default", name, raw)
        for name in ("web", "logical", "party", "crm"):
            assert (await gateway.post("/instances", {"name": name, "scope": "PROJECT"})).status_code == 201
        assert deleted == {"web": True, "logical": False, "party": False, "crm": True}
        assert (gateway.spec("web-a")["desiredState"], gateway.spec("moved")["desiredState"]) == (
            "Terminated",
            "Running",
        )

    async def test_a_parent_without_a_free_slot_gets_409(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", config={"limits": {"maxChildInstances": 1}})
        first = {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"}
        assert (await gateway.post("/instances", first)).status_code == 201
        body = assert_problem(await gateway.post("/instances", first | {"name": "b"}), 409, "Conflict")
        assert "maxChildInstances" in body["detail"]

    async def test_a_terminated_parent_gets_400(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Terminated", desiredState="Terminated")
        body = {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"}
        assert "terminated" in assert_problem(await gateway.post("/instances", body), 400, "BadRequest")["detail"]

    async def test_an_unavailable_api_server_gets_503(self, gateway: InMemoryGateway) -> None:
        gateway.store.error = UnavailableError("connection refused")
        assert_problem(await gateway.post("/instances", {"name": "a", "scope": "PROJECT"}), 503, "ServiceUnavailable")


class TestUpdate:
    async def test_omitted_fields_keep_their_value(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", displayName="Web", description="old", config={"capabilities": ["a"], "extra": {"x": 1}})
        response = await gateway.put("/instances/web", {"description": "new"})
        assert (response.status_code, response.json()["description"], response.json()["name"]) == (200, "new", "Web")
        assert gateway.spec("web")["config"] == {"capabilities": ["a"], "extra": {"x": 1}}

    async def test_null_removes_a_field_and_an_object_replaces_it(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", displayName="Web", description="old", config={"capabilities": ["a"], "extra": {"x": 1}})
        body = {"name": None, "description": None, "config": {"extra": {"y": {"z": 2}}}, "runtime_metadata": {"pid": 1}}
        response = await gateway.put("/instances/web", body)
        assert response.status_code == 200, response.text
        spec = gateway.spec("web")
        assert spec["config"] == {"extra": {"y": {"z": 2}}}
        assert "displayName" not in spec
        assert "description" not in spec
        assert response.json()["runtime_metadata"] == {"pid": 1}
        assert (await gateway.put("/instances/web", {"runtime_metadata": None})).json()["runtime_metadata"] == {}

    async def test_all_other_fields(self, gateway: InMemoryGateway) -> None:
        gateway.template("shop")
        gateway.instance("global", "Global")
        gateway.instance("web")
        body = {
            "scope": "project",
            "instance_type": "Singleton",
            "parent_id": "global",
            "template": "shop",
            "overrides": SECRET,
        }
        response = await gateway.put("/instances/web", body)
        assert response.status_code == 200, response.text
        assert "s3cret" not in response.text
        spec = gateway.spec("web")
        assert (spec["type"], spec["parentRef"], spec["templateRef"]) == (
            "Singleton",
            {"name": "global"},
            {"name": "shop"},
        )
        assert "s3cret" not in str(spec)
        assert gateway.env_of("web") == SECRET["env"]
        cleared = await gateway.put("/instances/web", {"parent_id": None, "template": None, "overrides": None})
        assert (cleared.json()["parent_id"], cleared.json()["template"], cleared.json()["overrides"]) == (
            None,
            None,
            {},
        )

    async def test_a_response_can_be_sent_back(self, gateway: InMemoryGateway) -> None:
        """Responses omit the values of secrets; an update without them keeps them."""
        gateway.template("shop")
        gateway.instance("web", templateRef={"name": "shop"}, overrides=SECRET, description="old")
        read = (await gateway.get("/instances/web")).json()
        assert "s3cret" not in json.dumps(read)
        body = {"description": "new", "overrides": read["overrides"], "config": read["config"]}
        assert (await gateway.put("/instances/web", body)).status_code == 200
        assert gateway.spec("web")["overrides"]["env"] == SECRET["env"]
        fresh = {"env": [{"name": "TOKEN", "value": "new", "secret": True}, {"name": "OTHER", "secret": True}]}
        assert (await gateway.put("/instances/web", {"overrides": fresh})).status_code == 200
        assert [entry.get("value") for entry in gateway.env_of("web")] == ["new", None]

    @pytest.mark.parametrize(
        "parent", ["../../other/hopperinstances/a", "../hoppertemplates/shop", "..", ".", "web/status", "web?x=y", "W"]
    )
    async def test_an_invalid_parent_name_is_not_sent_to_the_api_server(
        self, gateway: InMemoryGateway, parent: str
    ) -> None:
        """A path from a caller must not be read with the permissions of the gateway."""
        await self._given(gateway)
        gateway.store.error = UnavailableError("it was asked")
        wanted = [
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "parent_id": parent}),
            await gateway.put("/instances/web", {"parent_id": parent}),
        ]
        for response in wanted:
            assert (
                assert_problem(response, 400, "BadRequest")["detail"] == f"parent_id: instance {parent} does not exist"
            )

    async def test_an_outdated_version_gets_409(self, gateway: InMemoryGateway) -> None:
        tag = (await self._given(gateway)).headers["etag"]
        assert (await gateway.put("/instances/web", {"description": "a"}, headers={"If-Match": tag})).status_code == 200
        response = await gateway.put("/instances/web", {"description": "b"}, headers={"If-Match": tag})
        assert "another client" in assert_problem(response, 409, "Conflict")["detail"]
        stale = {"description": "b", "resource_version": tag.strip('"')}
        assert_problem(await gateway.put("/instances/web", stale), 409, "Conflict")
        assert (await gateway.put("/instances/web", {"description": "c"}, headers={"If-Match": "*"})).status_code == 200

    @pytest.mark.parametrize("version", ["k", "0", "1e3", "-1", "1, 2", "99999999999999999999"])
    async def test_an_invalid_version_gets_422(self, gateway: InMemoryGateway, version: str) -> None:
        """The API server answers 500 to most of these values, and takes 0 for any version."""
        await self._given(gateway)
        response = await gateway.put("/instances/web", {"description": "a"}, headers={"If-Match": f'"{version}"'})
        (error,) = assert_problem(response, 422, "ValidationError")["errors"]
        assert error["field"] == "header -> if-match"
        assert error["message"] == 'must be the ETag of a response, for example "1207", or *'
        response = await gateway.put("/instances/web", {"description": "a", "resource_version": version})
        (error,) = assert_problem(response, 422, "ValidationError")["errors"]
        assert error["field"] == "body -> resource_version"

    @staticmethod
    async def _given(gateway: InMemoryGateway) -> Any:
        gateway.instance("web")
        return await gateway.get("/instances/web")

    async def test_a_concurrent_status_write_is_no_conflict(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()  # the watch lags behind
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"], "status": {"phase": "Paused"}})
        assert (await gateway.put("/instances/web", {"description": "new"})).status_code == 200

    async def test_a_concurrent_spec_write_is_a_conflict(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"] | {"description": "by kubectl"}})
        assert_problem(await gateway.put("/instances/web", {"description": "new"}), 409, "Conflict")
        assert gateway.spec("web")["description"] == "by kubectl"
        # The conflict has updated the index.
        assert (await gateway.put("/instances/web", {"description": "new"})).status_code == 200

    async def test_a_concurrent_deletion_gets_404(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.store.listeners.clear()
        gateway.store.objects.clear()
        assert_problem(await gateway.put("/instances/web", {"description": "new"}), 404, "NotFound")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"scope": "EVENT"}, "body -> scope"),
            ({"parent_id": "worker"}, "body -> parent_id"),
            ({"parent_id": "web"}, "body -> parent_id"),
            ({"config": {"limits": {"maxDeep": 1}}}, "body -> config -> limits -> maxDeep"),
            ({"desired_state": "Paused"}, "body -> desired_state"),
            ({"name": ""}, "body -> name"),
        ],
    )
    async def test_invalid_fields_are_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        gateway.instance("web")
        gateway.instance("worker", "Orchestration", "web")
        problem = assert_problem(await gateway.put("/instances/web", body), 422, "ValidationError")
        assert field in [error["field"] for error in problem["errors"]]

    @pytest.mark.parametrize("body", [{"template": "no"}, {"parent_id": "no"}])
    async def test_a_missing_object_gets_an_error(self, gateway: InMemoryGateway, body: Any) -> None:
        gateway.instance("web")
        assert_problem(await gateway.put("/instances/web", body), 400, "BadRequest")
        assert_problem(await gateway.put("/instances/no", body), 404, "NotFound")

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_an_archived_instance_is_read_only(self, gateway: InMemoryGateway, state: str) -> None:
        gateway.instance("web", phase=state, desiredState=state)
        assert_problem(await gateway.put("/instances/web", {"description": "new"}), 400, "BadRequest")

    async def test_one_of_fifty_concurrent_updates_succeeds(self, gateway: InMemoryGateway) -> None:
        tag = (await self._given(gateway)).headers["etag"]
        responses = await asyncio.gather(
            *(gateway.put("/instances/web", {"description": str(n)}, headers={"If-Match": tag}) for n in range(50))
        )
        codes = [response.status_code for response in responses]
        assert (codes.count(200), codes.count(409)) == (1, 49)
        (winner,) = (response.json()["description"] for response in responses if response.status_code == 200)
        assert gateway.spec("web")["description"] == winner


class TestTerminate:
    async def test_the_object_stays(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        response = await gateway.delete("/instances/web")
        assert (response.status_code, response.content) == (204, b"")
        assert gateway.spec("web")["desiredState"] == "Terminated"
        assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
        assert_problem(await gateway.delete("/instances/nobody"), 404, "NotFound")

    async def test_live_children_require_cascade(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("gone", "Orchestration", "web", "Terminated", desiredState="Terminated")
        for n in range(7):
            gateway.instance(f"w-{n}", "Orchestration", "web")
        body = assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
        assert "w-0, w-1, w-2, w-3, w-4 and 2 more" in body["detail"]
        assert gateway.spec("web")["desiredState"] == "Running"
        assert (await gateway.delete("/instances/web?cascade=true")).status_code == 204
        assert gateway.spec("web")["desiredState"] == "Terminated"

    async def test_terminated_children_are_ignored(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("gone", "Orchestration", "web", "Terminated", desiredState="Terminated")
        assert (await gateway.delete("/instances/web")).status_code == 204

    async def test_a_protected_instance_gets_403(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("safe", "Orchestration", "web", deletionProtection=True)
        for path in ("/instances/safe", "/instances/web?cascade=true"):
            assert "safe" in assert_problem(await gateway.delete(path), 403, "Forbidden")["detail"]

    async def test_a_concurrent_change_gets_409(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.store.error = ConflictError("409: modified", code=409)
        assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
