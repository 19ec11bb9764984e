"""Feeds: what cannot be read keeps nobody waiting, and a list brings nothing back that the watch knows to be gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hopper.api.resources import SECRETS
from hopper.registry import TemplateIndex
from hopper.watch import Feed, template_feed
from tests.unit.watch.cluster import Object, Store, raw


def template(image: object, version: int = 1) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata | {"resourceVersion": str(version)}, "spec": {"image": image}}


async def test_an_unreadable_template_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    templates = TemplateIndex()
    feed = template_feed(templates, lambda namespace, name: told.append(f"{namespace}/{name}"), ["n"])
    await feed.refill(Store(template(image=["not", "a", "name"])), "n")
    assert feed.current.is_set()
    assert "template n/a is not readable" in caplog.text
    assert templates.get("n", "a") is None
    feed.on_event("MODIFIED", template(image="web:1", version=2))
    assert templates.get("n", "a") is not None
    feed.on_event("DELETED", template(image=["again"], version=3))
    assert templates.get("n", "a") is None
    assert told == ["n/a", "n/a"]


class Latest:
    """An index that keeps what comes last, as it cannot tell what is newer."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Object] = {}

    def take(self, it: Object) -> bool:
        self.known[it["metadata"]["namespace"], it["metadata"]["name"]] = it
        return True

    def drop(self, it: Object) -> bool:
        return self.known.pop((it["metadata"]["namespace"], it["metadata"]["name"]), None) is not None

    def uids(self) -> dict[tuple[str, str], str]:
        return {key: it["metadata"]["uid"] for key, it in self.known.items()}


async def test_a_list_that_is_older_than_the_watch() -> None:
    """Such as one of API keys, of which some are taken back while it is on its way."""
    index, store = Latest(), Store(raw("changed"), raw("gone"), raw("same"), raw("anew"))
    feed = Feed(SECRETS, take=index.take, drop=index.drop, known=index.uids)
    await feed.refill(store, None)
    resync = asyncio.create_task(feed.resync(store))
    await asyncio.sleep(0)  # it has asked
    feed.on_event("MODIFIED", raw("changed", 5))
    feed.on_event("DELETED", raw("gone", 6))
    feed.on_event("DELETED", raw("anew", 7))
    feed.on_event("ADDED", raw("anew", 8, uid="another"))
    await resync
    found = {name: it["metadata"]["resourceVersion"] for (_, name), it in index.known.items()}
    assert found == {"changed": "5", "same": "1", "anew": "8"}
    store.put(raw("changed", 9), raw("gone", 10))
    await feed.resync(store)
    assert {name for _, name in index.known} == {"changed", "same", "anew", "gone"}
