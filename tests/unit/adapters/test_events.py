"""Kubernetes Events: aggregated, sent with low priority, and dropped if there are too many. Time is virtual."""

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


class FakeClient:
    """Replacement for `KubeClient` that records requests. A request takes `seconds`."""

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
    """Event recorder on a fake API server, with a settable idle time."""

    def __init__(self) -> None:
        self.kube = FakeClient()
        self.idle_seconds = 3600.0
        self.dropped = 0
        self.recorder = KubeEventRecorder(
            self.kube,  # type: ignore[arg-type]
            reporter="pod-1",
            quiet_seconds=lambda: self.idle_seconds,
            on_drop=self._drop,
        )

    def _drop(self) -> None:
        self.dropped += 1

    def record(self, count: int = 1, message: str = "Created → Starting", **options: Any) -> None:
        for _ in range(count):
            self.recorder.record(WEB, reason="Starting", message=message, **options)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.recorder.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_an_event_is_sent(scene: Scene) -> None:
    scene.record()
    async with scene.running():
        await asyncio.sleep(1)
    (body,) = scene.kube.bodies
    assert body["metadata"]["name"].startswith("web.")
    assert (body["reason"], body["note"], body["type"]) == ("Starting", "Created → Starting", "Normal")
    assert (body["reportingController"], body["reportingInstance"]) == ("hopper-operator", "pod-1")
    assert body["regarding"]["uid"] == "uid-web"
    assert body["regarding"]["kind"] == "HopperInstance"
    assert "series" not in body
    assert len(scene.recorder) == 0


async def test_a_warning_has_type_warning(scene: Scene) -> None:
    scene.record(warning=True)
    async with scene.running():
        await asyncio.sleep(1)
    assert scene.kube.bodies[0]["type"] == "Warning"


async def test_equal_pending_events_are_aggregated(scene: Scene) -> None:
    scene.record(5)
    scene.record(message="something else")
    assert len(scene.recorder) == 2
    async with scene.running():
        await asyncio.sleep(1)
    first, second = scene.kube.bodies
    assert first["series"]["count"] == 5
    assert "series" not in second


async def test_an_equal_event_after_sending_is_a_new_one(scene: Scene) -> None:
    async with scene.running():
        scene.record()
        await asyncio.sleep(1)
        scene.record()
        await asyncio.sleep(1)
    first, second = scene.kube.bodies
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_a_full_queue_drops_new_events(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_CAPACITY", 3)
    for n in range(5):
        scene.record(message=str(n))
    scene.record(message="0")  # aggregated with the pending one
    assert (len(scene.recorder), scene.dropped) == (3, 2)
    async with scene.running():
        await asyncio.sleep(1)
    assert sorted(event["note"] for event in scene.kube.bodies) == ["0", "1", "2"]


async def test_an_event_that_cannot_be_sent_is_dropped_and_the_next_is_sent(scene: Scene) -> None:
    scene.kube.error = UnavailableError("away")
    async with scene.running():
        scene.record(message="lost")
        await asyncio.sleep(1)
        scene.kube.error = None
        scene.record(message="found")
        await asyncio.sleep(1)
    assert scene.dropped == 1
    assert [event["note"] for event in scene.kube.bodies] == ["lost", "found"]


async def test_events_wait_until_reconciling_is_idle(scene: Scene) -> None:
    scene.idle_seconds = 0.0
    async with scene.running():
        scene.record()
        await asyncio.sleep(2)
        assert scene.kube.bodies == []
        scene.idle_seconds = 3600.0
        await asyncio.sleep(1)
        assert len(scene.kube.bodies) == 1


async def test_events_are_sent_slowly_if_reconciling_never_idles(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LONGEST_WAIT_SECONDS", 0.0)
    scene.idle_seconds = 0.0
    for n in range(1000):
        scene.record(message=str(n))
    async with scene.running():
        await asyncio.sleep(10)
    sent = len(scene.kube.bodies)
    pauses = 10 / events._PAUSE_SECONDS * events._CONCURRENCY
    assert 0.9 * pauses <= sent <= 1.1 * pauses


async def test_events_are_sent_at_full_speed_while_idle(scene: Scene) -> None:
    scene.kube.seconds = 0.01
    for n in range(1000):
        scene.record(message=str(n))
    async with scene.running():
        await asyncio.sleep(0.01 * 1000 / events._CONCURRENCY + 0.1)
    assert len(scene.kube.bodies) == 1000


async def test_recording_never_waits_for_the_api_server(scene: Scene) -> None:
    scene.kube.seconds = 3600
    async with scene.running():
        started = asyncio.get_running_loop().time()
        for n in range(100):
            scene.record(message=str(n))
        assert asyncio.get_running_loop().time() == started


@pytest.mark.parametrize("message", ["x" * 2000, "→" * 2000, "😀" * 300])
async def test_a_note_is_truncated_to_1024_bytes_of_whole_characters(scene: Scene, message: str) -> None:
    scene.record(message=message)
    async with scene.running():
        await asyncio.sleep(1)
    note = scene.kube.bodies[0]["note"]
    assert 1020 <= len(note.encode()) <= 1024
    assert message.startswith(note)
