"""A gateway over objects in memory, and a client of it: `world.get("/instances/web")`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI

from hopper.api.instance import parse_instance
from hopper.api.resources import INSTANCES, TEMPLATES
from hopper.api.template import parse_template
from hopper.gateway.app import build_app
from hopper.gateway.auth import Authority, Open
from hopper.gateway.context import Context, Settings
from hopper.gateway.discovery import Catalogue, HeartbeatWriter
from hopper.registry import TemplateIndex
from tests.unit.gateway.store import Store

SETTINGS = Settings(requests_per_second=1e6, burst=10**6)


class NoHeartbeats:
    """`ports.HeartbeatStore` that keeps nothing."""

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        pass

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        pass


# Applications that no test uses at the moment: to work out the routes takes most of the time of a small test.
_SPARE: list[FastAPI] = []


class World:
    """Registry, store and application. What is written to the store is known to the registry at once, as by a watch."""

    def __init__(self, authority: Authority | None = None, settings: Settings = SETTINGS) -> None:
        self.store = Store()
        self.store.listeners.append(self._watch)
        self.problems: list[str] = []
        catalogue = Catalogue()
        catalogue.journal.open()
        self.context = Context(
            catalogue=catalogue,
            templates=TemplateIndex(),
            intents=self.store,
            authority=authority or Open(only_here=False),
            heartbeat_writer=HeartbeatWriter(NoHeartbeats(), catalogue.beats, catalogue.instances, replica="test"),
            settings=settings,
            unready=lambda: self.problems,
        )
        self.app = _SPARE.pop() if _SPARE else build_app(self.context)
        self.app.state.context = self.context
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://gateway/api/v1")

    def instance(
        self,
        name: str,
        scope: str = "Project",
        parent: str | None = None,
        phase: str | None = "Running",
        *,
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        status: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> dict[str, Any]:
        """Have an instance, written by somebody else; without a phase, no status was written yet."""
        wanted = {"scope": scope, "desiredState": "Running", **spec} | (
            {"parentRef": {"name": parent}} if parent else {}
        )
        body: dict[str, Any] = {"spec": wanted, "metadata": {"labels": dict(labels)} if labels else {}}
        if phase:
            body["status"] = {"phase": phase, "observedGeneration": 1, **(status or {})}
        return self.store.put(INSTANCES, namespace, name, body)

    def template(self, name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
        return self.store.put(TEMPLATES, namespace, name, {"spec": {"image": "shop:1", **spec}})

    def spec(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """The spec of an instance, as the API server has it."""
        found: dict[str, Any] = self.store.objects[INSTANCES.plural, namespace, name]["spec"]
        return found

    def leave(self) -> None:
        """Leave the application to others."""
        _SPARE.append(self.app)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.client.post(path, json=body, **options) if body is not None else await self.client.post(path)

    async def put(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return await self.client.put(path, json=body, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.delete(path, **options)

    def _watch(self, kind: str, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        where = metadata["namespace"], metadata["name"], metadata["uid"]
        if raw["kind"] == TEMPLATES.kind:
            if kind == "DELETED":
                self.context.templates.remove(*where)
            else:
                self.context.templates.put(parse_template(raw))
            return
        registry = self.context.catalogue.instances
        change = registry.remove(*where) if kind == "DELETED" else registry.put(parse_instance(raw))
        if change:
            self.context.on_change(change)


def limited(**settings: Any) -> Settings:
    """Settings as in the other tests, but for these."""
    return replace(SETTINGS, **settings)
