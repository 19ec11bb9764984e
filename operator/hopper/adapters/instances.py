"""HopperInstances on the API server."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import MERGE_PATCH, Kube
from hopper.api.instance import HopperInstance, InstanceStatus, OwnerReference, dump_status
from hopper.api.names import FIELD_MANAGER, INSTANCE_PLURAL
from hopper.api.resources import INSTANCES
from hopper.domain.plan import MetadataChange

_MANAGER = urlencode({"fieldManager": FIELD_MANAGER})


class KubeInstances:
    """`ports.InstanceStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def write_metadata(self, instance: HopperInstance, change: MetadataChange) -> dict[str, Any]:
        metadata = {
            "resourceVersion": instance.metadata.resource_version,
            "ownerReferences": [_dump_reference(reference) for reference in change.owner_references],
            "finalizers": list(change.finalizers),
        }
        return await self._patch(instance, "", {"metadata": metadata})

    async def write_status(self, instance: HopperInstance, status: InstanceStatus) -> dict[str, Any]:
        metadata = {"resourceVersion": instance.metadata.resource_version}
        # A status that was never written reads as its defaults, but the API server does not have them.
        before = dump_status(instance.status) if instance.status.observed_generation else {}
        changes = merge_patch(before, dump_status(status))
        return await self._patch(instance, "/status", {"metadata": metadata, "status": changes})

    async def delete(self, instance: HopperInstance) -> None:
        preconditions = {"uid": instance.metadata.uid, "resourceVersion": instance.metadata.resource_version}
        options = {"preconditions": preconditions, "propagationPolicy": "Background"}
        path = INSTANCES.path(instance.namespace, instance.name)
        # A 409 says that it has changed, or that another one has the name by now: the watch will tell of it.
        await self._kube.request("DELETE", path, resource=INSTANCE_PLURAL, body=options)

    async def _patch(self, instance: HopperInstance, subresource: str, body: dict[str, Any]) -> dict[str, Any]:
        path = INSTANCES.path(instance.namespace, instance.name) + subresource
        return await self._kube.request(
            "PATCH",
            path,
            resource=INSTANCE_PLURAL + subresource,
            body=body,
            content_type=MERGE_PATCH,
            query=_MANAGER,
        )


def merge_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `old` into `new`; lists are replaced whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if nested := merge_patch(before, value):
                patch[key] = nested
        elif value != before or key not in old:
            patch[key] = value
    return patch


def _dump_reference(reference: OwnerReference) -> dict[str, Any]:
    wire = {
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "name": reference.name,
        "uid": reference.uid,
        "controller": reference.controller,
        "blockOwnerDeletion": reference.block_owner_deletion,
    }
    return {key: value for key, value in wire.items() if value is not None}
