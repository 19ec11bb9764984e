"""Budget of writes for instances with workloads, counted by the API server."""

from __future__ import annotations

import contextlib
from typing import Any

from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.prometheus import PrometheusSamples
from tests.cluster.support.request_counter import METADATA, STATUS, TEMPLATE_STATUS, RequestCounter
from tests.cluster.support.workloads import STATELESS_SERVICE, Workloads

WEB = {"templateRef": {"name": "web"}}
COUNT = 8
IDLE_SECONDS = 20
OWNED_PLURALS = ("configmaps", "deployments", "secrets", "services")


def instance_names(count: int = COUNT, prefix: str = "n") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def create_running(live: LiveInstances, workloads: Workloads, **spec: Any) -> None:
    """Create instances with four owned objects each; wait until they run and the template counts its users."""
    await workloads.create_template(**STATELESS_SERVICE)
    await live.create_from(*(manifest(name, **WEB, **spec) for name in instance_names()))
    await live.until_phase("Running", *instance_names())
    await workloads.until_template_users(*instance_names())


class TestWritesPerInstance:
    async def test_a_start_costs_its_objects_and_two_status_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await workloads.until_template_users()
        requests = await RequestCounter.start(live)
        await live.create_from(*(manifest(name, **WEB) for name in instance_names()))
        await live.until_phase("Running", *instance_names())
        await workloads.until_template_users(*instance_names())
        await requests.expect(*OWNED_PLURALS * COUNT, status=2 * COUNT, template_status=2)

    async def test_a_start_below_a_parent_costs_one_more_metadata_write(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("shop")
        await live.until_phase("Running", "shop")
        requests = await RequestCounter.start(live)
        await live.create_from(*(manifest(name, "Orchestration", "shop", **WEB) for name in instance_names()))
        await live.until_phase("Running", *instance_names())
        await workloads.until_template_users(*instance_names())
        summary = {"total": COUNT, "ready": COUNT}
        await live.until(lambda: live.status("shop").get("children") == summary, "the parent counts its children")
        counts = await requests.counts()
        # The parent gets its finalizer once. Its child summary is written at most once a second.
        assert counts[METADATA] == COUNT + 1
        assert counts[STATUS] <= 2 * COUNT + 10
        assert {key: count for key, count in counts.items() if key[0] == "APPLY"} == {
            ("APPLY", plural): COUNT for plural in OWNED_PLURALS
        }

    async def test_a_state_change_costs_one_object_and_two_status_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads)
        costs = (
            ("Paused", "services"),
            ("Running", "services"),
            ("Stopped", "deployments"),
            ("Running", "deployments"),
        )
        for state, plural in costs:
            requests = await RequestCounter.start(live)
            await live.edit_all(instance_names(), desiredState=state)
            await live.until_phase(state, *instance_names())
            await live.until(lambda: all(map(live.is_ready, instance_names())), f"all instances are {state}")
            await requests.expect(*[plural] * COUNT, status=2 * COUNT, metadata=COUNT)  # the edits of this test

    async def test_a_template_change_costs_one_object_and_two_status_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads)
        requests = await RequestCounter.start(live)
        await workloads.edit_template(image="web:2")
        await live.until(
            lambda: all(
                live.status(name)["templateGeneration"] == 2 and live.is_ready(name) for name in instance_names()
            ),
            "all instances have rolled out",
        )
        await live.until(lambda: workloads.template_status()["observedGeneration"] == 2, "the template is observed")
        counts = await requests.counts()
        assert counts.pop(("PATCH", "hoppertemplates")) == 1  # the edit of this test
        assert counts.pop(TEMPLATE_STATUS) == 1
        assert counts.pop(STATUS) <= 2 * COUNT
        assert counts == {("APPLY", "deployments"): COUNT}

    async def test_a_termination_costs_one_object_and_two_status_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, type="Ephemeral")
        requests = await RequestCounter.start(live)
        await live.edit_all(instance_names(), desiredState="Terminated")
        await live.until_phase("Terminated", *instance_names())
        for name in instance_names():
            await workloads.until_owned(name)
        await requests.expect(*["deployments"] * COUNT, status=2 * COUNT, metadata=COUNT)


async def test_thirty_idle_instances_cost_no_write(live: LiveInstances, workloads: Workloads) -> None:
    """In every state, neither resyncs nor a restart of the operator cause a write."""
    states = {"Running": 16, "Paused": 4, "Stopped": 4, "Archived": 1, "Terminated": 1}
    blocked = {"crash": "RestartNever", "nowhere": "ServiceInvalid", "absent": "TemplateNotFound"}
    await workloads.create_template(**STATELESS_SERVICE)
    await workloads.create_template("crash", image="crash:1")
    await workloads.create_template("nowhere", domains=[{"domain": "web.example.com"}])
    manifests = [
        manifest(f"{state.lower()}-{number}", desiredState=state, **WEB)
        for state, count in states.items()
        for number in range(count)
    ]
    never = {"restartPolicy": {"policy": "Never"}}
    manifests += [manifest(name, templateRef={"name": name}, **never) for name in blocked]
    manifests.append(manifest("waits", templateRef={"name": "waits"}))
    await workloads.create_template("waits", dependsOn=["absent"])
    assert len(manifests) == 30
    async with running_operator(live.namespace, resync_seconds=5) as operator:
        await live.create_from(*manifests)
        for state, count in states.items():
            await live.until_phase(state, *(f"{state.lower()}-{number}" for number in range(count)))
        for name, reason in blocked.items():
            await live.until(lambda name=name, reason=reason: reason in str(live.status(name)), f"{name}: {reason}")
        await live.until_reason("waits", "Ready", "DependencyNotReady")
        users = (
            instance["metadata"]["name"]
            for instance in manifests
            if instance["spec"]["templateRef"] == WEB["templateRef"]
        )
        await workloads.until_template_users(*users)
        for name in ("crash", "nowhere", "waits"):
            await workloads.until_template_users(name, template=name)
        await live.until(lambda: not len(operator.queue) and not len(operator.events), "the queues are empty")
        await _assert_idle(live, workloads, operator)
    async with running_operator(live.namespace) as operator:
        requests = await RequestCounter.start(live)
        await live.until(
            lambda: _reconcile_count(operator) >= 30 and not len(operator.queue), "all instances are reconciled"
        )
        assert await requests.counts() == {}
        assert _write_count(operator) == 0


async def _assert_idle(live: LiveInstances, workloads: Workloads, operator: Operator) -> None:
    requests, writes_before, reconciles_before = (
        await RequestCounter.start(live),
        _write_count(operator),
        _reconcile_count(operator),
    )
    recorders = [live.instances, live.events, *workloads.recorders.values()]
    log_lengths = [len(recorder.log) for recorder in recorders]
    with contextlib.suppress(AssertionError):
        await live.until(
            lambda: [len(recorder.log) for recorder in recorders] != log_lengths, "a write", seconds=IDLE_SECONDS
        )
    new_events = [
        (event.event_type, event.object["kind"], event.name)
        for length, recorder in zip(log_lengths, recorders, strict=True)
        for event in recorder.log[length:]
    ]
    assert new_events == []
    assert await requests.counts() == {}
    assert _write_count(operator) == writes_before
    assert _reconcile_count(operator) >= reconciles_before + 2 * 30, "two resyncs have requeued all instances"


def _write_count(operator: Operator) -> float:
    """Return the number of writes of any kind that the operator has sent."""
    samples = PrometheusSamples(operator.metrics.render().decode(), "hopper_api_requests")
    return samples.total("hopper_api_requests_total") - samples.total("hopper_api_requests_total", verb="GET")


def _reconcile_count(operator: Operator) -> float:
    return PrometheusSamples(operator.metrics.render().decode(), "hopper_reconciles").total("hopper_reconciles_total")
