"""Writes of HopperInstances and HopperTemplates by the operator."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import MERGE_PATCH, KubeClient
from hopper.api.instance import HopperInstance, InstanceStatus, dump_status
from hopper.api.model import OwnerReference
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import INSTANCES, TEMPLATES, Manifest, Resource
from hopper.api.template import HopperTemplate, TemplateStatus, dump_template_status
from hopper.domain.plan import MetadataChange


class KubeInstances:
    """`ports.InstanceStore` on an API server."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def write_metadata(self, instance: HopperInstance, change: MetadataChange) -> Manifest:
        metadata = {
            "resourceVersion": instance.metadata.resource_version,
            "ownerReferences": [_dump_reference(reference) for reference in change.owner_references],
            "finalizers": list(change.finalizers),
        }
        return await _patch(self._kube, INSTANCES, instance, {"metadata": metadata})

    async def write_status(self, instance: HopperInstance, status: InstanceStatus) -> Manifest:
        before = dump_status(instance.status) if instance.status.observed_generation else {}
        return await _patch_status(self._kube, INSTANCES, instance, before, dump_status(status))

    async def delete(self, instance: HopperInstance) -> None:
        preconditions = {"uid": instance.metadata.uid, "resourceVersion": instance.metadata.resource_version}
        options = {"preconditions": preconditions, "propagationPolicy": "Background"}
        path = INSTANCES.path(instance.namespace, instance.name)
        # A 409 means that the instance has changed or was replaced; a watch event for that follows.
        await self._kube.request("DELETE", path, resource=INSTANCES.plural, body=options)


class KubeTemplates:
    """`ports.TemplateStore` on an API server."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def write_status(self, template: HopperTemplate, status: TemplateStatus) -> Manifest:
        before = dump_template_status(template.status) if template.status.observed_generation else {}
        return await _patch_status(self._kube, TEMPLATES, template, before, dump_template_status(status))


async def _patch_status(
    kube: KubeClient, resource: Resource, written: HopperInstance | HopperTemplate, before: Manifest, after: Manifest
) -> Manifest:
    """Write the difference between two statuses.

    `before` is empty for the first status, because the model has defaults that the API server does not store.
    """
    metadata = {"resourceVersion": written.metadata.resource_version}
    body = {"metadata": metadata, "status": merge_patch(before, after)}
    return await _patch(kube, resource, written, body, "/status")


async def _patch(
    kube: KubeClient,
    resource: Resource,
    written: HopperInstance | HopperTemplate,
    body: Manifest,
    subresource: str = "",
) -> Manifest:
    return await kube.request(
        "PATCH",
        resource.path(written.namespace, written.name) + subresource,
        resource=resource.plural + subresource,
        body=body,
        content_type=MERGE_PATCH,
        query=urlencode({"fieldManager": FIELD_MANAGER}),
    )


def merge_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `old` into `new`. Lists are replaced as a whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if nested := merge_patch(before, value):
                patch[key] = nested
        elif key not in old or not _is_equal_json(value, before):
            patch[key] = value
    return patch


def _is_equal_json(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal. Python also considers True and 1 equal, and False and 0."""
    if left != right:
        return False
    if isinstance(left, dict):
        return all(_is_equal_json(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return all(map(_is_equal_json, left, right))
    return isinstance(left, bool) == isinstance(right, bool)


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
