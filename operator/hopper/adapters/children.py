"""The objects that instances own, written with server-side apply."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import CHILDREN
from hopper.ports import ConflictError, NotFoundError, RefusedError

Manifest = dict[str, Any]


class KubeChildren:
    """`ports.ChildStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        resource = CHILDREN[manifest["kind"]]
        metadata = manifest["metadata"]
        try:
            return await self._kube.request(
                "PATCH",
                resource.path(metadata["namespace"], metadata["name"]),
                resource=resource.plural,
                body=manifest,
                content_type=APPLY_PATCH,
                query=urlencode({"fieldManager": FIELD_MANAGER, "force": str(force).lower()}),
            )
        except ConflictError as error:
            message = f"{resource.kind} {metadata['name']} is there already and somebody else's; rename or remove it"
            raise RefusedError(f"{message} ({error})") from error

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        version = {"resourceVersion": live["metadata"]["resourceVersion"]}
        return await self._patch(live, {**changes, "metadata": version}, MERGE_PATCH)

    async def remove(self, live: Manifest, operations: list[Manifest]) -> Manifest:
        return await self._patch(live, operations, JSON_PATCH)

    async def delete(self, live: Manifest) -> None:
        resource = CHILDREN[live["kind"]]
        metadata = live["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        path = resource.path(metadata["namespace"], metadata["name"])
        try:
            await self._kube.request("DELETE", path, resource=resource.plural, body=options)
        except NotFoundError:
            return  # gone is what was wanted

    async def _patch(self, live: Manifest, body: Manifest | list[Manifest], content_type: str) -> Manifest:
        resource = CHILDREN[live["kind"]]
        metadata = live["metadata"]
        return await self._kube.request(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"]),
            resource=resource.plural,
            body=body,
            content_type=content_type,
            query=urlencode({"fieldManager": FIELD_MANAGER}),
        )
