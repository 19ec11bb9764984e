"""What all rendered objects have in common."""

from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, INSTANCE_KIND
from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint


def owner_reference(instance: HopperInstance) -> Manifest:
    """Return what makes an instance the controller of an object."""
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "name": instance.name,
        "uid": instance.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def manifest(blueprint: Blueprint, api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object of the instance: named, labelled, and owned by it."""
    metadata = {
        "name": name,
        "namespace": blueprint.names.namespace,
        "labels": dict(blueprint.names.labels),
        "ownerReferences": [owner_reference(blueprint.instance)],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
