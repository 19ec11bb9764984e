"""Creating, changing and terminating instances: what is written, what is answered, and everything that is refused."""

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
    async def test_a_healthcheck_without_a_test_is_written_without_one(
        self, gateway: InMemoryGateway, healthcheck: Any
    ) -> None:
        """What an empty one means says the API server, which refuses it."""
        body = {"name": "web", "scope": "PROJECT", "overrides": {"healthcheck": healthcheck}}
        answer = await gateway.post("/instances", body)
        assert answer.status_code == 201, answer.text
        written = gateway.spec("web")["overrides"]["healthcheck"]
        assert "test" not in written
        assert written.get("$remove") == healthcheck.get("$remove")
        answer = await gateway.put("/instances/web", {"description": "still readable"})
        assert answer.status_code == 200, answer.text

    async def test_the_least(self, gateway: InMemoryGateway) -> None:
        answer = await gateway.post("/instances", {"name": "web", "scope": "PROJECT"})
        assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/instances/web")
        assert (answer.json()["id"], answer.json()["status"]) == ("web", "created")
        assert gateway.spec("web") == {"scope": "Project"}
        assert (await gateway.get("/instances/web")).json() == answer.json()

    async def test_everything(self, gateway: InMemoryGateway) -> None:
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
        answer = await gateway.post("/instances", body)
        assert answer.status_code == 201, answer.text
        assert "s3cret" not in answer.text
        assert gateway.spec("web") == {
            "scope": "Project",
            "displayName": "Web shop",
            "type": "Persistent",
            "parentRef": {"name": "global"},
            "config": body["config"],
            "description": "sells shoes",
            "templateRef": {"name": "shop"},
            "overrides": {"ports": [{"containerPort": 80, "protocol": "TCP"}], **SECRET},
        }
        found = answer.json()
        assert (found["created_by"], found["runtime_metadata"]) == ("bob", body["runtime_metadata"])
        assert (found["template"], found["override_count"], found["parent_id"]) == ("shop", 2, "global")

    @pytest.mark.parametrize(
        ("name", "expected"), [("Web Shop!", "web-shop"), ("  a__b ", "a-b"), ("Ä1", "1"), ("x" * 200, "x" * 63)]
    )
    async def test_an_id_is_made_of_the_name(self, gateway: InMemoryGateway, name: str, expected: str) -> None:
        answer = await gateway.post("/instances", {"name": name, "scope": "PROJECT"})
        assert (answer.status_code, answer.json()["id"], answer.json()["name"]) == (201, expected, name)

    async def test_the_global_one_is_called_global(self, gateway: InMemoryGateway) -> None:
        answer = await gateway.post("/instances", {"name": "The Root", "scope": "Global", "id": "anything"})
        assert (answer.status_code, answer.json()["id"], answer.json()["name"]) == (201, "global", "The Root")
        assert_problem(await gateway.post("/instances", {"name": "Another", "scope": "Global"}), 409, "Conflict")

    async def test_a_parent_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = gateway.instance("web")["metadata"]["uid"]
        answer = await gateway.post("/instances", {"name": "a", "scope": "ORCHESTRATION", "parent_id": uid})
        assert answer.json()["parent_id"] == "web"

    async def test_a_parent_that_the_watch_has_not_told_of(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.instance("web")
        answer = await gateway.post("/instances", {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"})
        assert answer.status_code == 201

    async def test_a_template_that_the_watch_has_not_told_of(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.template("shop")
        answer = await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "template": "shop"})
        assert answer.status_code == 201

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
    async def test_what_is_wrong_is_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        gateway.instance("fair", "Event")
        found = assert_problem(await gateway.post("/instances", body), 422, "ValidationError")
        assert field in [it["field"] for it in found["errors"]]
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
    async def test_what_is_no_proper_json(self, gateway: InMemoryGateway, content: bytes) -> None:
        answer = await gateway.client.post("/instances", content=content, headers={"Content-Type": "application/json"})
        assert_problem(answer, 422, "ValidationError")

    async def test_another_content_type(self, gateway: InMemoryGateway) -> None:
        body = json.dumps({"name": "a", "scope": "PROJECT"}).encode()
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/xml"}):
            answer = await gateway.client.post("/instances", content=body, headers=headers)
            (error,) = assert_problem(answer, 422, "ValidationError")["errors"]
            assert error["message"] == "requires the header Content-Type: application/json"
        for kind in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
            answer = await gateway.client.put("/instances/nobody", content=b"{}", headers={"Content-Type": kind})
            assert_problem(answer, 404, "NotFound")

    async def test_a_large_body(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(max_body_bytes=1000))
        body = {"name": "a", "scope": "PROJECT", "description": "x" * 1000}
        assert_problem(await gateway.post("/instances", body), 413, "PayloadTooLarge")

    async def test_a_body_that_does_not_come(self) -> None:
        gateway = InMemoryGateway(settings=settings_with(max_body_seconds=0.01))

        async def dribble() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        json_type = {"Content-Type": "application/json"}
        answer = await gateway.client.post("/instances", content=dribble(), headers=json_type)
        assert_problem(answer, 408, "RequestTimeout")

    async def test_a_secret_is_not_repeated(self, gateway: InMemoryGateway) -> None:
        long = "s3cret" * 10_000
        for env in ({"name": "T", "value": long, "secret": True}, {"name": "T", "value": "s3cret", "secret": "s3cret"}):
            body = {"name": "a", "scope": "PROJECT", "overrides": {"env": [env]}}
            answer = await gateway.post("/instances", body)
            assert_problem(answer, 422, "ValidationError")
            assert "s3cret" not in answer.text
        cause = Cause("spec.overrides.env[0]", 'Invalid value: "s3cret"', "FieldValueInvalid")
        gateway.store.error = RefusedError('422: Invalid value: "s3cret"', code=422, causes=[cause])
        answer = await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "overrides": SECRET})
        found = assert_problem(answer, 422, "ValidationError")
        assert found["errors"][0]["field"] == "body -> overrides -> env -> 0"
        assert "s3cret" not in answer.text

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
    async def test_a_refusal_names_the_field_of_the_body(self, gateway: InMemoryGateway, field: str, told: str) -> None:
        gateway.instance("web")
        gateway.store.error = RefusedError("422: no", code=422, causes=[Cause(field, "is wrong", "FieldValueInvalid")])
        for answer in (
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT"}),
            await gateway.put("/instances/web", {"description": "a"}),
        ):
            found = assert_problem(answer, 422, "ValidationError")
            assert (found["detail"], found["errors"][0]["field"]) == (f"body -> {told}: is wrong", f"body -> {told}")

    async def test_what_does_not_exist(self, gateway: InMemoryGateway) -> None:
        found = assert_problem(
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "template": "no"}), 400, "BadRequest"
        )
        assert found["detail"] == "template no does not exist in namespace default; create it first"
        body = {"name": "a", "scope": "PROJECT", "parent_id": "no"}
        assert (
            "no does not exist" in assert_problem(await gateway.post("/instances", body), 400, "BadRequest")["detail"]
        )

    async def test_a_name_that_is_taken(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        found = assert_problem(await gateway.post("/instances", {"name": "Web", "scope": "PROJECT"}), 409, "Conflict")
        assert "choose another id" in found["detail"]
        gateway.instance("mail", phase="Stopping", desiredState="Terminated")
        assert_problem(await gateway.post("/instances", {"name": "mail", "scope": "PROJECT"}), 409, "Conflict")

    async def test_a_name_that_is_taken_in_between(self, gateway: InMemoryGateway) -> None:
        gateway.store.listeners.clear()
        gateway.instance("web")
        assert_problem(await gateway.post("/instances", {"name": "web", "scope": "PROJECT"}), 409, "Conflict")

    async def test_a_terminated_one_is_replaced(self, gateway: InMemoryGateway) -> None:
        old = gateway.instance("web", phase="Terminated", desiredState="Terminated")["metadata"]["uid"]
        answer = await gateway.post("/instances", {"name": "web", "scope": "EVENT"})
        assert answer.status_code == 201
        assert answer.json()["uid"] != old
        assert (await gateway.get("/instances/web")).json()["scope"] == "EVENT"

    async def test_what_outlives_the_one_that_is_replaced(self, gateway: InMemoryGateway) -> None:
        """Volumes, and with them the children who have some, ended as they are."""
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

    async def test_no_room_left(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", config={"limits": {"maxChildInstances": 1}})
        first = {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"}
        assert (await gateway.post("/instances", first)).status_code == 201
        found = assert_problem(await gateway.post("/instances", first | {"name": "b"}), 409, "Conflict")
        assert "maxChildInstances" in found["detail"]

    async def test_below_one_that_is_over(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Terminated", desiredState="Terminated")
        body = {"name": "a", "scope": "ORCHESTRATION", "parent_id": "web"}
        assert "terminated" in assert_problem(await gateway.post("/instances", body), 400, "BadRequest")["detail"]

    async def test_the_api_server_is_away(self, gateway: InMemoryGateway) -> None:
        gateway.store.error = UnavailableError("connection refused")
        assert_problem(await gateway.post("/instances", {"name": "a", "scope": "PROJECT"}), 503, "ServiceUnavailable")


class TestUpdate:
    async def test_fields_left_out_stay(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", displayName="Web", description="old", config={"capabilities": ["a"], "extra": {"x": 1}})
        answer = await gateway.put("/instances/web", {"description": "new"})
        assert (answer.status_code, answer.json()["description"], answer.json()["name"]) == (200, "new", "Web")
        assert gateway.spec("web")["config"] == {"capabilities": ["a"], "extra": {"x": 1}}

    async def test_null_removes_and_an_object_replaces(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", displayName="Web", description="old", config={"capabilities": ["a"], "extra": {"x": 1}})
        body = {"name": None, "description": None, "config": {"extra": {"y": {"z": 2}}}, "runtime_metadata": {"pid": 1}}
        answer = await gateway.put("/instances/web", body)
        assert answer.status_code == 200, answer.text
        spec = gateway.spec("web")
        assert spec["config"] == {"extra": {"y": {"z": 2}}}
        assert "displayName" not in spec
        assert "description" not in spec
        assert answer.json()["runtime_metadata"] == {"pid": 1}
        assert (await gateway.put("/instances/web", {"runtime_metadata": None})).json()["runtime_metadata"] == {}

    async def test_everything_else(self, gateway: InMemoryGateway) -> None:
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
        answer = await gateway.put("/instances/web", body)
        assert answer.status_code == 200, answer.text
        assert "s3cret" not in answer.text
        spec = gateway.spec("web")
        assert (spec["type"], spec["parentRef"], spec["templateRef"]) == (
            "Singleton",
            {"name": "global"},
            {"name": "shop"},
        )
        assert spec["overrides"]["env"] == SECRET["env"]
        cleared = await gateway.put("/instances/web", {"parent_id": None, "template": None, "overrides": None})
        assert (cleared.json()["parent_id"], cleared.json()["template"], cleared.json()["overrides"]) == (
            None,
            None,
            {},
        )

    async def test_what_was_read_can_be_sent_back(self, gateway: InMemoryGateway) -> None:
        """The values of secrets are not answered, and not lost either."""
        gateway.template("shop")
        gateway.instance("web", templateRef={"name": "shop"}, overrides=SECRET, description="old")
        read = (await gateway.get("/instances/web")).json()
        assert "s3cret" not in json.dumps(read)
        body = {"description": "new", "overrides": read["overrides"], "config": read["config"]}
        assert (await gateway.put("/instances/web", body)).status_code == 200
        assert gateway.spec("web")["overrides"]["env"] == SECRET["env"]
        fresh = {"env": [{"name": "TOKEN", "value": "new", "secret": True}, {"name": "OTHER", "secret": True}]}
        assert (await gateway.put("/instances/web", {"overrides": fresh})).status_code == 200
        assert [it.get("value") for it in gateway.spec("web")["overrides"]["env"]] == ["new", None]

    @pytest.mark.parametrize(
        "parent", ["../../other/hopperinstances/a", "../hoppertemplates/shop", "..", ".", "web/status", "web?x=y", "W"]
    )
    async def test_below_what_is_no_name(self, gateway: InMemoryGateway, parent: str) -> None:
        """The gateway has rights that its callers lack: no path of theirs gets to the API server."""
        await self._given(gateway)
        gateway.store.error = UnavailableError("it was asked")
        wanted = [
            await gateway.post("/instances", {"name": "a", "scope": "PROJECT", "parent_id": parent}),
            await gateway.put("/instances/web", {"parent_id": parent}),
        ]
        for answer in wanted:
            assert assert_problem(answer, 400, "BadRequest")["detail"] == f"parent_id: instance {parent} does not exist"

    async def test_with_a_version(self, gateway: InMemoryGateway) -> None:
        tag = (await self._given(gateway)).headers["etag"]
        assert (await gateway.put("/instances/web", {"description": "a"}, headers={"If-Match": tag})).status_code == 200
        answer = await gateway.put("/instances/web", {"description": "b"}, headers={"If-Match": tag})
        assert "another client" in assert_problem(answer, 409, "Conflict")["detail"]
        stale = {"description": "b", "resource_version": tag.strip('"')}
        assert_problem(await gateway.put("/instances/web", stale), 409, "Conflict")
        assert (await gateway.put("/instances/web", {"description": "c"}, headers={"If-Match": "*"})).status_code == 200

    @pytest.mark.parametrize("version", ["k", "0", "1e3", "-1", "1, 2", "99999999999999999999"])
    async def test_with_what_is_no_version(self, gateway: InMemoryGateway, version: str) -> None:
        """The API server answers 500 to most of these, and takes 0 for any version at all."""
        await self._given(gateway)
        answer = await gateway.put("/instances/web", {"description": "a"}, headers={"If-Match": f'"{version}"'})
        (error,) = assert_problem(answer, 422, "ValidationError")["errors"]
        assert error["field"] == "header -> if-match"
        assert error["message"] == 'must be the ETag of a response, for example "1207", or *'
        answer = await gateway.put("/instances/web", {"description": "a", "resource_version": version})
        (error,) = assert_problem(answer, 422, "ValidationError")["errors"]
        assert error["field"] == "body -> resource_version"

    @staticmethod
    async def _given(gateway: InMemoryGateway) -> Any:
        gateway.instance("web")
        return await gateway.get("/instances/web")

    async def test_a_status_written_in_between_does_not_matter(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()  # the watch lags behind
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"], "status": {"phase": "Paused"}})
        assert (await gateway.put("/instances/web", {"description": "new"})).status_code == 200

    async def test_a_spec_written_in_between_does(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"] | {"description": "by kubectl"}})
        assert_problem(await gateway.put("/instances/web", {"description": "new"}), 409, "Conflict")
        assert gateway.spec("web")["description"] == "by kubectl"
        # What it was told in the meantime is known now.
        assert (await gateway.put("/instances/web", {"description": "new"})).status_code == 200

    async def test_gone_in_between(self, gateway: InMemoryGateway) -> None:
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
    async def test_what_is_wrong_is_named(self, gateway: InMemoryGateway, body: Any, field: str) -> None:
        gateway.instance("web")
        gateway.instance("worker", "Orchestration", "web")
        found = assert_problem(await gateway.put("/instances/web", body), 422, "ValidationError")
        assert field in [it["field"] for it in found["errors"]]

    @pytest.mark.parametrize("body", [{"template": "no"}, {"parent_id": "no"}])
    async def test_what_does_not_exist(self, gateway: InMemoryGateway, body: Any) -> None:
        gateway.instance("web")
        assert_problem(await gateway.put("/instances/web", body), 400, "BadRequest")
        assert_problem(await gateway.put("/instances/no", body), 404, "NotFound")

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_the_record_is_read_only(self, gateway: InMemoryGateway, state: str) -> None:
        gateway.instance("web", phase=state, desiredState=state)
        assert_problem(await gateway.put("/instances/web", {"description": "new"}), 400, "BadRequest")

    async def test_fifty_at_once_have_one_winner(self, gateway: InMemoryGateway) -> None:
        tag = (await self._given(gateway)).headers["etag"]
        answers = await asyncio.gather(
            *(gateway.put("/instances/web", {"description": str(n)}, headers={"If-Match": tag}) for n in range(50))
        )
        codes = [it.status_code for it in answers]
        assert (codes.count(200), codes.count(409)) == (1, 49)
        (winner,) = (it.json()["description"] for it in answers if it.status_code == 200)
        assert gateway.spec("web")["description"] == winner


class TestTerminate:
    async def test_is_soft(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        answer = await gateway.delete("/instances/web")
        assert (answer.status_code, answer.content) == (204, b"")
        assert gateway.spec("web")["desiredState"] == "Terminated"
        assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
        assert_problem(await gateway.delete("/instances/nobody"), 404, "NotFound")

    async def test_live_children_are_named(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("gone", "Orchestration", "web", "Terminated", desiredState="Terminated")
        for n in range(7):
            gateway.instance(f"w-{n}", "Orchestration", "web")
        found = assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
        assert "w-0, w-1, w-2, w-3, w-4 and 2 more" in found["detail"]
        assert gateway.spec("web")["desiredState"] == "Running"
        assert (await gateway.delete("/instances/web?cascade=true")).status_code == 204
        assert gateway.spec("web")["desiredState"] == "Terminated"

    async def test_terminated_children_do_not_matter(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("gone", "Orchestration", "web", "Terminated", desiredState="Terminated")
        assert (await gateway.delete("/instances/web")).status_code == 204

    async def test_protection_holds(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.instance("safe", "Orchestration", "web", deletionProtection=True)
        for path in ("/instances/safe", "/instances/web?cascade=true"):
            assert "safe" in assert_problem(await gateway.delete(path), 403, "Forbidden")["detail"]

    async def test_an_edit_in_between(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        gateway.store.error = ConflictError("409: modified", code=409)
        assert_problem(await gateway.delete("/instances/web"), 409, "Conflict")
