"""API keys of the gateway in the Secrets of a namespace, read and removed with the permissions of the user."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

from hopper.adapters.kube import JSON_PATCH
from hopper.api.resources import SECRETS, Manifest
from hopper.gateway.auth.api_keys import SELECTOR, KeyEntry
from hopper.ports import NotFoundError

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient

_MANAGER = urlencode({"fieldManager": "hopper"})


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An entry of a Secret. `entry` is None if the gateway ignores it, because it is invalid."""

    HEADINGS: ClassVar[tuple[str, ...]] = (
        "NAME",
        "ROLE",
        "INSTANCES",
        "NAMESPACES",
        "EXPIRES",
        "SECRET",
        "DESCRIPTION",
    )

    name: str
    secret: str
    namespace: str
    entry: KeyEntry | None

    def row(self) -> tuple[str, ...]:
        """Return the cells of the key in a table."""
        entry = self.entry
        if entry is None:
            return self.name, "(invalid)", "", "", "", self.secret, ""
        expires = f"{entry.expires:%Y-%m-%d %H:%M}" if entry.expires else "never"
        instances, namespaces = ",".join(entry.instances or ("*",)), ",".join(entry.namespaces or (self.namespace,))
        return self.name, entry.role.value, instances, namespaces, expires, self.secret, entry.description or ""


async def read_api_keys(kube: KubeClient, namespace: str) -> list[StoredKey]:
    """Return the API keys in a namespace, sorted by name."""
    stored = [
        StoredKey(name, secret["metadata"]["name"], namespace, _parse(encoded))
        for secret in await _read_secrets(kube, namespace)
        for name, encoded in (secret.get("data") or {}).items()
    ]
    return sorted(stored, key=lambda key: (key.name, key.secret))


async def remove_api_key(kube: KubeClient, namespace: str, name: str) -> list[str]:
    """Remove a key from all Secrets of a namespace; return their names. A Secret without other keys is deleted."""
    removed = []
    for secret in await _read_secrets(kube, namespace):
        data, metadata = secret.get("data") or {}, secret["metadata"]
        if name not in data:
            continue
        path = SECRETS.path(namespace, metadata["name"])
        try:
            if len(data) == 1:
                body: Manifest = {
                    "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
                }
                await kube.request("DELETE", path, resource=SECRETS.plural, body=body)
            else:
                operations = [{"op": "remove", "path": f"/data/{name}"}]
                await kube.request(
                    "PATCH", path, resource=SECRETS.plural, body=operations, content_type=JSON_PATCH, query=_MANAGER
                )
        except NotFoundError:
            continue
        removed.append(metadata["name"])
    return removed


async def _read_secrets(kube: KubeClient, namespace: str) -> list[Manifest]:
    query = urlencode({"labelSelector": SELECTOR})
    response = await kube.request("GET", SECRETS.path(namespace), resource=SECRETS.plural, query=query)
    secrets: list[Manifest] = response["items"]
    return secrets


def _parse(encoded: str) -> KeyEntry | None:
    try:
        return KeyEntry.model_validate_json(base64.b64decode(encoded, validate=True))
    except ValueError:
        return None
