"""What instances own, on a real API server: applied, tampered with, compared."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from tests.cluster.support.live_instances import LiveInstances, manifest

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"


class LiveObjects:
    """Objects of one namespace, and the instance that owns them."""

    def __init__(self, live: LiveInstances) -> None:
        self.live = live
        self.namespace = live.namespace

    async def instance(self, name: str = "web-1", scope: str = "Project", **spec: Any) -> HopperInstance:
        """Create an instance that nobody works on."""
        return parse_instance(await self.live.create_from(manifest(name, scope, **spec)))

    async def apply(self, rendered: Manifest, **query: str) -> Manifest:
        """Apply as the operator does; return the object as it is then."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", **query}
        return await self._send("PATCH", rendered, rendered, _APPLY, query)

    async def merge_patch(self, target: Manifest, patch: Manifest) -> Manifest:
        """Tamper with an object, as somebody else."""
        return await self._send("PATCH", target, patch, _MERGE_PATCH, {"fieldManager": "somebody"})

    async def json_patch(self, target: Manifest, operations: list[Manifest], manager: str = "somebody") -> Manifest:
        return await self._send("PATCH", target, operations, _JSON_PATCH, {"fieldManager": manager})

    async def get(self, target: Manifest) -> Manifest:
        return await self._send("GET", target, None, "application/json", {})

    async def delete(self, target: Manifest) -> None:
        await self._send("DELETE", target, {"propagationPolicy": "Background"}, "application/json", {})

    async def _send(self, method: str, target: Manifest, body: object, kind: str, query: dict[str, str]) -> Manifest:
        path = OWNED_RESOURCES[target["kind"]].path(self.namespace, target["metadata"]["name"])
        found: Manifest = await self.live.request(method, f"{path}?{urlencode(query)}", body, kind)
        return found
