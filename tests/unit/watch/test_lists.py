"""What kopf gets where it lists, and what the feeds get."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from hopper.api.resources import INSTANCES, PODS
from hopper.ports import UnavailableError
from hopper.watch import Contact, Feed
from hopper.watch.lists import Lists
from tests.unit.watch.cluster import Object, Store, raw

PATH = INSTANCES.path("default")


class Scene:
    """A client with the middleware, and a server that answers with a code."""

    def __init__(self) -> None:
        self.code = 200
        self.asked: list[str] = []
        self.store = Store(raw("a", 3), raw("b", 7))
        self.known: dict[tuple[str, str], str] = {}
        self.feed = Feed(INSTANCES, take=self.take, drop=self.drop, known=lambda: self.known, namespaces=["default"])
        self.pods = Feed(PODS, take=self.take, drop=self.drop, known=lambda: self.known)
        self.contact = Contact(lambda: self.time)
        self.time = 100.0
        self.middleware: Lists
        self.session: aiohttp.ClientSession

    def take(self, found: Object) -> bool:
        key = found["metadata"]["namespace"], found["metadata"]["name"]
        news = self.known.get(key) != found["metadata"]["uid"]
        self.known[key] = found["metadata"]["uid"]
        return news

    def drop(self, gone: Object) -> bool:
        return self.known.pop((gone["metadata"]["namespace"], gone["metadata"]["name"]), None) is not None

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.known]

    async def get(self, query: str = "?limit=500", path: str = PATH) -> int:
        async with self.session.get(path + query) as response:
            await response.read()
            return response.status

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        return web.json_response({}, status=self.code)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    app = web.Application()
    app.router.add_get("/{path:.*}", scene.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    scene.middleware = Lists([scene.feed, scene.pods], scene.store, scene.contact)
    async with aiohttp.ClientSession(base, middlewares=[scene.middleware]) as session:
        scene.session = session
        yield scene
    await runner.cleanup()


async def test_the_feed_gets_all_and_kopf_nothing_of_the_same_version(scene: Scene) -> None:
    assert await scene.get("?limit=500&labelSelector=x") == 200
    assert scene.names == ["a", "b"]
    assert scene.feed.current.is_set()
    assert scene.asked == [f"{PATH}?resourceVersion=7&resourceVersionMatch=Exact&fieldSelector=metadata.name%3D-"]


async def test_of_all_namespaces_nothing_is_asked_where_nothing_can_be(scene: Scene) -> None:
    await scene.get(path="/api/v1/pods")
    assert scene.asked == ["/api/v1/namespaces/-/pods?resourceVersion=7&resourceVersionMatch=Exact"]


async def test_a_further_list_finds_what_is_gone(scene: Scene) -> None:
    await scene.get()
    scene.store.delete("a")
    await scene.get()
    assert scene.names == ["b"]


async def test_also_where_nothing_is_left(scene: Scene) -> None:
    await scene.get()
    scene.store.objects = []
    await scene.get()
    assert scene.names == []


async def test_watches_and_other_paths_go_through_as_they_are(scene: Scene) -> None:
    await scene.get("?watch=true&resourceVersion=1")
    await scene.get("", "/api/v1/namespaces")
    await scene.get("", f"{PATH}/web")
    assert scene.asked == [f"{PATH}?watch=true&resourceVersion=1", "/api/v1/namespaces", f"{PATH}/web"]
    assert not scene.feed.current.is_set()


async def test_kopf_meets_the_same_error(scene: Scene) -> None:
    scene.store.error, scene.code = UnavailableError("401: who are you"), 401
    assert await scene.get() == 401
    assert not scene.feed.current.is_set()


async def test_an_error_that_has_passed_means_once_more(scene: Scene) -> None:
    scene.store.error = UnavailableError("500: a bad moment")
    with pytest.raises(aiohttp.ClientConnectionError, match="a bad moment"):
        await scene.get()
    assert not scene.feed.current.is_set()
    scene.store.error = None
    await scene.get()
    assert scene.feed.current.is_set()


async def test_a_version_that_is_forgotten_means_once_more(scene: Scene) -> None:
    scene.code = 410
    with pytest.raises(aiohttp.ClientConnectionError, match="version 7 is gone"):
        await scene.get()


WATCH = "?watch=true&resourceVersion=1"
INCONCLUSIVE = "no news from the API server"


async def test_who_watches_in_vain_says_so_until_it_goes_on(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hopper")
    await scene.get(WATCH)
    assert scene.contact.problems() == []
    scene.code = 503
    await scene.get(WATCH)
    scene.time += 20
    await scene.get(WATCH)
    await scene.get(WATCH, "/api/v1/pods")
    assert scene.contact.problems() == [f"{INCONCLUSIVE} for 20 s: 503 Service Unavailable (GET {PATH})"]
    scene.code = 200
    await scene.get(WATCH)
    assert scene.contact.problems() == [f"{INCONCLUSIVE} for 20 s: 503 Service Unavailable (GET /api/v1/pods)"]
    await scene.get(WATCH, "/api/v1/pods")
    assert scene.contact.problems() == []
    assert caplog.messages == [
        f"{INCONCLUSIVE}: 503 Service Unavailable (GET {PATH}); trying again",
        "news from the API server again, after 20 s",
    ]


@pytest.mark.parametrize("code", [401, 410])
async def test_what_kopf_answers_by_starting_anew_is_no_loss(code: int, scene: Scene) -> None:
    scene.code = code
    await scene.get(WATCH)
    assert scene.contact.problems() == []


async def test_a_list_in_vain_is_told_in_the_same_words_for_each_kind(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (PATH, "/api/v1/pods"):
        scene.store.error = UnavailableError(f"GET {path}: connection refused")
        scene.store.error.__cause__ = OSError("connection refused")
        with pytest.raises(aiohttp.ClientConnectionError):
            await scene.get(path=path)
    assert caplog.messages == [f"{INCONCLUSIVE}: connection refused (GET {PATH}); trying again"]
    scene.store.error = None
    await scene.get()
    assert scene.contact.problems() != [], "pods are still not listed"
    await scene.get(WATCH)
    await scene.get(WATCH, "/api/v1/pods")
    assert scene.contact.problems() == []


async def test_an_api_server_that_is_silent_is_named(scene: Scene) -> None:
    async def silence(request: aiohttp.ClientRequest, send: object) -> aiohttp.ClientResponse:
        raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {request.url}")

    with pytest.raises(aiohttp.ConnectionTimeoutError):
        await scene.session.get(PATH + WATCH, middlewares=[scene.middleware, silence])
    assert scene.contact.problems() == [f"{INCONCLUSIVE} for 0 s: no response in time (GET {PATH})"]
