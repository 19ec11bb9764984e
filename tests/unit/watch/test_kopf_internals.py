"""kopf itself against a small API server: the private behaviour that the watch relies on.

A failure after an upgrade means that kopf has changed. `watch/kopf_internals.py` lists what to adapt.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from hopper.adapters.connection import Connection
from hopper.api.resources import INSTANCES, Manifest, Resource
from hopper.ports import UnavailableError
from hopper.watch import Feed, WatchHealth
from hopper.watch.health import WatchFailedError
from hopper.watch.kopf_internals import REPEATING_LOGGERS, is_kopf_task
from hopper.watch.kopf_source import run_kopf
from tests.unit.hostile_json import deep_text, instance_text
from tests.unit.watch.fake_lister import DictIndex, FakeLister, instance_manifest

PATH = INSTANCES.path("default")


def served(resource: Resource) -> Manifest:
    """Return the discovery entry of a kind."""
    entry = {"name": resource.plural, "singularName": "", "kind": resource.kind, "verbs": ["list", "watch"]}
    return entry | {"namespaced": resource.kind != "Namespace"}


DISCOVERY: dict[str, Manifest] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [served(Resource("Namespace", "", "v1", "namespaces"))]},
    "/apis": {
        "groups": [
            {
                "name": INSTANCES.group,
                "versions": [{"version": INSTANCES.version}],
                "preferredVersion": {"version": INSTANCES.version},
            }
        ]
    },
    f"/apis/{INSTANCES.group}/{INSTANCES.version}": {"resources": [served(INSTANCES)]},
}


class ApiServer:
    """API server of one kind. It sends the events that the test adds, and answers watches with `code`."""

    def __init__(self) -> None:
        self.code = 200
        self.requests: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.other_paths: set[str] = set()
        self.events: asyncio.Queue[dict[str, object] | str | None] = asyncio.Queue()

    def send(self, event_type: str, manifest: Manifest) -> None:
        self.events.put_nowait({"type": event_type, "object": manifest})

    def send_text(self, event_type: str, manifest: str) -> None:
        self.events.put_nowait(f'{{"type":"{event_type}","object":{manifest}}}')

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != PATH:
            self.other_paths.add(request.path)
            return web.json_response(DISCOVERY[request.path])
        self.requests.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization"))
        if self.code != 200:
            return web.json_response({"kind": "Status", "code": self.code, "message": "no"}, status=self.code)
        response = web.StreamResponse()
        await response.prepare(request)
        while event := await self.events.get():
            text = event if isinstance(event, str) else json.dumps(event)
            await response.write(text.encode() + b"\n")
        return response


class Running:
    """kopf, started by `run_kopf`, with everything around it."""

    def __init__(self, server: ApiServer, url: str) -> None:
        self.server = server
        self.lister = FakeLister(instance_manifest("a", 3), instance_manifest("b", 7))
        self.index = DictIndex()
        self.feed = Feed(
            INSTANCES, put=self.index.put, remove=self.index.remove, uids=self.index.uids, namespaces=["default"]
        )
        self.health = WatchHealth(url)
        self.configuration = Configuration(host=url, api_key={"BearerToken": "first"})
        self.configuration.api_key_prefix = {"BearerToken": "Bearer"}
        self.stop = asyncio.Event()
        self.stopped = False
        self.task = asyncio.create_task(
            run_kopf(
                Connection(self.configuration, "default"),
                self.feed,
                self.lister,
                self.health,
                stop=self.stop,
                on_stop=self.note_stop,
            )
        )

    def note_stop(self) -> None:
        self.stopped = True

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.01)


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("USER", "hopper")
    server = ApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = Running(server, f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield running
    running.stop.set()
    with suppress(WatchFailedError):
        async with asyncio.timeout(10):
            await running.task
    await runner.cleanup()


async def test_the_feed_lists_and_kopf_only_watches(running: Running) -> None:
    await running.until(lambda: running.server.requests)
    assert running.feed.current.is_set()
    assert running.index.versions == {"a": "3", "b": "7"}
    (query,) = running.server.requests
    assert query.pop("timeoutSeconds") == "600"
    assert query == {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "7"}
    assert running.server.other_paths == set(DISCOVERY)


async def test_events_reach_the_feed(running: Running) -> None:
    running.server.send("ADDED", instance_manifest("c", 8))
    running.server.send("MODIFIED", instance_manifest("a", 9))
    running.server.send("DELETED", instance_manifest("b", 10))
    await running.until(lambda: running.index.versions == {"a": "9", "c": "8"})


@pytest.mark.parametrize("leaf", ["1", "9" * 5000, '"\\\\ud800"', '"' + "x" * 2**20 + '"'], ids=range(4))
@pytest.mark.parametrize("depth", [0, 1200, 9990])
async def test_events_that_kopf_cannot_decode_reach_the_feed(running: Running, depth: int, leaf: str) -> None:
    running.server.send_text("ADDED", instance_text("c", deep_text(depth, leaf=leaf), version=8))
    running.server.send("ADDED", instance_manifest("d", 9))
    await running.until(lambda: running.index.versions == {"a": "3", "b": "7", "c": "8", "d": "9"})
    config = running.index.objects["default", "c"]["spec"]["config"]
    assert config["capabilities"] == ["gpu"]
    json.dumps(config, ensure_ascii=False).encode()
    assert len(running.server.requests) == 1


async def test_a_watch_continues_from_the_last_bookmark(running: Running) -> None:
    running.server.send("BOOKMARK", {"metadata": {"resourceVersion": "12"}})
    running.server.events.put_nowait(None)
    await running.until(lambda: len(running.server.requests) == 2)
    assert running.server.requests[1]["resourceVersion"] == "12"
    assert running.lister.lists == 1


async def test_an_expired_version_makes_the_feed_list_again(running: Running) -> None:
    await running.until(lambda: running.server.requests)
    running.lister.delete("a")
    running.server.send("BOOKMARK", {"metadata": {"resourceVersion": "12"}})
    running.server.send("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    await running.until(lambda: len(running.server.requests) == 2)
    assert running.index.versions == {"b": "7"}
    assert running.server.requests[1]["resourceVersion"] == "7"
    assert "sendInitialEvents" not in running.server.requests[1]


async def test_status_410_makes_the_feed_list_again(running: Running) -> None:
    running.server.code = 410
    await running.until(lambda: running.server.requests)
    running.server.code = 200
    await running.until(lambda: len(running.server.requests) == 2)
    assert running.lister.lists == 2
    assert running.health.problems() == []


async def test_a_failed_list_is_retried(running: Running) -> None:
    running.lister.error = UnavailableError("503: Service Unavailable", code=503)
    await running.until(running.health.problems)
    assert not running.feed.current.is_set()
    running.lister.error = None
    await running.until(running.feed.current.is_set)
    await running.until(lambda: not running.health.problems())


async def test_a_failed_watch_is_retried(running: Running) -> None:
    running.server.code = 503
    await running.until(running.health.problems)
    running.server.code = 200
    await running.until(lambda: not running.health.problems())


async def test_each_request_has_the_latest_token(running: Running) -> None:
    await running.until(lambda: running.server.requests)
    running.configuration.api_key["BearerToken"] = "second"
    running.server.events.put_nowait(None)
    await running.until(lambda: len(running.server.requests) == 2)
    assert running.server.tokens == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(("code", "message"), [(401, "does not accept the credentials"), (404, "install the CRDs")])
async def test_a_fatal_failure_ends_kopf(
    running: Running, code: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    running.server.code = code
    with pytest.raises(WatchFailedError, match=message):
        async with asyncio.timeout(10):
            await running.task
    assert running.stopped
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_kopf_leaves_tasks_of_hopper_alone_and_none_of_its_own(running: Running) -> None:
    await running.until(lambda: running.server.requests)
    younger = asyncio.create_task(asyncio.Event().wait())
    assert any(map(is_kopf_task, asyncio.all_tasks()))
    running.stop.set()
    async with asyncio.timeout(4):  # kopf would wait 5 s for the younger task
        await running.task
    assert not younger.done()
    younger.cancel()
    assert running.stopped
    assert not any(map(is_kopf_task, asyncio.all_tasks()))


@pytest.mark.parametrize("name", REPEATING_LOGGERS)
def test_the_silenced_loggers_are_modules_of_kopf(name: str) -> None:
    assert name in logging.Logger.manager.loggerDict
