"""What users want, written to the API server as they ask for it through the gateway."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import MERGE_PATCH, Kube
from hopper.api.names import GATEWAY_MANAGER
from hopper.api.resources import Resource

# Strict: an unknown field is a mistake of the caller's, who is to hear of it.
_QUERY = urlencode({"fieldManager": GATEWAY_MANAGER, "fieldValidation": "Strict"})


class KubeIntents:
    """`ports.IntentStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def read(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        return await self._kube.request("GET", resource.path(namespace, name), resource=resource.plural)

    async def create(self, resource: Resource, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        path = resource.path(namespace)
        return await self._kube.request("POST", path, resource=resource.plural, body=manifest, query=_QUERY)

    async def patch(self, resource: Resource, namespace: str, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        return await self._kube.request(
            "PATCH",
            resource.path(namespace, name),
            resource=resource.plural,
            body=changes,
            content_type=MERGE_PATCH,
            query=_QUERY,
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        version: str | None = None,
        orphan: bool = False,
    ) -> None:
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        options = {"preconditions": preconditions, "propagationPolicy": "Orphan" if orphan else "Background"}
        await self._kube.request("DELETE", resource.path(namespace, name), resource=resource.plural, body=options)
