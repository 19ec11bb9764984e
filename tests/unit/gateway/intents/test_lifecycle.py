"""Lifecycle actions over HTTP: the status code for every state, and waiting for the result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from hopper.api.enums import DesiredState, Phase
from hopper.api.resources import INSTANCES
from hopper.domain.actions import Action, check_action, goal_of
from hopper.gateway.auth import Caller, NoAuthentication
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

CODES = {"allowed": 200, "illegal": 400, "already": 409}


class NamedCallerAuthority(NoAuthentication):
    """An authority that accepts every request as one caller."""

    async def identify(self, headers: Any, address: str = "") -> Caller:
        return Caller("alice")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("action", Action)
async def test_every_action_from_every_state(gateway: InMemoryGateway, action: Action, phase: Phase) -> None:
    for state in DesiredState:
        gateway.instance("web", phase=phase, desiredState=state.value)
        instance = gateway.context.index("default").get("web")
        assert instance
        ruling, goal = check_action(action, instance), goal_of(action, instance)
        response = await gateway.post(f"/instances/web/{action}")
        assert response.status_code == CODES[ruling.verdict]
        if response.status_code == 200:
            body = response.json()
            assert (body["instance_id"], body["action"], body["success"]) == ("web", action, True)
            assert (body["previous_status"], body["current_status"]) == (phase.lower(), phase.lower())
            assert gateway.spec("web")["desiredState"] == goal
        else:
            assert_problem(response, response.status_code, "BadRequest" if response.status_code == 400 else "Conflict")
            assert gateway.spec("web")["desiredState"] == state


@pytest.mark.parametrize("action", Action)
async def test_an_action_on_a_missing_instance_gets_404(gateway: InMemoryGateway, action: Action) -> None:
    assert_problem(await gateway.post(f"/instances/nobody/{action}"), 404, "NotFound")
    assert_problem(await gateway.post(f"/instances/nobody/{action}", {"force": "perhaps"}), 422, "ValidationError")
    assert_problem(await gateway.get(f"/instances/nobody/{action}"), 405, "MethodNotAllowed")


class TestReason:
    async def test_the_reason_is_written_to_the_spec(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", reason="before")
        await gateway.post("/instances/web/pause", {"reason": "maintenance"})
        assert gateway.spec("web")["reason"] == "maintenance"
        await gateway.post("/instances/web/resume")
        assert "reason" not in gateway.spec("web")

    async def test_the_reason_contains_the_caller(self) -> None:
        gateway = InMemoryGateway(NamedCallerAuthority())
        gateway.instance("web")
        await gateway.post("/instances/web/pause", {"reason": "maintenance"})
        assert gateway.spec("web")["reason"] == "maintenance (by alice)"
        await gateway.post("/instances/web/resume")
        assert gateway.spec("web")["reason"] == "by alice"
        await gateway.delete("/instances/web")
        assert gateway.spec("web")["reason"] == "by alice"
        created = await gateway.post("/instances", {"name": "mail", "scope": "PROJECT"})
        assert created.json()["created_by"] == "alice"
        assert gateway.spec("mail")["reason"] == "created by alice"


class TestForce:
    async def test_force_repeats_an_action(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        assert (await gateway.post("/instances/web/start", {"force": True})).status_code == 200

    async def test_force_allows_actions_on_stopped_instances(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        assert (await gateway.post("/instances/web/pause", {"force": True})).status_code == 200
        assert gateway.spec("web")["desiredState"] == "Paused"

    async def test_force_ignores_concurrent_changes(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"] | {"description": "edited"}})
        assert_problem(await gateway.post("/instances/web/stop"), 409, "Conflict")
        assert (await gateway.post("/instances/web/stop", {"force": True})).status_code == 200
        assert gateway.spec("web")["description"] == "edited"

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_force_does_not_revive_finished_instances(self, gateway: InMemoryGateway, state: str) -> None:
        gateway.instance("web", phase=state, desiredState=state)
        assert_problem(await gateway.post("/instances/web/start", {"force": True}), 400, "BadRequest")


class TestRestart:
    async def test_each_restart_gets_a_new_time(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        times = []
        for _ in range(3):
            assert (await gateway.post("/instances/web/restart")).status_code == 200
            times.append(gateway.spec("web")["restartedAt"])
        assert times == sorted(set(times))
        assert gateway.spec("web")["desiredState"] == "Running"

    async def test_start_after_an_error_restarts(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Error")
        assert (await gateway.post("/instances/web/start")).status_code == 200
        assert gateway.spec("web")["restartedAt"]


class TestWait:
    async def request_and_wait(self, gateway: InMemoryGateway, action: str, seconds: float = 10) -> asyncio.Task[Any]:
        """Send a request with `wait`, and return it when the gateway waits."""
        task = asyncio.create_task(gateway.post(f"/instances/web/{action}?wait=true&timeout={seconds}"))
        async with asyncio.timeout(5):
            while not len(gateway.context.waiters) and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        return task

    @staticmethod
    def set_phase(gateway: InMemoryGateway, phase: str, **status: Any) -> None:
        """Write a status as the operator would."""
        raw = gateway.store.objects[INSTANCES.plural, "default", "web"]
        generation = raw["metadata"]["generation"]
        result = {"phase": phase, "observedGeneration": generation, **status}
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"], "status": result})

    @pytest.mark.parametrize(
        ("action", "phase"), [("stop", "Stopped"), ("pause", "Paused"), ("archive", "Archived"), ("restart", "Running")]
    )
    async def test_wait_until_the_phase_is_reached(self, gateway: InMemoryGateway, action: str, phase: str) -> None:
        gateway.instance("web")
        task = await self.request_and_wait(gateway, action)
        self.set_phase(gateway, "Stopping")
        await asyncio.sleep(0)
        assert not task.done()
        self.set_phase(gateway, phase, restartedAt=gateway.spec("web").get("restartedAt"))
        body = (await task).json()
        assert (body["success"], body["previous_status"], body["current_status"]) == (True, "running", phase.lower())
        assert len(gateway.context.waiters) == 0

    async def test_wait_ends_after_the_timeout(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        body = (await (await self.request_and_wait(gateway, "stop", 0.01))).json()
        assert (body["success"], body["current_status"]) == (False, "running")
        assert "after 0.01 s" in body["message"]
        assert gateway.spec("web")["desiredState"] == "Stopped"

    async def test_wait_ends_with_an_error(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.request_and_wait(gateway, "start")
        ready = {"type": "Ready", "status": "False", "reason": "ImagePullBackOff", "message": "no such image"}
        self.set_phase(gateway, "Error", conditions=[ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}])
        body = (await task).json()
        assert (body["success"], body["current_status"]) == (False, "error")
        assert "no such image" in body["message"]

    async def test_wait_ends_if_an_ancestor_holds_the_instance(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.request_and_wait(gateway, "start")
        ready = {"type": "Ready", "status": "True", "reason": "InheritedFrom", "message": 'Paused by Project "up"'}
        condition = ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}
        self.set_phase(gateway, "Paused", effectiveState="Paused", conditions=[condition])
        body = (await task).json()
        assert (body["success"], body["current_status"]) == (False, "paused")
        assert 'by Project "up"' in body["message"]

    async def test_the_number_of_waiting_requests_is_limited(self) -> None:
        """A waiting request holds a connection for up to five minutes."""
        gateway = InMemoryGateway(settings=settings_with(max_waits=1))
        gateway.instance("web")
        gateway.instance("mail")
        first = await self.request_and_wait(gateway, "stop")
        refused = await gateway.post("/instances/mail/stop?wait=true")
        assert assert_problem(refused, 429, "TooManyRequests")["detail"].startswith(
            "the gateway already has 1 waiting requests"
        )
        assert refused.headers["retry-after"] == "5"
        assert gateway.spec("mail")["desiredState"] == "Running"
        self.set_phase(gateway, "Stopped")
        assert (await first).json()["success"]
        assert (await gateway.post("/instances/mail/stop?wait=true&timeout=0")).status_code == 200

    async def test_wait_ends_with_the_deletion(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        task = await self.request_and_wait(gateway, "stop")
        uid = gateway.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await gateway.store.delete(INSTANCES, "default", "web", uid=uid)
        body = (await task).json()
        assert (body["success"], "deleted" in body["message"]) == (False, True)

    async def test_wait_ends_when_the_client_disconnects(self, gateway: InMemoryGateway) -> None:
        """Otherwise the request would count towards the limit until its timeout."""
        gateway.instance("web")
        gone, sent = asyncio.Event(), list[Message]()

        async def receive() -> Message:
            if not sent:
                sent.append({"type": "http.request", "body": b"", "more_body": False})
                return sent[0]
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            pass

        request = {"type": "http", "method": "POST", "scheme": "http", "path": "/api/v1/instances/web/stop"}
        request |= {"query_string": b"wait=true&timeout=300", "client": None, "headers": [(b"host", b"gateway")]}
        task = asyncio.create_task(gateway.app(request, receive, send))
        while not len(gateway.context.waiters):
            assert not task.done(), "answered without waiting"
            await asyncio.sleep(0)
        assert gateway.context.wait_limit.open == 1
        gone.set()
        await task
        assert (len(gateway.context.waiters), gateway.context.wait_limit.open) == (0, 0)
        assert gateway.spec("web")["desiredState"] == "Stopped"

    async def test_wait_ends_with_the_gateway(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        task = await self.request_and_wait(gateway, "stop")
        gateway.context.stop()
        for response in (await task, await gateway.post("/instances/web/start?wait=true")):
            assert (response.status_code, response.json()["success"]) == (200, False)
            assert (
                response.json()["message"]
                == "web is Running: the gateway is shutting down; repeat the request to wait further"
            )
        assert gateway.spec("web")["desiredState"] == "Running"

    async def test_a_terminated_instance_is_replaced_after_its_deletion(self, gateway: InMemoryGateway) -> None:
        """A finalizer delays the deletion."""
        gateway.instance("web", phase="Terminated", desiredState="Terminated")
        delete, held = gateway.store.delete, asyncio.Event()

        async def hold(*args: Any, **options: Any) -> None:
            held.set()

        gateway.store.delete = hold  # type: ignore[method-assign]
        task = asyncio.create_task(gateway.post("/instances", {"name": "web", "scope": "PROJECT"}))
        await held.wait()
        while not len(gateway.context.waiters):
            assert not task.done(), "answered without waiting"
            await asyncio.sleep(0)
        uid = gateway.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await delete(INSTANCES, "default", "web", uid=uid)
        assert (await task).status_code == 201


async def test_one_of_fifty_concurrent_actions_succeeds(gateway: InMemoryGateway) -> None:
    for action, state in (("stop", "Stopped"), ("start", "Running"), ("pause", "Paused"), ("archive", "Archived")):
        responses = await asyncio.gather(*(gateway.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [response.status_code for response in responses]
        assert codes.count(404) == 50
        before = "Stopped" if action == "start" else "Running"
        gateway.instance("web", phase=before, desiredState=before)
        responses = await asyncio.gather(*(gateway.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [response.status_code for response in responses]
        assert (codes.count(200), codes.count(409)) == (1, 49)
        assert gateway.spec("web")["desiredState"] == state
        gateway.store.objects.clear()
        registry = gateway.context.catalogue.instances
        for instance in list(registry):
            registry.remove(instance.namespace, instance.name, instance.metadata.uid)
