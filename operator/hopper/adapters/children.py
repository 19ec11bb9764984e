"""The objects that instances own, written with server-side apply."""

from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from hopper.ports import ConflictError, NotFoundError, OccupiedError, RefusedError


class KubeChildren:
    """`ports.ChildStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        if force:
            return await self._apply(manifest, force=True)
        try:
            return await self._apply(_only_to_create(manifest), force=False)
        except ConflictError as error:
            await self._check_ours(manifest, error)
            return await self._apply(manifest, force=True)

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        version = {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
        return await self._patch(live, {**changes, "metadata": {**changes.get("metadata", {}), **version}}, MERGE_PATCH)

    async def remove(self, live: Manifest, operations: list[Manifest]) -> Manifest:
        return await self._patch(live, operations, JSON_PATCH)

    async def delete(self, live: Manifest) -> None:
        options = {"preconditions": {"uid": live["metadata"]["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._kube.request("DELETE", _path(live), resource=OWNED_RESOURCES[live["kind"]].plural, body=options)
        except NotFoundError:
            return  # gone is what was wanted

    async def _apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        resource = OWNED_RESOURCES[manifest["kind"]]
        return await self._kube.request(
            "PATCH",
            _path(manifest),
            resource=resource.plural,
            body=manifest,
            content_type=APPLY_PATCH,
            query=urlencode({"fieldManager": FIELD_MANAGER, "force": str(force).lower()}),
        )

    async def _check_ours(self, manifest: Manifest, conflict: ConflictError) -> None:
        """Look at what is there already. Raises `RefusedError` where it is a stranger's, `OccupiedError` to wait."""
        resource = OWNED_RESOURCES[manifest["kind"]]
        try:
            there = await self._kube.request("GET", _path(manifest), resource=resource.plural)
        except NotFoundError:
            raise conflict from None
        (owner,) = manifest["metadata"]["ownerReferences"]
        controller = _controller(there)
        leaving = "deletionTimestamp" in there["metadata"] or _is_predecessor(controller, owner)
        if leaving or _is_plain_owner(there, owner):
            name = manifest["metadata"]["name"]
            raise OccupiedError(f"{resource.kind} {name} of an earlier owner is not gone yet") from conflict
        if controller is None and _was_applied_by_us(there):
            return
        if controller is None or controller["uid"] != owner["uid"]:
            message = f"{resource.kind} {manifest['metadata']['name']} is there already and somebody else's"
            raise RefusedError(f"{message}: rename or remove it") from conflict

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


def _only_to_create(manifest: Manifest) -> Manifest:
    """Name a version that no object has: what exists already, which we may know nothing of, is a conflict then.

    Without it, an apply would merge ours into a stranger's object wherever the two do not contradict each other.
    """
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}


def _controller(there: Manifest) -> Manifest | None:
    return next((it for it in there["metadata"].get("ownerReferences", ()) if it.get("controller")), None)


def _is_predecessor(controller: Manifest | None, owner: Manifest) -> bool:
    """Tell whether an earlier instance of the same name owns it: garbage collection is on its way."""
    if controller is None or controller["uid"] == owner["uid"]:
        return False
    return (controller["kind"], controller["name"]) == (owner["kind"], owner["name"])


def _is_plain_owner(there: Manifest, owner: Manifest) -> bool:
    """Tell whether an instance was about to take it over: now that this did not happen, it comes back."""
    return any(
        it["uid"] == owner["uid"] and not it.get("controller") for it in there["metadata"].get("ownerReferences", ())
    )


def _was_applied_by_us(there: Manifest) -> bool:
    """Tell whether it is one of ours that somebody has stripped of everything else that says so."""
    entries = there["metadata"].get("managedFields", ())
    return any((it.get("manager"), it.get("operation")) == (FIELD_MANAGER, "Apply") for it in entries)
