"""Templates that cannot be read: they are told of, and keep nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hopper.api.resources import Resource
from hopper.controller.world import World


class OneTemplate:
    """An API server with one template."""

    async def serves(self, resource: Resource) -> bool:
        return True

    async def count(self, resource: Resource, namespace: str | None, selector: str = "") -> int:
        return 1

    def pages(
        self, resource: Resource, namespace: str | None, selector: str = ""
    ) -> AsyncIterator[list[dict[str, Any]]]:
        raise NotImplementedError


def template(image: object, version: int = 1) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata | {"resourceVersion": str(version)}, "spec": {"image": image}}


async def test_an_unreadable_template_keeps_nobody_waiting() -> None:
    told: list[str] = []
    world = World()
    feed = world.feeds(
        on_instance=lambda *_: None, on_template=lambda *_: None, on_unreadable=lambda what, error: told.append(what)
    )[0]
    feed.on_event(None, template(image=["not", "a", "name"]))
    async with asyncio.timeout(5):
        await feed.sync(OneTemplate(), ["n"])
    assert told == ["template a"]
    assert world.templates.get("n", "a") is None
    feed.on_event("MODIFIED", template(image="web:1", version=2))
    assert world.templates.get("n", "a") is not None
    feed.on_event("DELETED", template(image=["again"], version=3))
    assert world.templates.get("n", "a") is None
