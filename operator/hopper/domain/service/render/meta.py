"""What all rendered objects have in common."""

from typing import Any

from hopper.api.names import API_VERSION, INSTANCE_KIND
from hopper.domain.service.blueprint import Blueprint

Manifest = dict[str, Any]


def manifest(blueprint: Blueprint, api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object of the instance: named, labelled, and owned by it."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "name": blueprint.instance.name,
        "uid": blueprint.instance.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {
        "name": name,
        "namespace": blueprint.names.namespace,
        "labels": dict(blueprint.names.labels),
        "ownerReferences": [owner],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
