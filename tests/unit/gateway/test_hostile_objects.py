"""Generated objects on their way from a list over index and plan to the answers of the gateway.

Whatever one object holds, it is reported on that object, and its neighbour is not affected.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hopper.adapters.lists import ListReader
from hopper.api.bounded_json import decode_json
from hopper.api.conditions import ConditionType, Reason
from hopper.api.heartbeat import shard_of
from hopper.api.instance import dump_status, parse_instance
from hopper.api.names import ANNOTATION_RUNTIME_METADATA, LABEL_INSTANCE
from hopper.api.resources import INSTANCES
from hopper.domain.heartbeat import heartbeat_condition
from hopper.domain.planner import plan
from hopper.registry import OwnedObjectIndex
from hopper.watch import InstanceReader
from tests.unit.domain.sample_instances import observe
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway
from tests.unit.hostile_json import deep_text, hostile_texts, instance_text, list_text
from tests.unit.registry.sample_heartbeats import names_in_same_shard, shard_configmap

PATHS = (
    *("/instances", "/instances/hostile", "/instances/hostile/tree", "/instances/hostile/status"),
    *("/registry/topology", "/registry/instances", "/registry/discover?capability=gpu", "/registry/health"),
)


def read_list(text: bytes, size: int) -> list[dict[str, Any]]:
    reader = ListReader()
    items = [item for start in range(0, len(text), size) for item in reader.feed(text[start : start + size])]
    assert reader.resource_version() == "42"
    return items


@given(extra=hostile_texts(), elsewhere=hostile_texts())
@example(extra=deep_text(1200), elsewhere=deep_text(9000))
@example(extra=deep_text(64), elsewhere="{}")
@settings(max_examples=40, deadline=None)
async def test_from_list_to_answers(extra: str, elsewhere: str) -> None:
    texts = instance_text("hostile", extra, elsewhere=elsewhere), instance_text("healthy", '{"a":1}', version=2)
    items = read_list(list_text(*texts), 2**17)
    gateway = InMemoryGateway()
    reader = gateway.context.reader
    for item in items:
        instance = reader.read(item)
        assert instance is not None
        gateway.context.store(item)
        _plan_is_written(reader, instance)
    for path in PATHS:
        response = await gateway.get(path)
        assert response.status_code == 200, (path, response.text[:300])
        json.loads(response.content)
    healthy = (await gateway.get("/instances/healthy")).json()
    assert healthy["config"] == {"extra": {"a": 1}, "capabilities": ["gpu"]}
    hostile = (await gateway.get("/instances/hostile")).json()
    assert hostile["config"]["capabilities"] == ["gpu"]
    gateway.release_app()


def _plan_is_written(reader: InstanceReader, instance: Any) -> None:
    """Check that a problem of the spec is reported, and that the status can be stored."""
    problems = reader.problems(instance)
    decided = plan(observe(instance, spec_problems=problems))
    assert decided.status is not None
    json.dumps(dump_status(decided.status))
    if problems:
        assert instance.name == "hostile"
        stalled = decided.status.condition(ConditionType.STALLED)
        assert stalled is not None
        assert stalled.reason == Reason.SPEC_INVALID
        assert stalled.message.startswith("spec.config.extra: ")
    else:
        assert parse_instance({"metadata": instance.metadata, "spec": instance.spec}).spec == instance.spec


MOMENTS = st.sampled_from(
    [
        *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        *("2026-03-01T11:59:59Z", "2026-03-01", "-1", "1e400", "", 1e18, -1e18, 0, None, [], {}),
    ]
)


@st.composite
def heartbeat_entries(draw: st.DrawFn) -> str:
    """Return an entry of a heartbeat shard as every client with rights on ConfigMaps can write it."""
    if draw(st.booleans()):
        return draw(hostile_texts())
    fields = ("uid", "at", "since", "seen", "activeTasks", "active_tasks", "response_time_ms", "error_rate", "status")
    return json.dumps({field: draw(MOMENTS | st.just("uid-web")) for field in fields})


@given(entries=st.lists(heartbeat_entries(), min_size=3, max_size=3))
@example(entries=[json.dumps({"uid": "uid-web", "at": "0001-01-01T00:00:00+23:59"})] * 3)
@settings(max_examples=60, deadline=None)
async def test_heartbeat_entries(entries: list[str]) -> None:
    gateway, names = InMemoryGateway(), names_in_same_shard(2)
    for name in names:
        gateway.instance(name, heartbeat={"timeoutSeconds": 10})
    heartbeats = gateway.context.catalogue.heartbeats
    configmap = shard_configmap(7, shard=shard_of("web"))
    configmap["data"] = {**dict(zip(names, entries, strict=False)), "_gateway.a": entries[2]}
    change = heartbeats.put(decode_json(json.dumps(configmap)))
    assert change is not None
    gateway.context.catalogue.on_heartbeats(change)
    for member in gateway.context.index("default"):
        heartbeat_condition(member, heartbeats.record(member))
    for path in ("/registry/instances", "/registry/health", "/instances/web/status", "/registry/topology"):
        response = await gateway.get(path)
        assert response.status_code == 200, (path, response.text[:300])
        json.loads(response.content)
    gateway.release_app()


@given(text=hostile_texts(), name=st.sampled_from(["Pod", "ConfigMap", "Deployment", "Ingress"]))
@settings(max_examples=30, deadline=None)
def test_owned_objects(text: str, name: str) -> None:
    index = OwnedObjectIndex()
    for version in (1, 2):
        manifest = decode_json(instance_text("web", text, version=version, elsewhere=text))
        manifest["metadata"]["labels"] = {LABEL_INSTANCE: "web"}
        manifest["status"] = {"unknown": manifest["unknown"]}
        changed = index.put(name, manifest)
        assert changed == "web" if version == 1 else changed in ("web", None)
    json.dumps(list(index.of("default", "web").values()))


@pytest.mark.parametrize(
    "annotation",
    [deep_text(900), deep_text(9000), deep_text(65), '{"a":"\\ud800"}', '{"a":1e400}', '{"a":' + "9" * 5000 + "}"],
)
async def test_runtime_metadata(gateway: InMemoryGateway, annotation: str) -> None:
    body = gateway.instance("web")
    body["metadata"]["annotations"] = {ANNOTATION_RUNTIME_METADATA: annotation}
    gateway.store.put(INSTANCES, "default", "web", body)
    for path in ("/instances", "/instances/web"):
        response = await gateway.get(path)
        assert response.status_code == 200
        json.loads(response.content)


@pytest.mark.parametrize("value", ["1e400", "9" * 5000, "NaN", "Infinity", '"\\ud800"', deep_text(31), deep_text(900)])
@pytest.mark.parametrize("field", ["config.extra", "runtime_metadata"])
async def test_request_bodies(gateway: InMemoryGateway, field: str, value: str) -> None:
    inner = f'{{"a":{value}}}'
    body = f'"config":{{"extra":{inner}}}' if field == "config.extra" else f'"runtime_metadata":{inner}'
    headers = {"Content-Type": "application/json"}
    response = await gateway.client.post(
        "/instances", content=f'{{"name":"web","scope":"PROJECT",{body}}}', headers=headers
    )
    assert_problem(response, 422, "ValidationError")


class TestWritesToAnUnreadableField:
    """The index holds only a part of the spec. A write must not lose the rest."""

    @pytest.fixture
    def deep(self, gateway: InMemoryGateway) -> dict[str, Any]:
        """A stack instance whose `config.extra` the index does not hold."""
        gateway.instance("shop")
        gateway.template("web")
        extra = decode_json(deep_text(70))
        return gateway.instance(
            "shop-a",
            "Orchestration",
            "shop",
            templateRef={"name": "web"},
            config={"extra": extra, "capabilities": ["x"]},
        )

    @pytest.mark.parametrize("config", [None, {}, {"extra": {"a": 1}}, {"capabilities": ["y"]}], ids=str)
    async def test_a_change_of_the_field_is_refused(
        self, gateway: InMemoryGateway, deep: dict[str, Any], config: Any
    ) -> None:
        problem = assert_problem(await gateway.put("/instances/shop-a", {"config": config}), 409, "Conflict")
        assert "spec.config.extra: nested more than 64 levels deep" in problem["detail"]
        assert gateway.spec("shop-a") == deep["spec"]

    async def test_other_fields_change(self, gateway: InMemoryGateway, deep: dict[str, Any]) -> None:
        for path, body in (("/instances/shop-a", {"description": "x"}), ("/instances/shop-a", {"parent_id": None})):
            response = await gateway.put(path, body)
            assert response.status_code in (200, 422), response.text
        assert (await gateway.post("/instances/shop-a/stop", {})).status_code == 200
        assert gateway.spec("shop-a")["config"] == deep["spec"]["config"]

    @pytest.mark.parametrize(("verb", "body"), [("duplicate", {}), ("rename", {"instance_id": "b"})])
    async def test_a_copy_that_would_be_incomplete_is_refused(
        self, gateway: InMemoryGateway, deep: dict[str, Any], verb: str, body: Any
    ) -> None:
        send = gateway.put if verb == "rename" else gateway.post
        response = await send(f"/stacks/shop/instances/shop-a/{verb}", body)
        problem = assert_problem(response, 409, "Conflict")
        assert "spec.config.extra" in problem["detail"]

    async def test_unreadable_overrides_are_not_replaced(self, gateway: InMemoryGateway, deep: dict[str, Any]) -> None:
        spec = deep["spec"] | {
            "config": None,
            "overrides": {"env": [{"name": "A", "value": "x" * 40_000}, {"name": 7}]},
        }
        gateway.store.put(INSTANCES, "default", "shop-a", {"spec": spec})
        response = await gateway.put("/stacks/shop/instances/shop-a/env-vars", [{"name": "B", "value": "b"}])
        problem = assert_problem(response, 409, "Conflict")
        assert "spec.overrides" in problem["detail"]
        assert gateway.spec("shop-a")["overrides"] == spec["overrides"]

    async def test_a_field_that_became_unreadable_meanwhile_is_not_changed(self, gateway: InMemoryGateway) -> None:
        """The gateway's index is behind, and the write is repeated with the newest version."""
        stored = gateway.instance("web", config={"capabilities": ["x"]})
        gateway.store.listeners.clear()
        stored["spec"]["config"] = {"extra": decode_json(deep_text(70))}
        gateway.store.put(INSTANCES, "default", "web", {"spec": stored["spec"]})
        assert_problem(await gateway.put("/instances/web", {"config": {"capabilities": ["y"]}}), 409, "Conflict")
        assert gateway.spec("web") == stored["spec"]
