"""Feeds: an invalid object blocks nothing, and a list does not restore what the watch has reported as deleted."""

from __future__ import annotations

import asyncio

import pytest

from hopper.api.resources import SECRETS, Manifest
from hopper.registry import TemplateIndex
from hopper.watch import Feed, template_feed
from tests.unit.watch.fake_lister import DictIndex, FakeLister, instance_manifest


def template_manifest(image: object, version: int = 1) -> Manifest:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata | {"resourceVersion": str(version)}, "spec": {"image": image}}


async def test_an_invalid_template_does_not_block_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    changed: list[str] = []
    templates = TemplateIndex()
    feed = template_feed(templates, lambda namespace, name: changed.append(f"{namespace}/{name}"), ["n"])
    await feed.relist(FakeLister(template_manifest(image=["not", "a", "name"])), "n")
    assert feed.current.is_set()
    assert "template n/a is invalid" in caplog.text
    assert templates.get("n", "a") is None
    feed.handle_event("MODIFIED", template_manifest(image="web:1", version=2))
    assert templates.get("n", "a") is not None
    feed.handle_event("DELETED", template_manifest(image=["again"], version=3))
    assert templates.get("n", "a") is None
    assert changed == ["n/a", "n/a"]


async def test_a_list_older_than_the_watch_restores_nothing() -> None:
    """For example, API keys may be revoked while a list of them is on its way."""
    index = DictIndex()
    names = ("changed", "deleted", "same", "recreated")
    lister = FakeLister(*(instance_manifest(name) for name in names))
    feed = Feed(SECRETS, put=index.put, remove=index.remove, uids=index.uids)
    await feed.relist(lister, None)
    resync = asyncio.create_task(feed.resync(lister))
    await asyncio.sleep(0)  # the list is running now
    feed.handle_event("MODIFIED", instance_manifest("changed", 5))
    feed.handle_event("DELETED", instance_manifest("deleted", 6))
    feed.handle_event("DELETED", instance_manifest("recreated", 7))
    feed.handle_event("ADDED", instance_manifest("recreated", 8, uid="another"))
    await resync
    assert index.versions == {"changed": "5", "same": "1", "recreated": "8"}
    lister.put(instance_manifest("changed", 9), instance_manifest("deleted", 10))
    await feed.resync(lister)
    assert set(index.versions) == {"changed", "same", "recreated", "deleted"}


@pytest.mark.parametrize("error", [RecursionError, KeyError, OverflowError])
async def test_an_object_that_cannot_be_processed_does_not_end_the_feed(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    index = DictIndex()

    def put(manifest: Manifest) -> bool:
        if manifest["metadata"]["name"] == "hostile":
            raise error("s3cret")
        return index.put(manifest)

    lister = FakeLister(instance_manifest("hostile"), instance_manifest("healthy"))
    feed = Feed(SECRETS, put=put, remove=index.remove, uids=index.uids)
    await feed.relist(lister, None)
    await feed.resync(lister)
    feed.handle_event("MODIFIED", instance_manifest("hostile", 2))
    feed.handle_event("MODIFIED", instance_manifest("healthy", 3))
    assert index.versions == {"healthy": "3"}
    assert f"Secret default/hostile cannot be processed: correct or delete it ({error.__name__} in put)" in caplog.text
    assert "s3cret" not in caplog.text
