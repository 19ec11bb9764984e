"""Writes of owned objects (Deployments, Services, …) with server-side apply."""

from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, KubeClient
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from hopper.ports import NotFoundError


class KubeOwnedObjects:
    """`ports.OwnedObjectStore` on an API server."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def read(self, manifest: Manifest) -> Manifest:
        plural = OWNED_RESOURCES[manifest["kind"]].plural
        return await self._kube.request("GET", _path(manifest), resource=plural)

    async def create(self, manifest: Manifest) -> Manifest:
        return await self._apply(_for_creation(manifest), force=False)

    async def apply(self, manifest: Manifest) -> Manifest:
        return await self._apply(manifest, force=True)

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        version = {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
        return await self._patch(live, {**changes, "metadata": {**changes.get("metadata", {}), **version}}, MERGE_PATCH)

    async def json_patch(self, live: Manifest, operations: list[Manifest]) -> Manifest:
        return await self._patch(live, operations, JSON_PATCH)

    async def delete(self, live: Manifest) -> None:
        options = {"preconditions": {"uid": live["metadata"]["uid"]}, "propagationPolicy": "Background"}
        plural = OWNED_RESOURCES[live["kind"]].plural
        try:
            await self._kube.request("DELETE", _path(live), resource=plural, body=options)
        except NotFoundError:
            return  # already deleted

    async def _apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        return await self._kube.request(
            "PATCH",
            _path(manifest),
            resource=OWNED_RESOURCES[manifest["kind"]].plural,
            body=manifest,
            content_type=APPLY_PATCH,
            query=urlencode({"fieldManager": FIELD_MANAGER, "force": str(force).lower()}),
        )

    async def _patch(self, live: Manifest, body: Manifest | list[Manifest], content_type: str) -> Manifest:
        return await self._kube.request(
            "PATCH",
            _path(live),
            resource=OWNED_RESOURCES[live["kind"]].plural,
            body=body,
            content_type=content_type,
            query=urlencode({"fieldManager": FIELD_MANAGER}),
        )


def _path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return OWNED_RESOURCES[manifest["kind"]].path(metadata["namespace"], metadata["name"])


def _for_creation(manifest: Manifest) -> Manifest:
    """Return the manifest with a resourceVersion that no object has, so that an existing object causes a conflict.

    Without it, server-side apply would merge the manifest into an unrelated object wherever their fields do not clash.
    """
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}
