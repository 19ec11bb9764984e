"""Long answers: made once for many, in slices, kept while nothing changes, within bounds."""

from __future__ import annotations

import asyncio

import pytest

from hopper.gateway.views.caches import ResponseCache, render_in_slices


async def test_slices_keep_the_order() -> None:
    assert await render_in_slices(range(1000), lambda it: b"%d" % it) == [b"%d" % it for it in range(1000)]
    assert await render_in_slices([], bytes) == []


class Maker:
    """Makes an answer when it may, and counts."""

    def __init__(self, answer: bytes = b"all") -> None:
        self.may = asyncio.Event()
        self.made = 0
        self.answer = answer

    async def __call__(self) -> bytes:
        self.made += 1
        await self.may.wait()
        return self.answer


async def test_one_answer_for_many() -> None:
    whole, make = ResponseCache(), Maker()
    asked = [asyncio.create_task(whole.get("a", 1, make)) for _ in range(10)]
    await asyncio.sleep(0)
    asked[0].cancel()  # who goes away takes it from nobody
    make.may.set()
    assert set(await asyncio.gather(*asked[1:])) == {b"all"}
    assert await whole.get("a", 1, make) == b"all"
    assert make.made == 1
    assert await whole.get("a", 2, make) == b"all"
    assert (make.made, len(whole)) == (2, 1)


async def test_the_oldest_make_room() -> None:
    whole, make = ResponseCache(max_bytes=25_000), Maker(b"x" * 10_000)
    make.may.set()
    for key in "abac":
        await whole.get(key, 1, make)
    assert (make.made, len(whole)) == (3, 2)
    await whole.get("a", 1, make)
    assert make.made == 3
    make.answer = b"x" * 25_000
    await whole.get("huge", 1, make)
    assert len(whole) == 0


async def test_long_questions_count_too() -> None:
    whole, make = ResponseCache(max_bytes=100_000), Maker(b"")
    make.may.set()
    for number in range(1000):
        await whole.get(f"{number} {'x' * 10_000}", 1, make)
    assert len(whole) == 9
    for number in range(1000):
        await whole.get(f"{number}", 1, make)
    assert len(whole) <= 200


async def test_a_failure_is_not_kept() -> None:
    whole, make = ResponseCache(), Maker()
    make.may.set()

    async def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await whole.get("a", 1, fail)
    assert await whole.get("a", 1, make) == b"all"
