"""Generated objects on their way from a list over index and plan to the answers of the gateway.

Whatever one object holds, it is reported on that object, and its neighbour is not affected.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings

from hopper.adapters.lists import ListReader
from hopper.api.conditions import ConditionType, Reason
from hopper.api.instance import dump_status, parse_instance
from hopper.domain.planner import plan
from hopper.watch import InstanceReader
from tests.unit.domain.sample_instances import observe
from tests.unit.gateway.in_memory_gateway import InMemoryGateway
from tests.unit.hostile_json import deep_text, hostile_texts, instance_text, list_text

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
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
