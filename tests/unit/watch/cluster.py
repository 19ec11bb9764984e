"""What exists in the cluster, as a list tells of it, and as watch events do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from hopper.api.resources import Resource
from hopper.ports import ListChunk

Object = dict[str, Any]


def raw(name: str, version: int = 1, *, namespace: str = "default", uid: str = "", **spec: Any) -> Object:
    """Build an object as the API server sends it."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-03-01T11:00:00Z",
        },
        "spec": {"scope": "Project", **spec},
    }


class Store:
    """`ports.Lister` over objects in memory; `error` is raised instead of an answer. A part takes `seconds`."""

    def __init__(self, *objects: Object) -> None:
        self.objects = list(objects)
        self.error: Exception | None = None
        self.seconds = 0.0
        self.lists = 0

    def put(self, *objects: Object) -> None:
        names = {it["metadata"]["name"] for it in objects}
        self.objects = [it for it in self.objects if it["metadata"]["name"] not in names] + list(objects)

    def delete(self, name: str) -> None:
        self.objects = [it for it in self.objects if it["metadata"]["name"] != name]

    async def serves(self, resource: Resource) -> bool:
        return True

    async def chunks(
        self, resource: Resource, namespace: str | None, selector: str = ""
    ) -> AsyncGenerator[ListChunk, None]:
        self.lists += 1
        if self.error:
            raise self.error
        found = [it for it in self.objects if namespace in (None, it["metadata"]["namespace"])]
        version = str(max((int(it["metadata"]["resourceVersion"]) for it in found), default=1))
        for it in found:  # parts as small as can be
            await asyncio.sleep(self.seconds)
            yield ListChunk([it])
        yield ListChunk([], version)
