"""The verbs of the lifecycle through HTTP: from every state the code of the contract, and waiting for what happens."""

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


class Named(NoAuthentication):
    """Knows who calls."""

    async def identify(self, headers: Any) -> Caller:
        return Caller("alice")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("action", Action)
async def test_every_action_from_every_state(gateway: InMemoryGateway, action: Action, phase: Phase) -> None:
    for state in DesiredState:
        gateway.instance("web", phase=phase, desiredState=state.value)
        instance = gateway.context.index("default").get("web")
        assert instance
        ruling, goal = check_action(action, instance), goal_of(action, instance)
        answer = await gateway.post(f"/instances/web/{action}")
        assert answer.status_code == CODES[ruling.verdict]
        if answer.status_code == 200:
            found = answer.json()
            assert (found["instance_id"], found["action"], found["success"]) == ("web", action, True)
            assert (found["previous_status"], found["current_status"]) == (phase.lower(), phase.lower())
            assert gateway.spec("web")["desiredState"] == goal
        else:
            assert_problem(answer, answer.status_code, "BadRequest" if answer.status_code == 400 else "Conflict")
            assert gateway.spec("web")["desiredState"] == state


@pytest.mark.parametrize("action", Action)
async def test_of_nobody(gateway: InMemoryGateway, action: Action) -> None:
    assert_problem(await gateway.post(f"/instances/nobody/{action}"), 404, "NotFound")
    assert_problem(await gateway.post(f"/instances/nobody/{action}", {"force": "perhaps"}), 422, "ValidationError")
    assert_problem(await gateway.get(f"/instances/nobody/{action}"), 405, "MethodNotAllowed")


class TestWhy:
    async def test_the_reason_is_kept(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", reason="before")
        await gateway.post("/instances/web/pause", {"reason": "maintenance"})
        assert gateway.spec("web")["reason"] == "maintenance"
        await gateway.post("/instances/web/resume")
        assert "reason" not in gateway.spec("web")

    async def test_the_caller_is_named(self) -> None:
        gateway = InMemoryGateway(Named(only_local=False))
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
    async def test_what_is_so_already(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        assert (await gateway.post("/instances/web/start", {"force": True})).status_code == 200

    async def test_what_was_stopped(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        assert (await gateway.post("/instances/web/pause", {"force": True})).status_code == 200
        assert gateway.spec("web")["desiredState"] == "Paused"

    async def test_what_somebody_edits(self, gateway: InMemoryGateway) -> None:
        raw = gateway.instance("web")
        gateway.store.listeners.clear()
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"] | {"description": "edited"}})
        assert_problem(await gateway.post("/instances/web/stop"), 409, "Conflict")
        assert (await gateway.post("/instances/web/stop", {"force": True})).status_code == 200
        assert gateway.spec("web")["description"] == "edited"

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_what_is_over_stays_so(self, gateway: InMemoryGateway, state: str) -> None:
        gateway.instance("web", phase=state, desiredState=state)
        assert_problem(await gateway.post("/instances/web/start", {"force": True}), 400, "BadRequest")


class TestRestart:
    async def test_each_asks_for_a_new_one(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        times = []
        for _ in range(3):
            assert (await gateway.post("/instances/web/restart")).status_code == 200
            times.append(gateway.spec("web")["restartedAt"])
        assert times == sorted(set(times))
        assert gateway.spec("web")["desiredState"] == "Running"

    async def test_a_start_after_an_error_tries_again(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Error")
        assert (await gateway.post("/instances/web/start")).status_code == 200
        assert gateway.spec("web")["restartedAt"]


class TestWait:
    async def ask(self, gateway: InMemoryGateway, action: str, seconds: float = 10) -> asyncio.Task[Any]:
        """Ask, and return when the answer is waited for."""
        task = asyncio.create_task(gateway.post(f"/instances/web/{action}?wait=true&timeout={seconds}"))
        async with asyncio.timeout(5):
            while not len(gateway.context.waiters) and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        return task

    @staticmethod
    def become(gateway: InMemoryGateway, phase: str, **status: Any) -> None:
        """Have the operator write a status."""
        raw = gateway.store.objects[INSTANCES.plural, "default", "web"]
        generation = raw["metadata"]["generation"]
        found = {"phase": phase, "observedGeneration": generation, **status}
        gateway.store.put(INSTANCES, "default", "web", {"spec": raw["spec"], "status": found})

    @pytest.mark.parametrize(
        ("action", "phase"), [("stop", "Stopped"), ("pause", "Paused"), ("archive", "Archived"), ("restart", "Running")]
    )
    async def test_until_it_has_happened(self, gateway: InMemoryGateway, action: str, phase: str) -> None:
        gateway.instance("web")
        task = await self.ask(gateway, action)
        self.become(gateway, "Stopping")
        await asyncio.sleep(0)
        assert not task.done()
        self.become(gateway, phase, restartedAt=gateway.spec("web").get("restartedAt"))
        found = (await task).json()
        assert (found["success"], found["previous_status"], found["current_status"]) == (True, "running", phase.lower())
        assert len(gateway.context.waiters) == 0

    async def test_not_for_ever(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        found = (await (await self.ask(gateway, "stop", 0.01))).json()
        assert (found["success"], found["current_status"]) == (False, "running")
        assert "after 0.01 s" in found["message"]
        assert gateway.spec("web")["desiredState"] == "Stopped"

    async def test_it_fails(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.ask(gateway, "start")
        ready = {"type": "Ready", "status": "False", "reason": "ImagePullBackOff", "message": "no such image"}
        self.become(gateway, "Error", conditions=[ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}])
        found = (await task).json()
        assert (found["success"], found["current_status"]) == (False, "error")
        assert "no such image" in found["message"]

    async def test_it_is_held_elsewhere(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.ask(gateway, "start")
        ready = {"type": "Ready", "status": "True", "reason": "InheritedFrom", "message": 'Paused by Project "up"'}
        condition = ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}
        self.become(gateway, "Paused", effectiveState="Paused", conditions=[condition])
        found = (await task).json()
        assert (found["success"], found["current_status"]) == (False, "paused")
        assert 'by Project "up"' in found["message"]

    async def test_not_too_many_wait(self) -> None:
        """Who waits holds a connection, for five minutes if they like."""
        gateway = InMemoryGateway(settings=settings_with(max_waits=1))
        gateway.instance("web")
        gateway.instance("mail")
        first = await self.ask(gateway, "stop")
        refused = await gateway.post("/instances/mail/stop?wait=true")
        assert assert_problem(refused, 429, "TooManyRequests")["detail"].startswith(
            "the gateway already has 1 waiting requests"
        )
        assert refused.headers["retry-after"] == "5"
        assert gateway.spec("mail")["desiredState"] == "Running"
        self.become(gateway, "Stopped")
        assert (await first).json()["success"]
        assert (await gateway.post("/instances/mail/stop?wait=true&timeout=0")).status_code == 200

    async def test_it_is_deleted(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        task = await self.ask(gateway, "stop")
        uid = gateway.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await gateway.store.delete(INSTANCES, "default", "web", uid=uid)
        found = (await task).json()
        assert (found["success"], "deleted" in found["message"]) == (False, True)

    async def test_who_goes_away_does_not_wait_any_more(self, gateway: InMemoryGateway) -> None:
        """They would be counted among those who do for as long as they once wanted."""
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

        request = {"type": "http", "method": "POST", "path": "/api/v1/instances/web/stop", "headers": []}
        request |= {"query_string": b"wait=true&timeout=300", "client": None}
        task = asyncio.create_task(gateway.app(request, receive, send))
        while not len(gateway.context.waiters):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert gateway.context.wait_limit.open == 1
        gone.set()
        await task
        assert (len(gateway.context.waiters), gateway.context.wait_limit.open) == (0, 0)
        assert gateway.spec("web")["desiredState"] == "Stopped"

    async def test_the_gateway_ends(self, gateway: InMemoryGateway) -> None:
        gateway.instance("web")
        task = await self.ask(gateway, "stop")
        gateway.context.stop()
        for answer in (await task, await gateway.post("/instances/web/start?wait=true")):
            assert (answer.status_code, answer.json()["success"]) == (200, False)
            assert (
                answer.json()["message"]
                == "web is Running: the gateway is shutting down; repeat the request to wait further"
            )
        assert gateway.spec("web")["desiredState"] == "Running"

    async def test_a_terminated_one_is_replaced_when_it_is_gone(self, gateway: InMemoryGateway) -> None:
        """A finalizer holds it for a moment."""
        gateway.instance("web", phase="Terminated", desiredState="Terminated")
        delete, held = gateway.store.delete, asyncio.Event()

        async def hold(*args: Any, **options: Any) -> None:
            held.set()

        gateway.store.delete = hold  # type: ignore[method-assign]
        task = asyncio.create_task(gateway.post("/instances", {"name": "web", "scope": "PROJECT"}))
        await held.wait()
        while not len(gateway.context.waiters):  # noqa: ASYNC110
            await asyncio.sleep(0)
        uid = gateway.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await delete(INSTANCES, "default", "web", uid=uid)
        assert (await task).status_code == 201


async def test_fifty_at_once_have_one_winner(gateway: InMemoryGateway) -> None:
    for action, state in (("stop", "Stopped"), ("start", "Running"), ("pause", "Paused"), ("archive", "Archived")):
        answers = await asyncio.gather(*(gateway.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [it.status_code for it in answers]
        assert codes.count(404) == 50
        before = "Stopped" if action == "start" else "Running"
        gateway.instance("web", phase=before, desiredState=before)
        answers = await asyncio.gather(*(gateway.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [it.status_code for it in answers]
        assert (codes.count(200), codes.count(409)) == (1, 49)
        assert gateway.spec("web")["desiredState"] == state
        gateway.store.objects.clear()
        registry = gateway.context.catalogue.instances
        for it in list(registry):
            registry.remove(it.namespace, it.name, it.metadata.uid)
