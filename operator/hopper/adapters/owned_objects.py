"""Writes of owned objects (Deployments, Services, …) with server-side apply."""

from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from hopper.ports import ConflictError, NameInUseError, NotFoundError, RefusedError


class KubeOwnedObjects:
    """`ports.OwnedObjectStore` on an API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        if force:
            return await self._apply(manifest, force=True)
        try:
            return await self._apply(_for_creation(manifest), force=False)
        except ConflictError as error:
            await self._raise_unless_ours(manifest, error)
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

    async def _raise_unless_ours(self, manifest: Manifest, conflict: ConflictError) -> None:
        """Read the existing object and check that the operator may apply to it.

        Raises `NameInUseError` while an earlier owner's object is being deleted, and `RefusedError` if the object
        belongs to another owner.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        try:
            live = await self._kube.request("GET", _path(manifest), resource=OWNED_RESOURCES[kind].plural)
        except NotFoundError:
            raise conflict from None
        (owner,) = manifest["metadata"]["ownerReferences"]
        controller = _controller_of(live)
        is_leaving = "deletionTimestamp" in live["metadata"] or _is_predecessor(controller, owner)
        if is_leaving or _has_plain_owner(live, owner):
            message = f"{kind} {name} still exists and belongs to an earlier owner: wait until it is deleted"
            raise NameInUseError(message) from conflict
        if controller is None and _is_applied_by_operator(live):
            return
        if controller is None or controller["uid"] != owner["uid"]:
            message = f"{kind} {name} already exists and belongs to another owner: rename or delete it"
            raise RefusedError(message) from conflict

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


def _controller_of(live: Manifest) -> Manifest | None:
    references = live["metadata"].get("ownerReferences", ())
    return next((reference for reference in references if reference.get("controller")), None)


def _is_predecessor(controller: Manifest | None, owner: Manifest) -> bool:
    """Whether an earlier instance of the same name is the controller, so that garbage collection is under way."""
    if controller is None or controller["uid"] == owner["uid"]:
        return False
    return (controller["kind"], controller["name"]) == (owner["kind"], owner["name"])


def _has_plain_owner(live: Manifest, owner: Manifest) -> bool:
    """Whether the instance is an owner but not the controller: a takeover that was cancelled is being undone."""
    references = live["metadata"].get("ownerReferences", ())
    return any(reference["uid"] == owner["uid"] and not reference.get("controller") for reference in references)


def _is_applied_by_operator(live: Manifest) -> bool:
    """Whether the operator applied the object, even if its labels and owner were removed since."""
    entries = live["metadata"].get("managedFields", ())
    return any((entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply") for entry in entries)
