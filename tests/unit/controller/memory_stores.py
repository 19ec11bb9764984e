"""Stores of the controller's ports, in memory: what the API server would hold, and how often it was written to."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.model import OwnerReference
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import Manifest, ObjectKey
from hopper.domain.objects import object_key
from hopper.domain.plan import MetadataChange
from hopper.ports import ConflictError, NotFoundError, RefusedError

WIRE: TypeAdapter[HopperInstance] = TypeAdapter(HopperInstance)

# Returns why the API server refuses the object as it would become; None accepts it.
Policy = Callable[[Manifest], str | None]


class InstanceMemory:
    """An `InstanceStore` that answers a write after some seconds, and may refuse deletions."""

    def __init__(self, seconds: float = 0.0, *, deletion_refusal: str = "") -> None:
        self.versions = 100
        self.deletions = 0
        self.statuses: list[InstanceStatus] = []
        self._seconds = seconds
        self._deletion_refusal = deletion_refusal

    async def write_metadata(self, written: HopperInstance, change: MetadataChange) -> dict[str, Any]:
        return await self._answer(written, written.status, change.owner_references)

    async def write_status(self, written: HopperInstance, status: InstanceStatus) -> dict[str, Any]:
        self.statuses.append(status)
        return await self._answer(written, status, written.metadata.owner_references)

    async def delete(self, deleted: HopperInstance) -> None:
        self.deletions += 1
        if self._deletion_refusal:
            raise RefusedError(self._deletion_refusal, code=403)

    async def _answer(
        self, written: HopperInstance, status: InstanceStatus, owners: tuple[OwnerReference, ...]
    ) -> dict[str, Any]:
        await asyncio.sleep(self._seconds)
        self.versions += 1
        metadata = replace(written.metadata, resource_version=str(self.versions), owner_references=owners)
        return WIRE.dump_python(replace(written, metadata=metadata, status=status), mode="json", by_alias=True)


class ObjectMemory:
    """A store of owned objects. Server-side apply merges mappings and replaces lists."""

    def __init__(self, policy: Policy = lambda candidate: None) -> None:
        self.objects: dict[ObjectKey, Manifest] = {}
        self.writes: list[str] = []  # accepted or not, such as "create Service"
        self.policy = policy
        self._versions = 100

    def put(self, manifest: Manifest, *, manager: str = "kubectl", operation: str = "Update") -> Manifest:
        """Write an object past the operator."""
        live = copy.deepcopy(manifest)
        entries = [entry for entry in live["metadata"].get("managedFields", ()) if entry["manager"] != manager]
        live["metadata"]["managedFields"] = [*entries, {"manager": manager, "operation": operation}]
        live["metadata"].setdefault("uid", f"uid-{object_key(manifest)}")
        live["metadata"].setdefault("generation", 1)
        if live["kind"] == "Deployment":
            live["status"] = _complete(live)
        self._versions += 1
        live["metadata"]["resourceVersion"] = str(self._versions)
        self.objects[object_key(manifest)] = live
        return copy.deepcopy(live)

    async def read(self, manifest: Manifest) -> Manifest:
        if object_key(manifest) not in self.objects:
            raise NotFoundError("not found", code=404)
        return copy.deepcopy(self.objects[object_key(manifest)])

    async def create(self, manifest: Manifest) -> Manifest:
        self.writes.append(f"create {manifest['kind']}")
        if object_key(manifest) in self.objects:
            raise ConflictError("exists", code=409)
        return self._admit(manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        self.writes.append(f"apply {manifest['kind']}")
        return self._admit(_merged(self.objects.get(object_key(manifest), {}), manifest))

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        self.writes.append(f"patch {live['kind']}")
        return self._admit(_merged(self.objects[object_key(live)], changes))

    async def json_patch(self, live: Manifest, operations: list[Manifest]) -> Manifest:
        self.writes.append(f"remove fields of {live['kind']}")
        changed = copy.deepcopy(self.objects[object_key(live)])
        for operation in operations:
            *path, last = operation["path"].removeprefix("/").split("/")
            place: Any = changed
            for step in path:
                place = place[int(step) if isinstance(place, list) else step.replace("~1", "/")]
            if operation["op"] == "remove":
                del place[last.replace("~1", "/")]
            elif operation["path"] == "/metadata/resourceVersion":
                if place[last] != operation["value"]:
                    raise ConflictError("changed", code=409)
            else:
                place[last] = operation["value"]
        return self._admit(changed)

    async def delete(self, live: Manifest) -> None:
        self.writes.append(f"delete {live['kind']}")
        self.objects.pop(object_key(live), None)

    def _admit(self, candidate: Manifest) -> Manifest:
        if reason := self.policy(candidate):
            raise RefusedError(reason, code=403)
        return self.put(candidate, manager=FIELD_MANAGER, operation="Apply")


class SilentEvents:
    """An event recorder that records nothing."""

    def record(self, about: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        pass


def _complete(deployment: Manifest) -> Manifest:
    """Return the status of a Deployment whose pods are all available."""
    pods = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), deployment["spec"]["replicas"])
    return {"observedGeneration": deployment["metadata"]["generation"], **pods}


def _merged(live: Any, wanted: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return copy.deepcopy(wanted)
    merged = copy.deepcopy(live)
    for name, value in wanted.items():
        merged[name] = _merged(live.get(name), value)
    return merged
