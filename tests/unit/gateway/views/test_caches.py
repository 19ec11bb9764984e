"""Caches of rendered JSON: shared renderings, versions and bounds."""

from __future__ import annotations

import asyncio

import pytest

from hopper.gateway.views.caches import ResponseCache, render_in_slices


async def test_render_in_slices_keeps_the_order() -> None:
    assert await render_in_slices(range(1000), lambda number: b"%d" % number) == [
        b"%d" % number for number in range(1000)
    ]
    assert await render_in_slices([], bytes) == []


class PausedRenderer:
    """Renderer that waits for permission to render a body, and counts the calls."""

    def __init__(self, body: bytes = b"all") -> None:
        self.allowed = asyncio.Event()
        self.calls = 0
        self.body = body

    async def __call__(self) -> bytes:
        self.calls += 1
        await self.allowed.wait()
        return self.body


async def test_concurrent_requests_share_one_rendering() -> None:
    cache, render = ResponseCache(), PausedRenderer()
    requests = [asyncio.create_task(cache.get("a", 1, render)) for _ in range(10)]
    await asyncio.sleep(0)
    requests[0].cancel()  # must not cancel the rendering for the others
    render.allowed.set()
    assert set(await asyncio.gather(*requests[1:])) == {b"all"}
    assert await cache.get("a", 1, render) == b"all"
    assert render.calls == 1
    assert await cache.get("a", 2, render) == b"all"
    assert (render.calls, len(cache)) == (2, 1)


async def test_the_least_recently_used_body_is_removed() -> None:
    cache, render = ResponseCache(max_bytes=25_000), PausedRenderer(b"x" * 10_000)
    render.allowed.set()
    for key in "abac":
        await cache.get(key, 1, render)
    assert (render.calls, len(cache)) == (3, 2)
    await cache.get("a", 1, render)
    assert render.calls == 3
    render.body = b"x" * 25_000
    await cache.get("huge", 1, render)
    assert len(cache) == 0


async def test_the_size_includes_the_key() -> None:
    cache, render = ResponseCache(max_bytes=100_000), PausedRenderer(b"")
    render.allowed.set()
    for number in range(1000):
        await cache.get(f"{number} {'x' * 10_000}", 1, render)
    assert len(cache) == 9
    for number in range(1000):
        await cache.get(f"{number}", 1, render)
    assert len(cache) <= 200


async def test_a_failure_is_not_cached() -> None:
    cache, render = ResponseCache(), PausedRenderer()
    render.allowed.set()

    async def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await cache.get("a", 1, fail)
    assert await cache.get("a", 1, render) == b"all"
