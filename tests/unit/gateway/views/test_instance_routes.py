"""Reading instances: one, lists with every parameter, the tree, and answers that have not changed."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.resources import INSTANCES
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

AT = "2026-03-01T11:00:00Z"


@pytest.fixture
def gateway(gateway: InMemoryGateway) -> InMemoryGateway:
    """Two projects, one with two workers, and an event of nobody's."""
    gateway.instance("global", "Global")
    gateway.instance("web", "Project", "global", displayName="Web shop", description="sells shoes")
    gateway.instance("mail", "Project", "global", "Stopped", desiredState="Stopped")
    gateway.instance("web-a", "Orchestration", "web")
    gateway.instance("web-b", "Orchestration", "web", "Paused", desiredState="Paused")
    gateway.instance("fair", "Event", phase=None)
    gateway.instance("elsewhere", namespace="other")
    return gateway


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [it["id"] for it in (body["items"] if isinstance(body, dict) else body)]


class TestOne:
    async def test_by_id_and_by_uid(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/instances/web")).json()
        assert (found["id"], found["name"], found["scope"], found["status"]) == (
            "web",
            "Web shop",
            "PROJECT",
            "running",
        )
        assert (found["instance_type"], found["parent_id"]) == ("PERSISTENT", "global")
        assert found["description"] == "sells shoes"
        assert (found["desired_state"], found["created_at"]) == ("running", AT)
        assert (await gateway.get(f"/instances/{found['uid']}")).json() == found

    async def test_without_a_status_yet(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/instances/fair")).json()
        assert (found["status"], found["effective_state"], found["conditions"]) == ("created", None, [])
        assert (found["started_at"], found["stopped_at"], found["history"]) == (None, None, [])
        assert found["instance_type"] == "EPHEMERAL"

    async def test_status_is_told_as_it_is(self, gateway: InMemoryGateway) -> None:
        condition = {"type": "Ready", "status": "False", "reason": "BackOff", "message": "m", "lastTransitionTime": AT}
        step = {"from": "Running", "to": "Error", "time": AT, "reason": "CrashLoopBackOff", "message": "exit 1"}
        status = {"conditions": [condition], "history": [step], "startedAt": AT, "restarts": 3, "path": "global/bad"}
        gateway.instance(
            "bad", parent="global", phase="Error", status=status | {"depth": 1, "effectiveState": "Running"}
        )
        found = (await gateway.get("/instances/bad")).json()
        assert (found["status"], found["effective_state"], found["ready"]) == ("error", "running", False)
        assert found["conditions"][0]["last_transition_time"] == AT
        assert found["history"] == [{**step, "from": "running", "to": "error"}]
        assert (found["restarts"], found["path"], found["depth"], found["started_at"]) == (3, "global/bad", 1, AT)

    async def test_configuration_is_as_in_the_spec(self, gateway: InMemoryGateway) -> None:
        config = {"limits": {"maxDepth": 3}, "capabilities": ["gpu"], "extra": {"Some_Key": [1, None]}}
        gateway.instance("web2", config=config)
        assert (await gateway.get("/instances/web2")).json()["config"] == config

    @pytest.mark.parametrize("text", ["[1]", "{", '"x"', "[" * 5000])
    async def test_a_broken_annotation_is_no_error(self, gateway: InMemoryGateway, text: str) -> None:
        raw = gateway.instance("odd")
        metadata = {"annotations": {"hopper.dev/runtime-metadata": text, "hopper.dev/created-by": "bob"}}
        gateway.store.put(INSTANCES, "default", "odd", {"spec": raw["spec"], "metadata": metadata})
        found = (await gateway.get("/instances/odd")).json()
        assert (found["runtime_metadata"], found["created_by"]) == ({}, "bob")

    async def test_secrets_are_not_answered(self, gateway: InMemoryGateway) -> None:
        env = [{"name": "TOKEN", "value": "s3cret", "secret": True}, {"name": "MODE", "value": "fast"}]
        gateway.template("shop")
        gateway.instance("web3", templateRef={"name": "shop"}, overrides={"env": env, "ports": [{"containerPort": 80}]})
        for path in ("/instances/web3", "/instances?name=web3", "/instances/web3/hierarchy", "/instances/active"):
            answer = await gateway.get(path)
            assert answer.status_code == 200
            assert "s3cret" not in answer.text
        found = (await gateway.get("/instances/web3")).json()
        assert found["overrides"]["env"] == [{"name": "TOKEN", "secret": True}, {"name": "MODE", "value": "fast"}]
        assert found["override_count"] == 3

    async def test_the_global_one(self, gateway: InMemoryGateway) -> None:
        assert (await gateway.get("/instances/global")).json()["scope"] == "GLOBAL"
        assert_problem(await gateway.get("/instances/global?namespace=other"), 404, "NotFound")

    async def test_another_namespace(self, gateway: InMemoryGateway) -> None:
        assert_problem(await gateway.get("/instances/elsewhere"), 404, "NotFound")
        assert (await gateway.get("/instances/elsewhere?namespace=other")).json()["namespace"] == "other"


_EVERYBODY = ["fair", "global", "mail", "web", "web-a", "web-b"]


class TestLists:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", _EVERYBODY),
            ("?scope=PROJECT", ["mail", "web"]),
            ("?scope=project&status=RUNNING", ["web"]),
            ("?status=paused", ["web-b"]),
            ("?type=ephemeral", ["fair"]),
            ("?parent_id=web", ["web-a", "web-b"]),
            ("?parent_id=nobody", []),
            ("?name=web*", ["web", "web-a", "web-b"]),
            ("?name=web%20SHOP", ["web"]),
            ("?name=web", ["web"]),
            ("?sort=-id", _EVERYBODY[::-1]),
            ("?sort=name", ["web", "fair", "global", "mail", "web-a", "web-b"]),  # capitals come first
            ("?sort=status&scope=orchestration", ["web-b", "web-a"]),
            ("?skip=1&limit=2", ["global", "mail"]),
            ("?skip=100", []),
        ],
    )
    async def test_parameters(self, gateway: InMemoryGateway, query: str, expected: list[str]) -> None:
        found = ids(await gateway.get(f"/instances{query}"))
        assert found == expected

    async def test_a_parent_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = (await gateway.get("/instances/web")).json()["uid"]
        assert ids(await gateway.get(f"/instances?parent_id={uid}")) == ["web-a", "web-b"]

    async def test_a_page_says_where_it_is(self, gateway: InMemoryGateway) -> None:
        page = (await gateway.get("/instances?skip=2&limit=3")).json()
        assert (page["total"], page["skip"], page["limit"], page["has_more"]) == (6, 2, 3, True)
        page = (await gateway.get("/instances?skip=3&limit=3")).json()
        assert (page["total"], len(page["items"]), page["has_more"]) == (6, 3, False)

    async def test_pages_together_are_everything(self, gateway: InMemoryGateway) -> None:
        for number in range(40):
            gateway.instance(f"p-{number}")
        for query in ("", "sort=-created_at&", "scope=project&"):
            whole = ids(await gateway.get(f"/instances?{query}limit=1000"))
            parts = [ids(await gateway.get(f"/instances?{query}skip={skip}&limit=7")) for skip in range(0, 49, 7)]
            assert [it for part in parts for it in part] == whole

    async def test_what_changes_is_seen_at_once(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances?status=stopped")) == ["mail"]
        gateway.instance("web", "Project", "global", "Stopped")
        assert ids(await gateway.get("/instances?status=stopped")) == ["mail", "web"]

    async def test_active(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances/active")) == ["global", "web", "web-a", "web-b"]
        assert ids(await gateway.get("/instances/active?limit=1&skip=1")) == ["web"]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "skip=-1", "sort=colour", "status=fine", "scope=", "skip=1e3"]
    )
    async def test_bad_parameters(self, gateway: InMemoryGateway, query: str) -> None:
        assert_problem(await gateway.get(f"/instances?{query}"), 422, "ValidationError")


class TestTree:
    async def test_nearest_first(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances/global/children")) == ["mail", "web"]
        assert ids(await gateway.get("/instances/web-a/ancestors")) == ["web", "global"]
        below = ids(await gateway.get("/instances/global/descendants"))
        assert (set(below[:2]), set(below[2:])) == ({"mail", "web"}, {"web-a", "web-b"})
        assert ids(await gateway.get("/instances/fair/ancestors")) == []

    @pytest.mark.parametrize("path", ["hierarchy", "tree"])
    async def test_hierarchy(self, gateway: InMemoryGateway, path: str) -> None:
        found = (await gateway.get(f"/instances/global/{path}")).json()
        assert found["total_instances"] == 5
        root = found["root"]
        assert (root["instance"]["id"], root["depth"]) == ("global", 0)
        assert [(it["instance"]["id"], it["depth"]) for it in root["children"]] == [("mail", 1), ("web", 1)]
        assert [it["instance"]["id"] for it in root["children"][1]["children"]] == ["web-a", "web-b"]
        short = (await gateway.get(f"/instances/global/{path}?depth=1")).json()
        assert (short["total_instances"], short["root"]["children"][1]["children"]) == (3, [])

    async def test_a_project(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/instances/projects/web")).json()
        assert found["project"]["id"] == "web"
        assert [it["id"] for it in found["orchestrations"]] == ["web-a", "web-b"]
        assert found["total"] == 2
        assert_problem(await gateway.get("/instances/projects/web-a"), 404, "NotFound")

    async def test_no_tasks(self, gateway: InMemoryGateway) -> None:
        found = (await gateway.get("/instances/web/tasks")).json()
        assert found == {"instance_id": "web", "instance_name": "Web shop", "tasks": [], "total": 0}

    async def test_a_circle_does_no_harm(self, gateway: InMemoryGateway) -> None:
        gateway.instance("x", "Project", "y")
        gateway.instance("y", "Project", "x")
        found = (await gateway.get("/instances/x/hierarchy")).json()
        assert found["total_instances"] == 2
        assert ids(await gateway.get("/instances/x/ancestors")) == ["y"]

    async def test_a_long_chain(self, gateway: InMemoryGateway) -> None:
        """No place in it is valid, but it can be written."""
        for number in range(300):
            gateway.instance(f"n-{number}", "Project", f"n-{number - 1}" if number else None)
        found = await gateway.get("/instances/n-0/hierarchy")
        assert found.status_code == 200
        assert found.text.count('"instance"') == 300


PATHS = ("", "/web", "/active", "/global", "/projects/web", "/web/children", "/web-a/ancestors", "/global/descendants")


class TestUnchanged:
    @pytest.mark.parametrize("path", [*PATHS, "/global/hierarchy", "/web/tree"])
    async def test_is_not_sent_again(self, gateway: InMemoryGateway, path: str) -> None:
        first = await gateway.get(f"/instances{path}")
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await gateway.get(f"/instances{path}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = await gateway.get(f"/instances{path}", headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, first.content)

    @pytest.mark.parametrize("path", PATHS)
    async def test_is_sent_after_a_change(self, gateway: InMemoryGateway, path: str) -> None:
        tag = (await gateway.get(f"/instances{path}")).headers["etag"]
        for name, scope, parent in (
            ("web", "Project", "global"),
            ("web-a", "Orchestration", "web"),
            ("global", "Global", None),
        ):
            gateway.instance(name, scope, parent, description="changed")
        again = await gateway.get(f"/instances{path}", headers={"If-None-Match": tag})
        assert again.status_code == 200
        assert again.headers["etag"] != tag

    async def test_two_gateways_agree(self, gateway: InMemoryGateway) -> None:
        other = InMemoryGateway()
        for raw in gateway.store.objects.values():
            other.handle_watch_event("ADDED", raw)
        for path in PATHS:
            answers = [await it.get(f"/instances{path}") for it in (gateway, other)]
            assert answers[0].headers["etag"] == answers[1].headers["etag"]


@pytest.mark.parametrize("status", [None, "running", "stopped", "error"])
@pytest.mark.parametrize("scope", [None, "project", "orchestration", "family"])
@pytest.mark.parametrize("parent", [None, "web", "nobody"])
async def test_lists_agree_with_discovery(
    gateway: InMemoryGateway, status: str | None, scope: str | None, parent: str | None
) -> None:
    """One takes the names from the indexes, the other looks at each instance."""
    given = {"status": status, "scope": scope, "parent_id": parent}
    query = "&".join(f"{key}={value}" for key, value in given.items() if value)
    assert ids(await gateway.get(f"/instances?{query}")) == ids(await gateway.get(f"/registry/discover?{query}"))
