"""Templates that cannot be read: they are told of, and keep nobody waiting."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.registry import Templates
from hopper.watch import template_feed
from tests.unit.watch.cluster import Store


def template(image: object, version: int = 1) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata | {"resourceVersion": str(version)}, "spec": {"image": image}}


async def test_an_unreadable_template_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    templates = Templates()
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
