"""The objects that instances own, written with server-side apply."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH, MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import CHILDREN
from hopper.ports import NotFoundError

Manifest = dict[str, Any]


class KubeChildren:
    """`ports.ChildStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        resource = CHILDREN[manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._kube.request(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"]),
            resource=resource.plural,
            body=manifest,
            content_type=APPLY_PATCH,
            query=urlencode({"fieldManager": FIELD_MANAGER, "force": str(force).lower()}),
        )

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        resource = CHILDREN[live["kind"]]
        metadata = live["metadata"]
        return await self._kube.request(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"]),
            resource=resource.plural,
            body={**changes, "metadata": {"resourceVersion": metadata["resourceVersion"]}},
            content_type=MERGE_PATCH,
            query=urlencode({"fieldManager": FIELD_MANAGER}),
        )

    async def delete(self, live: Manifest) -> None:
        resource = CHILDREN[live["kind"]]
        metadata = live["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        path = resource.path(metadata["namespace"], metadata["name"])
        try:
            await self._kube.request("DELETE", path, resource=resource.plural, body=options)
        except NotFoundError:
            return  # gone is what was wanted
