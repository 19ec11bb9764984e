"""`ports.IntentStore` over objects in memory, with resource versions, preconditions and merge patches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hopper.api.names import API_VERSION
from hopper.api.resources import Manifest, Resource
from hopper.ports import ApiError, ConflictError, NotFoundError

StoreKey = tuple[str, str, str]  # plural, namespace, name
CREATED = "2026-03-01T11:00:00Z"


class InMemoryObjects:
    """Objects as an API server would store them.

    If `error` is set, every request raises it. `listeners` are called with each watch event.
    """

    def __init__(self) -> None:
        self.objects: dict[StoreKey, Manifest] = {}
        self.error: ApiError | None = None
        self.listeners: list[Callable[[str, Manifest], None]] = []
        self._version = 0

    def put(self, resource: Resource, namespace: str, name: str, body: Manifest) -> Manifest:
        """Store an object as if another client had written it; return it as the API server would."""
        self._version += 1
        old = self.objects.get((resource.plural, namespace, name))
        metadata = {
            "uid": f"uid-{name}-{self._version}",
            "creationTimestamp": CREATED,
            "generation": 0,
            **(old["metadata"] if old else {}),
            **body.get("metadata", {}),
            "name": name,
            "namespace": namespace,
            "resourceVersion": str(self._version),
            "managedFields": [{"time": CREATED}],
        }
        if old is None or old.get("spec") != body.get("spec"):
            metadata["generation"] += 1
        stored = {"apiVersion": API_VERSION, "kind": resource.kind, **body, "metadata": metadata}
        self.objects[resource.plural, namespace, name] = stored
        self._notify("MODIFIED" if old else "ADDED", stored)
        return copy.deepcopy(stored)

    async def read(self, resource: Resource, namespace: str, name: str) -> Manifest:
        self._raise_error()
        return copy.deepcopy(self._get(resource, namespace, name))

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        self._raise_error()
        name = manifest["metadata"]["name"]
        if (resource.plural, namespace, name) in self.objects:
            raise ConflictError(f'409: {resource.plural} "{name}" already exists', code=409)
        return self.put(resource, namespace, name, copy.deepcopy(manifest))

    async def patch(self, resource: Resource, namespace: str, name: str, changes: Manifest) -> Manifest:
        self._raise_error()
        old = self._get(resource, namespace, name)
        preconditions = changes.get("metadata", {})
        for field in ("resourceVersion", "uid"):
            if field in preconditions and preconditions[field] != old["metadata"][field]:
                raise ConflictError("409: the object has been modified", code=409)
        return self.put(resource, namespace, name, apply_merge_patch(old, changes))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        version: str | None = None,
        orphan: bool = False,
    ) -> None:
        """Delete an object. `orphan` has no effect, because nothing here deletes dependents."""
        self._raise_error()
        old = self._get(resource, namespace, name)
        if old["metadata"]["uid"] != uid or version not in (None, old["metadata"]["resourceVersion"]):
            raise ConflictError("409: precondition failed", code=409)
        del self.objects[resource.plural, namespace, name]
        self._notify("DELETED", old)

    def _get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        stored = self.objects.get((resource.plural, namespace, name))
        if stored is None:
            raise NotFoundError(f'404: {resource.plural} "{name}" not found', code=404)
        return stored

    def _raise_error(self) -> None:
        if self.error:
            raise self.error

    def _notify(self, event_type: str, raw: Manifest) -> None:
        for listener in self.listeners:
            listener(event_type, copy.deepcopy(raw))


def apply_merge_patch(old: Any, changes: Any) -> Any:
    """Return a value after a JSON merge patch (RFC 7386)."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_merge_patch(merged.get(key), value)
    return merged
