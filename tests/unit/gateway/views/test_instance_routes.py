"""Reading instances: details, lists, trees and conditional requests."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.resources import INSTANCES
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

AT = "2026-03-01T11:00:00Z"


@pytest.fixture
def gateway(gateway: InMemoryGateway) -> InMemoryGateway:
    """Two projects, one with two workers, and an event without a parent."""
    gateway.instance("global", "Global")
    gateway.instance("web", "Project", "global", displayName="Web shop", description="sells shoes")
    gateway.instance("mail", "Project", "global", "Stopped", desiredState="Stopped")
    gateway.instance("web-a", "Orchestration", "web")
    gateway.instance("web-b", "Orchestration", "web", "Paused", desiredState="Paused")
    gateway.instance("fair", "Event", phase=None)
    gateway.instance("elsewhere", namespace="other")
    return gateway


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    body = response.json()
    return [item["id"] for item in (body["items"] if isinstance(body, dict) else body)]


class TestDetail:
    async def test_by_id_and_by_uid(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/instances/web")).json()
        assert (body["id"], body["name"], body["scope"], body["status"]) == (
            "web",
            "Web shop",
            "PROJECT",
            "running",
        )
        assert (body["instance_type"], body["parent_id"]) == ("PERSISTENT", "global")
        assert body["description"] == "sells shoes"
        assert (body["desired_state"], body["created_at"]) == ("running", AT)
        assert (await gateway.get(f"/instances/{body['uid']}")).json() == body

    async def test_an_instance_without_a_status(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/instances/fair")).json()
        assert (body["status"], body["effective_state"], body["conditions"]) == ("created", None, [])
        assert (body["started_at"], body["stopped_at"], body["history"]) == (None, None, [])
        assert body["instance_type"] == "EPHEMERAL"

    async def test_status_is_returned_unchanged(self, gateway: InMemoryGateway) -> None:
        condition = {"type": "Ready", "status": "False", "reason": "BackOff", "message": "m", "lastTransitionTime": AT}
        step = {"from": "Running", "to": "Error", "time": AT, "reason": "CrashLoopBackOff", "message": "exit 1"}
        status = {"conditions": [condition], "history": [step], "startedAt": AT, "restarts": 3, "path": "global/bad"}
        gateway.instance(
            "bad", parent="global", phase="Error", status=status | {"depth": 1, "effectiveState": "Running"}
        )
        body = (await gateway.get("/instances/bad")).json()
        assert (body["status"], body["effective_state"], body["ready"]) == ("error", "running", False)
        assert body["conditions"][0]["last_transition_time"] == AT
        assert body["history"] == [{**step, "from": "running", "to": "error"}]
        assert (body["restarts"], body["path"], body["depth"], body["started_at"]) == (3, "global/bad", 1, AT)

    async def test_config_is_returned_as_in_the_spec(self, gateway: InMemoryGateway) -> None:
        config = {"limits": {"maxDepth": 3}, "capabilities": ["gpu"], "extra": {"Some_Key": [1, None]}}
        gateway.instance("web2", config=config)
        assert (await gateway.get("/instances/web2")).json()["config"] == config

    @pytest.mark.parametrize("text", ["[1]", "{", '"x"', "[" * 5000])
    async def test_an_invalid_annotation_is_ignored(self, gateway: InMemoryGateway, text: str) -> None:
        raw = gateway.instance("odd")
        metadata = {"annotations": {"hopper.dev/runtime-metadata": text, "hopper.dev/created-by": "bob"}}
        gateway.store.put(INSTANCES, "default", "odd", {"spec": raw["spec"], "metadata": metadata})
        body = (await gateway.get("/instances/odd")).json()
        assert (body["runtime_metadata"], body["created_by"]) == ({}, "bob")

    async def test_secrets_are_omitted(self, gateway: InMemoryGateway) -> None:
        env = [{"name": "TOKEN", "value": "s3cret", "secret": True}, {"name": "MODE", "value": "fast"}]
        gateway.template("shop")
        gateway.instance("web3", templateRef={"name": "shop"}, overrides={"env": env, "ports": [{"containerPort": 80}]})
        for path in ("/instances/web3", "/instances?name=web3", "/instances/web3/hierarchy", "/instances/active"):
            response = await gateway.get(path)
            assert response.status_code == 200
            assert "s3cret" not in response.text
        body = (await gateway.get("/instances/web3")).json()
        assert body["overrides"]["env"] == [{"name": "TOKEN", "secret": True}, {"name": "MODE", "value": "fast"}]
        assert body["override_count"] == 3

    async def test_the_global_instance(self, gateway: InMemoryGateway) -> None:
        assert (await gateway.get("/instances/global")).json()["scope"] == "GLOBAL"
        assert_problem(await gateway.get("/instances/global?namespace=other"), 404, "NotFound")

    async def test_an_instance_in_another_namespace(self, gateway: InMemoryGateway) -> None:
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
    async def test_filters_and_sorting(self, gateway: InMemoryGateway, query: str, expected: list[str]) -> None:
        result = ids(await gateway.get(f"/instances{query}"))
        assert result == expected

    async def test_the_parent_may_be_given_by_uid(self, gateway: InMemoryGateway) -> None:
        uid = (await gateway.get("/instances/web")).json()["uid"]
        assert ids(await gateway.get(f"/instances?parent_id={uid}")) == ["web-a", "web-b"]

    async def test_a_page_contains_its_position(self, gateway: InMemoryGateway) -> None:
        page = (await gateway.get("/instances?skip=2&limit=3")).json()
        assert (page["total"], page["skip"], page["limit"], page["has_more"]) == (6, 2, 3, True)
        page = (await gateway.get("/instances?skip=3&limit=3")).json()
        assert (page["total"], len(page["items"]), page["has_more"]) == (6, 3, False)

    async def test_pages_cover_the_whole_list(self, gateway: InMemoryGateway) -> None:
        for number in range(40):
            gateway.instance(f"p-{number}")
        for query in ("", "sort=-created_at&", "scope=project&"):
            whole = ids(await gateway.get(f"/instances?{query}limit=1000"))
            parts = [ids(await gateway.get(f"/instances?{query}skip={skip}&limit=7")) for skip in range(0, 49, 7)]
            assert [item for part in parts for item in part] == whole

    async def test_a_change_appears_at_once(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances?status=stopped")) == ["mail"]
        gateway.instance("web", "Project", "global", "Stopped")
        assert ids(await gateway.get("/instances?status=stopped")) == ["mail", "web"]

    async def test_active_instances(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances/active")) == ["global", "web", "web-a", "web-b"]
        assert ids(await gateway.get("/instances/active?limit=1&skip=1")) == ["web"]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "skip=-1", "sort=colour", "status=fine", "scope=", "skip=1e3"]
    )
    async def test_invalid_parameters_get_422(self, gateway: InMemoryGateway, query: str) -> None:
        assert_problem(await gateway.get(f"/instances?{query}"), 422, "ValidationError")


class TestTree:
    async def test_ancestors_and_descendants_are_sorted_by_distance(self, gateway: InMemoryGateway) -> None:
        assert ids(await gateway.get("/instances/global/children")) == ["mail", "web"]
        assert ids(await gateway.get("/instances/web-a/ancestors")) == ["web", "global"]
        below = ids(await gateway.get("/instances/global/descendants"))
        assert (set(below[:2]), set(below[2:])) == ({"mail", "web"}, {"web-a", "web-b"})
        assert ids(await gateway.get("/instances/fair/ancestors")) == []

    @pytest.mark.parametrize("path", ["hierarchy", "tree"])
    async def test_hierarchy(self, gateway: InMemoryGateway, path: str) -> None:
        body = (await gateway.get(f"/instances/global/{path}")).json()
        assert body["total_instances"] == 5
        root = body["root"]
        assert (root["instance"]["id"], root["depth"]) == ("global", 0)
        assert [(node["instance"]["id"], node["depth"]) for node in root["children"]] == [("mail", 1), ("web", 1)]
        assert [node["instance"]["id"] for node in root["children"][1]["children"]] == ["web-a", "web-b"]
        short = (await gateway.get(f"/instances/global/{path}?depth=1")).json()
        assert (short["total_instances"], short["root"]["children"][1]["children"]) == (3, [])

    async def test_a_project_with_its_orchestrations(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/instances/projects/web")).json()
        assert body["project"]["id"] == "web"
        assert [instance["id"] for instance in body["orchestrations"]] == ["web-a", "web-b"]
        assert body["total"] == 2
        assert_problem(await gateway.get("/instances/projects/web-a"), 404, "NotFound")

    async def test_tasks_are_empty(self, gateway: InMemoryGateway) -> None:
        body = (await gateway.get("/instances/web/tasks")).json()
        assert body == {"instance_id": "web", "instance_name": "Web shop", "tasks": [], "total": 0}

    async def test_a_cycle_ends(self, gateway: InMemoryGateway) -> None:
        gateway.instance("x", "Project", "y")
        gateway.instance("y", "Project", "x")
        body = (await gateway.get("/instances/x/hierarchy")).json()
        assert body["total_instances"] == 2
        assert ids(await gateway.get("/instances/x/ancestors")) == ["y"]

    async def test_a_chain_of_a_thousand_instances(self, gateway: InMemoryGateway) -> None:
        """Beyond the maximum depth, instances are invalid but can exist."""
        for number in range(300):
            gateway.instance(f"n-{number}", "Project", f"n-{number - 1}" if number else None)
        result = await gateway.get("/instances/n-0/hierarchy")
        assert result.status_code == 200
        assert result.text.count('"instance"') == 300


PATHS = ("", "/web", "/active", "/global", "/projects/web", "/web/children", "/web-a/ancestors", "/global/descendants")


class TestConditionalRequests:
    @pytest.mark.parametrize("path", [*PATHS, "/global/hierarchy", "/web/tree"])
    async def test_an_unchanged_response_gets_304(self, gateway: InMemoryGateway, path: str) -> None:
        first = await gateway.get(f"/instances{path}")
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await gateway.get(f"/instances{path}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = await gateway.get(f"/instances{path}", headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, first.content)

    @pytest.mark.parametrize("path", PATHS)
    async def test_a_changed_response_gets_200(self, gateway: InMemoryGateway, path: str) -> None:
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

    async def test_two_gateways_return_the_same_etag(self, gateway: InMemoryGateway) -> None:
        other = InMemoryGateway()
        for raw in gateway.store.objects.values():
            other.handle_watch_event("ADDED", raw)
        for path in PATHS:
            responses = [await replica.get(f"/instances{path}") for replica in (gateway, other)]
            assert responses[0].headers["etag"] == responses[1].headers["etag"]


@pytest.mark.parametrize("status", [None, "running", "stopped", "error"])
@pytest.mark.parametrize("scope", [None, "project", "orchestration", "family"])
@pytest.mark.parametrize("parent", [None, "web", "nobody"])
async def test_lists_match_the_search(
    gateway: InMemoryGateway, status: str | None, scope: str | None, parent: str | None
) -> None:
    """Lists read names from the facets, the search checks each instance."""
    given = {"status": status, "scope": scope, "parent_id": parent}
    query = "&".join(f"{key}={value}" for key, value in given.items() if value)
    assert ids(await gateway.get(f"/instances?{query}")) == ids(await gateway.get(f"/registry/discover?{query}"))
