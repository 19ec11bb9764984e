"""Lists of any kind, taken in while they arrive.

In one answer, not in pages: that the API server gives from its cache. The later pages of what nobody has written to for
some minutes it reads from etcd, object by object, which takes several times as long.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import urlencode

from hopper.adapters.kube import Kube
from hopper.adapters.list_reader import ListReader
from hopper.api.resources import Resource
from hopper.ports import NotFoundError, Part, UnavailableError


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

    async def parts(self, resource: Resource, namespace: str | None, selector: str = "") -> AsyncGenerator[Part, None]:
        path, query = resource.path(namespace), urlencode({"labelSelector": selector}) if selector else ""
        listed = ListReader()
        try:
            async with aclosing(self._kube.stream(path, resource=resource.plural, query=query)) as chunks:
                async for chunk in chunks:
                    yield Part(listed.feed(chunk))
                    await asyncio.sleep(0)  # a long list is not to hold up everything else
            yield Part([], listed.version())
        except ValueError as error:
            raise UnavailableError(f"GET {path}: {error}") from error
