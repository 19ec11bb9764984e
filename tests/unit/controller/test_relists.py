"""Which requests of a watching client mean that it starts over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from hopper.controller.relists import Relists

PATH = "/apis/hopper.dev/v1/namespaces/default/hopperinstances"


class Scene:
    """A client that is traced, and a server that answers what it is told to."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.code = 200
        self.heard: list[str] = []

    async def get(self, query: str = "", path: str = PATH) -> None:
        async with self.session.get(path + query) as response:
            await response.read()

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene: Scene

    async def answer(request: web.Request) -> web.Response:
        scene.heard.append("asked")
        return web.json_response({}, status=scene.code)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relists = Relists({PATH}, lambda: scene.heard.append("begins"), lambda: scene.heard.append("ended"))
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(base, trace_configs=[relists.trace()]) as session:
        scene = Scene(session)
        yield scene
    await runner.cleanup()


async def test_the_first_list_is_no_relist(scene: Scene) -> None:
    await scene.get("?limit=500")
    await scene.get("?limit=500&continue=abc")
    await scene.get("?watch=true&resourceVersion=1")
    assert scene.take() == ["asked"] * 3


async def test_each_further_list_is(scene: Scene) -> None:
    await scene.get()
    scene.take()
    await scene.get("?limit=500")
    assert scene.take() == ["begins", "asked", "ended"]
    await scene.get("?limit=500")
    assert scene.take() == ["begins", "asked", "ended"]


async def test_the_pages_that_follow_are_of_the_same_moment(scene: Scene) -> None:
    await scene.get()
    scene.take()
    await scene.get("?limit=500")
    await scene.get("?limit=500&continue=abc")
    assert scene.take() == ["begins", "asked", "ended", "asked"]


async def test_a_watch_is_no_list(scene: Scene) -> None:
    await scene.get()
    scene.take()
    await scene.get("?watch=true&resourceVersion=1")
    assert scene.take() == ["asked"]


async def test_other_paths_are_nobodys_business(scene: Scene) -> None:
    for _ in range(2):
        await scene.get(path="/api/v1/namespaces")
        await scene.get(path=f"{PATH}/web")
    assert scene.take() == ["asked"] * 4


async def test_a_list_that_fails_has_not_ended(scene: Scene) -> None:
    await scene.get()
    scene.take()
    scene.code = 503
    await scene.get()
    assert scene.take() == ["begins", "asked"]
    scene.code = 200
    await scene.get()
    assert scene.take() == ["begins", "asked", "ended"]


async def test_a_first_list_that_fails_is_no_list(scene: Scene) -> None:
    scene.code = 500
    await scene.get()
    scene.code = 200
    await scene.get()
    assert scene.take() == ["asked"] * 2
