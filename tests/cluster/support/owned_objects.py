"""Client for the owned objects of an instance on a real API server: apply, modify, read, delete."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, manifest

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_OTHER_MANAGER = "test-client"


class LiveObjects:
    """Owned objects of one namespace, and the instances that own them."""

    def __init__(self, live: LiveInstances) -> None:
        self.live = live
        self.namespace = live.namespace

    async def create_instance(self, name: str = "web-1", scope: str = "Project", **spec: Any) -> HopperInstance:
        """Create an instance without an operator that reconciles it."""
        return parse_instance(await self.live.create_from(manifest(name, scope, **spec)))

    async def apply(self, rendered: Manifest, **query: str) -> Manifest:
        """Apply an object as the operator does; return the result."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", **query}
        return await self._send("PATCH", rendered, rendered, _APPLY, query)

    async def merge_patch(self, target: Manifest, patch: Manifest) -> Manifest:
        """Change an object as another field manager; return the result."""
        return await self._send("PATCH", target, patch, MERGE_PATCH, {"fieldManager": _OTHER_MANAGER})

    async def json_patch(self, target: Manifest, operations: list[Manifest], manager: str = _OTHER_MANAGER) -> Manifest:
        return await self._send("PATCH", target, operations, _JSON_PATCH, {"fieldManager": manager})

    async def get(self, target: Manifest) -> Manifest:
        return await self._send("GET", target, None, "application/json", {})

    async def delete(self, target: Manifest) -> None:
        await self._send("DELETE", target, {"propagationPolicy": "Background"}, "application/json", {})

    async def _send(
        self, method: str, target: Manifest, body: object, content_type: str, query: dict[str, str]
    ) -> Manifest:
        path = OWNED_RESOURCES[target["kind"]].path(self.namespace, target["metadata"]["name"])
        answer: Manifest = await self.live.request(method, f"{path}?{urlencode(query)}", body, content_type)
        return answer
