"""References to Secrets in templates and overrides, and secret values that the gateway moves into Secrets.

Everyone who can read an instance or template could read a secret value in it. The gateway therefore writes the values
into a Secret that the object owns. Each write has a Secret of its own: the gateway then needs no permission to read
Secrets, and a new value has a new reference, which rolls the workload out. Garbage collection deletes the Secrets
together with the object.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from hopper.api.model import Metadata
from hopper.api.names import API_VERSION, LABEL_MANAGED_BY, LABEL_SECRET_VALUES, MANAGED_BY
from hopper.api.resources import Manifest, Resource
from hopper.gateway.access import Access
from hopper.gateway.views.secret_values import VALUES_PREFIX
from hopper.ports import ApiError

_MAX_OWNER = 200


def secret_references(service: Manifest) -> dict[str, str]:
    """Return the names of the Secrets that a template or overrides refer to, each with the path of one reference."""
    sources = [(f"env[{entry.get('name')}]", entry.get("valueFrom")) for entry in service.get("env") or ()]
    files = service.get("configFiles") or ()
    sources += [(f"configFiles[{entry.get('path')}]", entry.get("contentFrom")) for entry in files]
    references = ((field, (source or {}).get("secretKeyRef")) for field, source in sources)
    return {reference["name"]: field for field, reference in references if reference}


@dataclass(frozen=True, slots=True)
class SecretValues:
    """Values for a new Secret, by variable."""

    name: str
    values: Mapping[str, str]

    def manifest(self, owner: Manifest) -> Manifest:
        """Return the manifest of the Secret."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.name,
                "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_SECRET_VALUES: "true"},
                "ownerReferences": [owner],
            },
            "type": "Opaque",
            "immutable": True,
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in self.values.items()},
        }


def move_secret_values(
    service: Manifest,
    owner: str,
    inherited: Collection[str] | None = (),
    copied: Mapping[str, Mapping[str, str]] = {},
) -> tuple[Manifest, SecretValues | None]:
    """Return a template or overrides with references instead of secret values, and the values.

    `owner` is part of the name of the Secret. `inherited` are the variables that are secret in the template of an
    instance; None if the template is unknown, so that every variable may be secret. `copied` has the values of the
    Secrets that the gateway has made for another instance; references to them are replaced.
    """
    name = f"{VALUES_PREFIX}{owner[:_MAX_OWNER]}-{token_hex(6)}"
    values: dict[str, str] = {}
    env = []
    for entry in service.get("env") or ():
        value = _secret_value(entry, inherited, copied)
        if value is not None:
            values[entry["name"]] = value
            reference = {"secretKeyRef": {"name": name, "key": entry["name"]}}
            entry = {**entry, "secret": True, "valueFrom": reference}
            entry.pop("value", None)
        env.append(entry)
    return ({**service, "env": env}, SecretValues(name, values)) if values else (service, None)


def _secret_value(
    entry: Mapping[str, Any], inherited: Collection[str] | None, copied: Mapping[str, Mapping[str, str]]
) -> str | None:
    """Return the value of a variable if it must move to a new Secret."""
    value: str | None = entry.get("value")
    if value is not None:
        return value if is_secret(entry, inherited) else None
    reference = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
    return copied.get(reference.get("name", ""), {}).get(reference.get("key", ""))


def is_secret(entry: Mapping[str, Any], inherited: Collection[str] | None) -> bool:
    """Whether the value of a variable is secret, by itself or because of the template."""
    if entry.get("secret") is not None:
        return bool(entry["secret"])
    return inherited is None or entry["name"] in inherited


async def write_secret_values(access: Access, values: SecretValues, resource: Resource, owner: Metadata) -> None:
    """Write the Secret of an instance or template that exists, because the Secret needs its uid."""
    reference = {"apiVersion": API_VERSION, "kind": resource.kind, "name": owner.name, "uid": owner.uid}
    await access.context.secret_values.create(access.namespace, values.manifest(reference))


async def write_secret_values_of_new(access: Access, values: SecretValues, resource: Resource, owner: Metadata) -> None:
    """Write the Secret of an object that was just created. If that fails, the object is deleted again."""
    try:
        await write_secret_values(access, values, resource, owner)
    except ApiError:
        await access.context.intents.delete(resource, access.namespace, owner.name, uid=owner.uid)
        raise
