"""How much the operator writes for what runs, by the API server's own count (design: Shape of the code, budget)."""

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
CHILDREN = ("configmaps", "deployments", "secrets", "services")


def names(count: int = COUNT, prefix: str = "n") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def run(live: LiveInstances, workloads: Workloads, **spec: Any) -> None:
    """Have so many instances of four objects each running, and their template know of them."""
    await workloads.create_template(**STATELESS_SERVICE)
    await live.create_from(*(manifest(name, **WEB, **spec) for name in names()))
    await live.until_phase("Running", *names())
    await workloads.until_template_users(*names())


class TestOneInstance:
    async def test_costs_its_objects_and_two_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await workloads.until_template_users()
        requests = await RequestCounter.start(live)
        await live.create_from(*(manifest(name, **WEB) for name in names()))
        await live.until_phase("Running", *names())
        await workloads.until_template_users(*names())
        await requests.expect(*CHILDREN * COUNT, status=2 * COUNT, template_status=2)

    async def test_below_a_parent_one_more(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create_template(**STATELESS_SERVICE)
        await live.create("shop")
        await live.until_phase("Running", "shop")
        requests = await RequestCounter.start(live)
        await live.create_from(*(manifest(name, "Orchestration", "shop", **WEB) for name in names()))
        await live.until_phase("Running", *names())
        await workloads.until_template_users(*names())
        summary = {"total": COUNT, "ready": COUNT}
        await live.until(lambda: live.status("shop").get("children") == summary, "the parent counts them")
        found = await requests.counts()
        # The parent gets its finalizer once, and writes a summary a second at most.
        assert found[METADATA] == COUNT + 1
        assert found[STATUS] <= 2 * COUNT + 10
        assert {key: count for key, count in found.items() if key[0] == "APPLY"} == {
            ("APPLY", plural): COUNT for plural in CHILDREN
        }

    async def test_a_change_of_state_costs_one_object_and_two_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads)
        costs = (
            ("Paused", "services"),
            ("Running", "services"),
            ("Stopped", "deployments"),
            ("Running", "deployments"),
        )
        for state, plural in costs:
            requests = await RequestCounter.start(live)
            await live.edit_all(names(), desiredState=state)
            await live.until_phase(state, *names())
            await live.until(lambda: all(map(live.is_ready, names())), f"all are {state}")
            await requests.expect(*[plural] * COUNT, status=2 * COUNT, metadata=COUNT)  # the edits of this test

    async def test_a_new_template_costs_one_object_and_two_writes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads)
        requests = await RequestCounter.start(live)
        await workloads.edit_template(image="web:2")
        await live.until(
            lambda: all(live.status(it)["templateGeneration"] == 2 and live.is_ready(it) for it in names()), "all roll"
        )
        await live.until(lambda: workloads.template_status()["observedGeneration"] == 2, "the template is observed")
        found = await requests.counts()
        assert found.pop(("PATCH", "hoppertemplates")) == 1  # the edit of this test
        assert found.pop(TEMPLATE_STATUS) == 1
        assert found.pop(STATUS) <= 2 * COUNT
        assert found == {("APPLY", "deployments"): COUNT}

    async def test_terminated_costs_no_more(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads, type="Ephemeral")
        requests = await RequestCounter.start(live)
        await live.edit_all(names(), desiredState="Terminated")
        await live.until_phase("Terminated", *names())
        for name in names():
            await workloads.until_owned(name)
        await requests.expect(*["deployments"] * COUNT, status=2 * COUNT, metadata=COUNT)


async def test_thirty_at_rest(live: LiveInstances, workloads: Workloads) -> None:
    """Not one write while idle, resyncs included, nor after a restart: whatever state the instances are in."""
    states = {"Running": 16, "Paused": 4, "Stopped": 4, "Archived": 1, "Terminated": 1}
    held = {"crash": "RestartNever", "nowhere": "ServiceInvalid", "absent": "TemplateNotFound"}
    await workloads.create_template(**STATELESS_SERVICE)
    await workloads.create_template("crash", image="crash:1")
    await workloads.create_template("nowhere", domains=[{"domain": "web.example.com"}])
    everybody = [
        manifest(f"{state.lower()}-{number}", desiredState=state, **WEB)
        for state, count in states.items()
        for number in range(count)
    ]
    never = {"restartPolicy": {"policy": "Never"}}
    everybody += [manifest(name, templateRef={"name": name}, **never) for name in held]
    everybody.append(manifest("waits", templateRef={"name": "waits"}))
    await workloads.create_template("waits", dependsOn=["absent"])
    assert len(everybody) == 30
    async with running_operator(live.namespace, resync_seconds=5) as operator:
        await live.create_from(*everybody)
        for state, count in states.items():
            await live.until_phase(state, *(f"{state.lower()}-{number}" for number in range(count)))
        for name, reason in held.items():
            await live.until(lambda name=name, reason=reason: reason in str(live.status(name)), f"{name}: {reason}")
        await live.until_reason("waits", "Ready", "DependencyNotReady")
        users = (it["metadata"]["name"] for it in everybody if it["spec"]["templateRef"] == WEB["templateRef"])
        await workloads.until_template_users(*users)
        for name in ("crash", "nowhere", "waits"):
            await workloads.until_template_users(name, template=name)
        await live.until(lambda: not len(operator.queue) and not len(operator.events), "all is done")
        await _expect_rest(live, workloads, operator)
    async with running_operator(live.namespace) as operator:
        requests = await RequestCounter.start(live)
        await live.until(lambda: _looks(operator) >= 30 and not len(operator.queue), "everybody was looked at")
        assert await requests.counts() == {}
        assert _writes(operator) == 0


async def _expect_rest(live: LiveInstances, workloads: Workloads, operator: Operator) -> None:
    requests, own, looks = await RequestCounter.start(live), _writes(operator), _looks(operator)
    follows = [live.instances, live.events, *workloads.recorders.values()]
    seen = [len(follow.log) for follow in follows]
    with contextlib.suppress(AssertionError):
        await live.until(lambda: [len(follow.log) for follow in follows] != seen, "a write", seconds=IDLE_SECONDS)
    news = [
        (it.event_type, it.object["kind"], it.name)
        for n, follow in zip(seen, follows, strict=True)
        for it in follow.log[n:]
    ]
    assert news == []
    assert await requests.counts() == {}
    assert _writes(operator) == own
    assert _looks(operator) >= looks + 2 * 30, "the operator is awake"


def _writes(operator: Operator) -> float:
    """Return how many writes the operator has sent, of any kind."""
    numbers = PrometheusSamples(operator.metrics.render().decode(), "hopper_api_requests")
    return numbers.total("hopper_api_requests_total") - numbers.total("hopper_api_requests_total", verb="GET")


def _looks(operator: Operator) -> float:
    return PrometheusSamples(operator.metrics.render().decode(), "hopper_reconciles").total("hopper_reconciles_total")
