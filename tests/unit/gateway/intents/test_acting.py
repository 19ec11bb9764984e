"""The verbs of the lifecycle through HTTP: from every state the code of the contract, and waiting for what happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from hopper.api.enums import DesiredState, Phase
from hopper.api.resources import INSTANCES
from hopper.domain.actions import Action, check_action, goal_of
from hopper.gateway.auth import Caller, Open
from tests.unit.gateway.answers import is_problem
from tests.unit.gateway.world import World, limited

CODES = {"allowed": 200, "illegal": 400, "already": 409}


class Named(Open):
    """Knows who calls."""

    async def identify(self, headers: Any) -> Caller:
        return Caller("alice")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("action", Action)
async def test_every_action_from_every_state(world: World, action: Action, phase: Phase) -> None:
    for state in DesiredState:
        world.instance("web", phase=phase, desiredState=state.value)
        instance = world.context.index("default").get("web")
        assert instance
        ruling, goal = check_action(action, instance), goal_of(action, instance)
        answer = await world.post(f"/instances/web/{action}")
        assert answer.status_code == CODES[ruling.verdict]
        if answer.status_code == 200:
            found = answer.json()
            assert (found["instance_id"], found["action"], found["success"]) == ("web", action, True)
            assert (found["previous_status"], found["current_status"]) == (phase.lower(), phase.lower())
            assert world.spec("web")["desiredState"] == goal
        else:
            is_problem(answer, answer.status_code, "BadRequest" if answer.status_code == 400 else "Conflict")
            assert world.spec("web")["desiredState"] == state


@pytest.mark.parametrize("action", Action)
async def test_of_nobody(world: World, action: Action) -> None:
    is_problem(await world.post(f"/instances/nobody/{action}"), 404, "NotFound")
    is_problem(await world.post(f"/instances/nobody/{action}", {"force": "perhaps"}), 422, "ValidationError")
    is_problem(await world.get(f"/instances/nobody/{action}"), 405, "MethodNotAllowed")


class TestWhy:
    async def test_the_reason_is_kept(self, world: World) -> None:
        world.instance("web", reason="before")
        await world.post("/instances/web/pause", {"reason": "maintenance"})
        assert world.spec("web")["reason"] == "maintenance"
        await world.post("/instances/web/resume")
        assert "reason" not in world.spec("web")

    async def test_the_caller_is_named(self) -> None:
        world = World(Named(only_here=False))
        world.instance("web")
        await world.post("/instances/web/pause", {"reason": "maintenance"})
        assert world.spec("web")["reason"] == "maintenance (by alice)"
        await world.post("/instances/web/resume")
        assert world.spec("web")["reason"] == "by alice"
        await world.delete("/instances/web")
        assert world.spec("web")["reason"] == "by alice"
        created = await world.post("/instances", {"name": "mail", "scope": "PROJECT"})
        assert created.json()["created_by"] == "alice"
        assert world.spec("mail")["reason"] == "created by alice"


class TestForce:
    async def test_what_is_so_already(self, world: World) -> None:
        world.instance("web")
        assert (await world.post("/instances/web/start", {"force": True})).status_code == 200

    async def test_what_was_stopped(self, world: World) -> None:
        world.instance("web", phase="Stopped", desiredState="Stopped")
        assert (await world.post("/instances/web/pause", {"force": True})).status_code == 200
        assert world.spec("web")["desiredState"] == "Paused"

    async def test_what_somebody_edits(self, world: World) -> None:
        raw = world.instance("web")
        world.store.listeners.clear()
        world.store.put(INSTANCES, "default", "web", {"spec": raw["spec"] | {"description": "edited"}})
        is_problem(await world.post("/instances/web/stop"), 409, "Conflict")
        assert (await world.post("/instances/web/stop", {"force": True})).status_code == 200
        assert world.spec("web")["description"] == "edited"

    @pytest.mark.parametrize("state", ["Archived", "Terminated"])
    async def test_what_is_over_stays_so(self, world: World, state: str) -> None:
        world.instance("web", phase=state, desiredState=state)
        is_problem(await world.post("/instances/web/start", {"force": True}), 400, "BadRequest")


class TestRestart:
    async def test_each_asks_for_a_new_one(self, world: World) -> None:
        world.instance("web")
        times = []
        for _ in range(3):
            assert (await world.post("/instances/web/restart")).status_code == 200
            times.append(world.spec("web")["restartedAt"])
        assert times == sorted(set(times))
        assert world.spec("web")["desiredState"] == "Running"

    async def test_a_start_after_an_error_tries_again(self, world: World) -> None:
        world.instance("web", phase="Error")
        assert (await world.post("/instances/web/start")).status_code == 200
        assert world.spec("web")["restartedAt"]


class TestWait:
    async def ask(self, world: World, action: str, seconds: float = 10) -> asyncio.Task[Any]:
        """Ask, and return when the answer is waited for."""
        task = asyncio.create_task(world.post(f"/instances/web/{action}?wait=true&timeout={seconds}"))
        async with asyncio.timeout(5):
            while not len(world.context.waiting) and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        return task

    @staticmethod
    def become(world: World, phase: str, **status: Any) -> None:
        """Have the operator write a status."""
        raw = world.store.objects[INSTANCES.plural, "default", "web"]
        generation = raw["metadata"]["generation"]
        found = {"phase": phase, "observedGeneration": generation, **status}
        world.store.put(INSTANCES, "default", "web", {"spec": raw["spec"], "status": found})

    @pytest.mark.parametrize(
        ("action", "phase"), [("stop", "Stopped"), ("pause", "Paused"), ("archive", "Archived"), ("restart", "Running")]
    )
    async def test_until_it_has_happened(self, world: World, action: str, phase: str) -> None:
        world.instance("web")
        task = await self.ask(world, action)
        self.become(world, "Stopping")
        await asyncio.sleep(0)
        assert not task.done()
        self.become(world, phase, restartedAt=world.spec("web").get("restartedAt"))
        found = (await task).json()
        assert (found["success"], found["previous_status"], found["current_status"]) == (True, "running", phase.lower())
        assert len(world.context.waiting) == 0

    async def test_not_for_ever(self, world: World) -> None:
        world.instance("web")
        found = (await (await self.ask(world, "stop", 0.01))).json()
        assert (found["success"], found["current_status"]) == (False, "running")
        assert "after 0.01 s" in found["message"]
        assert world.spec("web")["desiredState"] == "Stopped"

    async def test_it_fails(self, world: World) -> None:
        world.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.ask(world, "start")
        ready = {"type": "Ready", "status": "False", "reason": "ImagePullBackOff", "message": "no such image"}
        self.become(world, "Error", conditions=[ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}])
        found = (await task).json()
        assert (found["success"], found["current_status"]) == (False, "error")
        assert "no such image" in found["message"]

    async def test_it_is_held_elsewhere(self, world: World) -> None:
        world.instance("web", phase="Stopped", desiredState="Stopped")
        task = await self.ask(world, "start")
        ready = {"type": "Ready", "status": "True", "reason": "InheritedFrom", "message": 'Paused by Project "up"'}
        condition = ready | {"lastTransitionTime": "2026-03-01T11:00:00Z"}
        self.become(world, "Paused", effectiveState="Paused", conditions=[condition])
        found = (await task).json()
        assert (found["success"], found["current_status"]) == (False, "paused")
        assert 'by Project "up"' in found["message"]

    async def test_not_too_many_wait(self) -> None:
        """Who waits holds a connection, for five minutes if they like."""
        world = World(settings=limited(max_waits=1))
        world.instance("web")
        world.instance("mail")
        first = await self.ask(world, "stop")
        refused = await world.post("/instances/mail/stop?wait=true")
        assert is_problem(refused, 429, "TooManyRequests")["detail"].startswith("there are 1 calls that wait already")
        assert refused.headers["retry-after"] == "5"
        assert world.spec("mail")["desiredState"] == "Running"
        self.become(world, "Stopped")
        assert (await first).json()["success"]
        assert (await world.post("/instances/mail/stop?wait=true&timeout=0")).status_code == 200

    async def test_it_is_deleted(self, world: World) -> None:
        world.instance("web")
        task = await self.ask(world, "stop")
        uid = world.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await world.store.delete(INSTANCES, "default", "web", uid=uid)
        found = (await task).json()
        assert (found["success"], "deleted" in found["message"]) == (False, True)

    async def test_who_goes_away_does_not_wait_any_more(self, world: World) -> None:
        """They would be counted among those who do for as long as they once wanted."""
        world.instance("web")
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
        task = asyncio.create_task(world.app(request, receive, send))
        while not len(world.context.waiting):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert world.context.waits.open == 1
        gone.set()
        await task
        assert (len(world.context.waiting), world.context.waits.open) == (0, 0)
        assert world.spec("web")["desiredState"] == "Stopped"

    async def test_the_gateway_ends(self, world: World) -> None:
        world.instance("web")
        task = await self.ask(world, "stop")
        world.context.stop()
        for answer in (await task, await world.post("/instances/web/start?wait=true")):
            assert (answer.status_code, answer.json()["success"]) == (200, False)
            assert answer.json()["message"] == "web is Running: this gateway is about to end, ask again"
        assert world.spec("web")["desiredState"] == "Running"

    async def test_a_terminated_one_is_replaced_when_it_is_gone(self, world: World) -> None:
        """A finalizer holds it for a moment."""
        world.instance("web", phase="Terminated", desiredState="Terminated")
        delete, held = world.store.delete, asyncio.Event()

        async def hold(*args: Any, **options: Any) -> None:
            held.set()

        world.store.delete = hold  # type: ignore[method-assign]
        task = asyncio.create_task(world.post("/instances", {"name": "web", "scope": "PROJECT"}))
        await held.wait()
        while not len(world.context.waiting):  # noqa: ASYNC110
            await asyncio.sleep(0)
        uid = world.store.objects[INSTANCES.plural, "default", "web"]["metadata"]["uid"]
        await delete(INSTANCES, "default", "web", uid=uid)
        assert (await task).status_code == 201


async def test_fifty_at_once_have_one_winner(world: World) -> None:
    for action, state in (("stop", "Stopped"), ("start", "Running"), ("pause", "Paused"), ("archive", "Archived")):
        answers = await asyncio.gather(*(world.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [it.status_code for it in answers]
        assert codes.count(404) == 50
        before = "Stopped" if action == "start" else "Running"
        world.instance("web", phase=before, desiredState=before)
        answers = await asyncio.gather(*(world.post(f"/instances/web/{action}") for _ in range(50)))
        codes = [it.status_code for it in answers]
        assert (codes.count(200), codes.count(409)) == (1, 49)
        assert world.spec("web")["desiredState"] == state
        world.store.objects.clear()
        registry = world.context.catalogue.instances
        for it in list(registry):
            registry.remove(it.namespace, it.name, it.metadata.uid)
