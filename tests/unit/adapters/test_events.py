"""Kubernetes Events: counted together, dropped rather than piled up, and never in the way. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hopper.adapters import events
from hopper.adapters.events import KubeEventRecorder
from hopper.ports import UnavailableError
from tests.unit.domain.sample_instances import instance

pytestmark = pytest.mark.looptime

WEB = instance("web")


class Sent:
    """Stands where the connection stands; a request takes `seconds`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.seconds = 0.0
        self.error: Exception | None = None

    async def request(self, method: str, path: str, *, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (method, resource) == ("POST", "events")
        assert path == f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
        self.bodies.append(body)
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return {}


class Scene:
    def __init__(self) -> None:
        self.sent = Sent()
        self.quiet = 3600.0
        self.dropped = 0
        self.lane = KubeEventRecorder(
            self.sent,  # type: ignore[arg-type]
            reporter="pod-1",
            quiet_seconds=lambda: self.quiet,
            on_drop=self._drop,
        )

    def _drop(self) -> None:
        self.dropped += 1

    def announce(self, count: int = 1, message: str = "Created → Starting", **said: Any) -> None:
        for _ in range(count):
            self.lane.record(WEB, reason="Starting", message=message, **said)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.lane.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_is_sent(scene: Scene) -> None:
    scene.announce()
    async with scene.running():
        await asyncio.sleep(1)
    (body,) = scene.sent.bodies
    assert body["metadata"]["name"].startswith("web.")
    assert (body["reason"], body["note"], body["type"]) == ("Starting", "Created → Starting", "Normal")
    assert (body["reportingController"], body["reportingInstance"]) == ("hopper-operator", "pod-1")
    assert body["regarding"]["uid"] == "uid-web"
    assert body["regarding"]["kind"] == "HopperInstance"
    assert "series" not in body
    assert len(scene.lane) == 0


async def test_a_warning_is_one(scene: Scene) -> None:
    scene.announce(warning=True)
    async with scene.running():
        await asyncio.sleep(1)
    assert scene.sent.bodies[0]["type"] == "Warning"


async def test_equal_ones_that_wait_are_counted_together(scene: Scene) -> None:
    scene.announce(5)
    scene.announce(message="something else")
    assert len(scene.lane) == 2
    async with scene.running():
        await asyncio.sleep(1)
    first, second = scene.sent.bodies
    assert first["series"]["count"] == 5
    assert "series" not in second


async def test_the_same_again_later_is_another_one(scene: Scene) -> None:
    async with scene.running():
        scene.announce()
        await asyncio.sleep(1)
        scene.announce()
        await asyncio.sleep(1)
    first, second = scene.sent.bodies
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_a_full_lane_drops_new_ones(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_CAPACITY", 3)
    for n in range(5):
        scene.announce(message=str(n))
    scene.announce(message="0")  # still counted
    assert (len(scene.lane), scene.dropped) == (3, 2)
    async with scene.running():
        await asyncio.sleep(1)
    assert sorted(it["note"] for it in scene.sent.bodies) == ["0", "1", "2"]


async def test_one_that_cannot_be_sent_is_dropped_and_the_next_goes_on(scene: Scene) -> None:
    scene.sent.error = UnavailableError("away")
    async with scene.running():
        scene.announce(message="lost")
        await asyncio.sleep(1)
        scene.sent.error = None
        scene.announce(message="found")
        await asyncio.sleep(1)
    assert scene.dropped == 1
    assert [it["note"] for it in scene.sent.bodies] == ["lost", "found"]


async def test_they_wait_until_the_real_work_rests(scene: Scene) -> None:
    scene.quiet = 0.0
    async with scene.running():
        scene.announce()
        await asyncio.sleep(2)
        assert scene.sent.bodies == []
        scene.quiet = 3600.0
        await asyncio.sleep(1)
        assert len(scene.sent.bodies) == 1


async def test_where_it_never_rests_they_trickle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LONGEST_WAIT_SECONDS", 0.0)
    scene.quiet = 0.0
    for n in range(1000):
        scene.announce(message=str(n))
    async with scene.running():
        await asyncio.sleep(10)
    sent = len(scene.sent.bodies)
    pauses = 10 / events._PAUSE_SECONDS * events._CONCURRENCY
    assert 0.9 * pauses <= sent <= 1.1 * pauses


async def test_at_rest_they_go_as_fast_as_they_can(scene: Scene) -> None:
    scene.sent.seconds = 0.01
    for n in range(1000):
        scene.announce(message=str(n))
    async with scene.running():
        await asyncio.sleep(0.01 * 1000 / events._CONCURRENCY + 0.1)
    assert len(scene.sent.bodies) == 1000


async def test_to_announce_takes_no_time_whatever_the_api_server_does(scene: Scene) -> None:
    scene.sent.seconds = 3600
    async with scene.running():
        begun = asyncio.get_running_loop().time()
        for n in range(100):
            scene.announce(message=str(n))
        assert asyncio.get_running_loop().time() == begun


@pytest.mark.parametrize("message", ["x" * 2000, "→" * 2000, "😀" * 300])
async def test_a_note_has_at_most_1024_bytes_of_whole_characters(scene: Scene, message: str) -> None:
    scene.announce(message=message)
    async with scene.running():
        await asyncio.sleep(1)
    note = scene.sent.bodies[0]["note"]
    assert 1020 <= len(note.encode()) <= 1024
    assert message.startswith(note)
