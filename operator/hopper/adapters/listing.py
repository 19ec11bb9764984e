"""Lists of any kind, in pages, or only counted."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import JSON, Kube
from hopper.api.resources import Resource
from hopper.ports import NotFoundError

PAGE_SIZE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeLister:
    """`ports.Lister` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def serves(self, resource: Resource) -> bool:
        if resource.group:  # a new group is announced a moment later than its kinds are served
            groups = await self._kube.request("GET", "/apis", resource="apis")
            if resource.group not in (group["name"] for group in groups["groups"]):
                return False
        root = f"/apis/{resource.group}" if resource.group else "/api"
        try:
            served = await self._kube.request("GET", f"{root}/{resource.version}", resource="apis")
        except NotFoundError:
            return False
        return resource.plural in (kind["name"] for kind in served["resources"])

    async def count(self, resource: Resource, namespace: str | None, selector: str = "") -> int:
        if selector:  # the API server counts for us only where it does not have to filter
            return sum([len(page) async for page in self._pages(resource, namespace, selector, _METADATA_ONLY)])
        path = resource.path(namespace)
        page = await self._kube.request("GET", path, resource=resource.plural, query="limit=1")
        return len(page["items"] or ()) + int(page["metadata"].get("remainingItemCount") or 0)

    def pages(
        self, resource: Resource, namespace: str | None, selector: str = ""
    ) -> AsyncIterator[list[dict[str, Any]]]:
        return self._pages(resource, namespace, selector, JSON)

    async def _pages(
        self, resource: Resource, namespace: str | None, selector: str, accept: str
    ) -> AsyncIterator[list[dict[str, Any]]]:
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._kube.request(
                "GET", resource.path(namespace), resource=resource.plural, query=urlencode(query), accept=accept
            )
            yield page["items"] or []  # Go writes an empty list as null
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token
