"""A gateway over objects in memory, with an HTTP client: `await gateway.get("/instances/web")`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI

from hopper.api.resources import INSTANCES, TEMPLATES
from hopper.api.template import parse_template
from hopper.gateway.app import build_app
from hopper.gateway.auth import Authority, NoAuthentication
from hopper.gateway.context import Context, Settings
from hopper.gateway.discovery import Catalogue, HeartbeatWriter
from hopper.ports import ApiError, ConflictError, NotFoundError
from hopper.registry import TemplateIndex
from tests.unit.gateway.in_memory_objects import InMemoryObjects

SETTINGS = Settings(requests_per_second=1e6, burst=10**6)


class DiscardedHeartbeats:
    """`ports.HeartbeatStore` that stores nothing."""

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        pass

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        pass


class InMemorySecrets:
    """`ports.SecretValueStore` in memory. `objects` holds the Secrets by namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.error: ApiError | None = None

    async def create(self, namespace: str, manifest: dict[str, Any]) -> None:
        if self.error:
            raise self.error
        key = namespace, manifest["metadata"]["name"]
        if key in self.objects:
            raise ConflictError("409: already exists", code=409)
        self.objects[key] = manifest

    async def read(self, namespace: str, name: str) -> Mapping[str, str]:
        if (namespace, name) not in self.objects:
            raise NotFoundError("404: not found", code=404)
        data = self.objects[namespace, name]["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


# Applications of finished tests. They are reused, because building the routes takes most of the time of a small test.
_UNUSED_APPS: list[FastAPI] = []


class InMemoryGateway:
    """The application and its context. The indexes receive each write to `store` at once, as watch events.

    `not_ready_reasons` are reported by the readiness probe.
    """

    def __init__(self, authority: Authority | None = None, settings: Settings = SETTINGS) -> None:
        self.store = InMemoryObjects()
        self.secrets = InMemorySecrets()
        self.store.listeners.append(self.handle_watch_event)
        self.not_ready_reasons: list[str] = []
        catalogue = Catalogue()
        catalogue.journal.open()
        writer = HeartbeatWriter(DiscardedHeartbeats(), catalogue.heartbeats, catalogue.instances, replica="test")
        self.context = Context(
            catalogue=catalogue,
            templates=TemplateIndex(),
            intents=self.store,
            secret_values=self.secrets,
            authority=authority or NoAuthentication(),
            heartbeat_writer=writer,
            settings=settings,
            not_ready=lambda: self.not_ready_reasons,
        )
        self.app = _UNUSED_APPS.pop() if _UNUSED_APPS else build_app(self.context)
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
        """Store an instance as if another client had written it. Without a phase, it has no status yet."""
        full_spec = {"scope": scope, "desiredState": "Running", **spec}
        if parent:
            full_spec["parentRef"] = {"name": parent}
        body: dict[str, Any] = {"spec": full_spec, "metadata": {"labels": dict(labels)} if labels else {}}
        if phase:
            body["status"] = {"phase": phase, "observedGeneration": 1, **(status or {})}
        return self.store.put(INSTANCES, namespace, name, body)

    def template(self, name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
        """Store a template as if another client had written it."""
        return self.store.put(TEMPLATES, namespace, name, {"spec": {"image": "shop:1", **spec}})

    def spec(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return the stored spec of an instance."""
        spec: dict[str, Any] = self.store.objects[INSTANCES.plural, namespace, name]["spec"]
        return spec

    def env_of(self, name: str, namespace: str = "default") -> list[dict[str, Any]]:
        """Return the stored variables of an instance, with values instead of references to the gateway's Secrets."""
        return self.with_values(self.spec(name, namespace)["overrides"]["env"], namespace)

    def with_values(self, env: list[dict[str, Any]], namespace: str = "default") -> list[dict[str, Any]]:
        """Return variables with values instead of references to the gateway's Secrets."""
        resolved = []
        for entry in env:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            secret = reference and self.secrets.objects.get((namespace, reference["name"]))
            if secret:
                value = base64.b64decode(secret["data"][reference["key"]]).decode()
                entry = {key: entry[key] for key in entry if key != "valueFrom"} | {"value": value}
            resolved.append(entry)
        return resolved

    def release_app(self) -> None:
        """Make the application available to other tests."""
        _UNUSED_APPS.append(self.app)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.client.post(path, json=body, **options) if body is not None else await self.client.post(path)

    async def put(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return await self.client.put(path, json=body, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.delete(path, **options)

    def handle_watch_event(self, event_type: str, raw: dict[str, Any]) -> None:
        """Update the indexes after a watch event."""
        metadata = raw["metadata"]
        identity = metadata["namespace"], metadata["name"], metadata["uid"]
        if raw["kind"] == TEMPLATES.kind:
            if event_type == "DELETED":
                self.context.templates.remove(*identity)
            else:
                self.context.templates.put(parse_template(raw))
            return
        instances = self.context.catalogue.instances
        if event_type == "DELETED":
            change = instances.remove(*identity)
        else:
            instance = self.context.reader.read(raw)
            change = instances.put(instance) if instance else None
        if change:
            self.context.on_change(change)


def settings_with(**settings: Any) -> Settings:
    """Return the default settings of tests with some changes."""
    return replace(SETTINGS, **settings)
