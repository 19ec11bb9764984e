"""Lists of any kind, in pages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import Kube
from hopper.api.resources import Resource
from hopper.ports import NotFoundError, Page

PAGE_SIZE = 500


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

    async def pages(self, resource: Resource, namespace: str | None, selector: str = "") -> AsyncIterator[Page]:
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": selector} if selector else {})

        def ask(**more: str) -> asyncio.Task[dict[str, Any]]:
            where, words = resource.path(namespace), urlencode(query | more)
            return asyncio.create_task(self._kube.request("GET", where, resource=resource.plural, query=words))

        asked = ask()
        try:
            while True:
                page = await asked
                token = page["metadata"].get("continue")
                if token:
                    asked = ask(**{"continue": token})  # the API server works on it while this one is taken in
                # Go writes an empty list as null.
                yield Page(page["items"] or [], page["metadata"]["resourceVersion"])
                if not token:
                    return
        finally:
            asked.cancel()
