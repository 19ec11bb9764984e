"""The API server as the gateway sees it: `ports.IntentStore` over objects in memory, with versions, merge patches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hopper.api.names import API_VERSION
from hopper.api.resources import Resource
from hopper.ports import ApiError, ConflictError, NotFoundError

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name
CREATED = "2026-03-01T11:00:00Z"


class Store:
    """Holds objects; `error` is raised instead of an answer. `written` hears of each object as it is afterwards."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.error: ApiError | None = None
        self.listeners: list[Callable[[str, Object], None]] = []
        self._version = 0

    def put(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Store an object as if somebody else had written it; return it as the API server sends it."""
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
        found = {"apiVersion": API_VERSION, "kind": resource.kind, **body, "metadata": metadata}
        self.objects[resource.plural, namespace, name] = found
        self._tell("MODIFIED" if old else "ADDED", found)
        return copy.deepcopy(found)

    async def read(self, resource: Resource, namespace: str, name: str) -> Object:
        self._fail()
        return copy.deepcopy(self._get(resource, namespace, name))

    async def create(self, resource: Resource, namespace: str, manifest: Object) -> Object:
        self._fail()
        name = manifest["metadata"]["name"]
        if (resource.plural, namespace, name) in self.objects:
            raise ConflictError(f'409: {resource.plural} "{name}" already exists', code=409)
        return self.put(resource, namespace, name, copy.deepcopy(manifest))

    async def patch(self, resource: Resource, namespace: str, name: str, changes: Object) -> Object:
        self._fail()
        old = self._get(resource, namespace, name)
        wanted = changes.get("metadata", {})
        for field in ("resourceVersion", "uid"):
            if field in wanted and wanted[field] != old["metadata"][field]:
                raise ConflictError("409: the object has been modified", code=409)
        return self.put(resource, namespace, name, merge(old, changes))

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
        """Delete an object. With `orphan`, what it owns stays, and is not owned any more."""
        self._fail()
        old = self._get(resource, namespace, name)
        if old["metadata"]["uid"] != uid or version not in (None, old["metadata"]["resourceVersion"]):
            raise ConflictError("409: precondition failed", code=409)
        del self.objects[resource.plural, namespace, name]
        self._tell("DELETED", old)

    def _get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise NotFoundError(f'404: {resource.plural} "{name}" not found', code=404)
        return found

    def _fail(self) -> None:
        if self.error:
            raise self.error

    def _tell(self, kind: str, raw: Object) -> None:
        for listener in self.listeners:
            listener(kind, copy.deepcopy(raw))


def merge(old: Any, changes: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
