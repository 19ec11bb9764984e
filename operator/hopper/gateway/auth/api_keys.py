"""Authentication with API keys, for programs without a Kubernetes user. The gateway watches Secrets with their hashes.

A Secret with the label `hopper.dev/api-keys: "true"` holds one key per entry: the name of the key, and as value a JSON
object with `hash`, `role`, and optionally `namespaces`, `instances`, `expires` and `description`.

A key is valid in the namespace of its Secret. Only a Secret in the gateway's own namespace can make it valid in other
namespaces, so that write access to Secrets of one namespace gives no access to others. Several Secrets may hold the
same key, which then has the permissions of all of them.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hopper.api.names import LABEL_API_KEYS
from hopper.api.resources import DEPLOYMENTS, INSTANCES, TEMPLATES, NamespacedName
from hopper.gateway.auth.authority import Caller, Permission, Purpose
from hopper.gateway.auth.tokens import bearer_token
from hopper.gateway.http.errors import UnauthorizedError
from hopper.process.system import wall_clock

logger = logging.getLogger(__name__)

SELECTOR = f"{LABEL_API_KEYS}=true"
PREFIX = "hopper_"
DESCRIPTION_LIMIT = 255
# Keys are random and long, so that a slow hash would not make them any safer.
_KEY_BYTES = 32
_READ_VERBS = frozenset({"get", "list", "watch"})
_CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="hopper"'}


class KeyRole(StrEnum):
    """Permissions of a key.

    - `view`: read instances and templates
    - `beat`: send heartbeats of the key's instances
    - `work`: claim and complete tasks of the key's instances, once there are tasks
    - `operate`: `view`, and lifecycle actions
    - `edit`: `operate`, and all changes of instances except those that decide what code runs
    - `admin`: everything, including templates
    """

    VIEW = "view"
    BEAT = "beat"
    WORK = "work"
    OPERATE = "operate"
    EDIT = "edit"
    ADMIN = "admin"

    @property
    def names_instances(self) -> bool:
        """Whether keys with this role are for some instances only."""
        return self in (KeyRole.BEAT, KeyRole.WORK)

    def allows(self, permission: Permission) -> bool:
        """Whether the role includes a permission. A role that names instances is asked about one of them."""
        match self:
            case KeyRole.ADMIN:
                return True
            case KeyRole.BEAT:
                return permission.resource == INSTANCES and permission.subresource == "heartbeat"
            case KeyRole.WORK:
                return False
        if permission.verb in _READ_VERBS and not permission.subresource:
            return permission.resource in (INSTANCES, TEMPLATES)
        if self is KeyRole.OPERATE:
            return permission.resource == INSTANCES and permission.purpose is Purpose.ACTION
        may_run = permission.resource == DEPLOYMENTS and permission.purpose is not Purpose.CODE
        return self is KeyRole.EDIT and (permission.resource == INSTANCES or may_run)


class KeyEntry(BaseModel):
    """An entry of a Secret. `namespaces` defaults to the Secret's own namespace; `*` means all."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    role: KeyRole = KeyRole.VIEW
    namespaces: tuple[str, ...] | None = None
    instances: tuple[str, ...] | None = None
    expires: datetime | None = None
    description: Annotated[str | None, Field(max_length=DESCRIPTION_LIMIT)] = None

    @model_validator(mode="after")
    def _check_instances(self) -> Self:
        if self.role.names_instances != bool(self.instances):
            needs = "needs" if self.role.names_instances else "takes no"
            raise ValueError(f"role {self.role} {needs} instances")
        return self


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A valid key, with the permissions that one Secret gives it."""

    name: str
    role: KeyRole
    namespaces: frozenset[str]
    instances: frozenset[str]
    expires: datetime | None

    def allows(self, permission: Permission, namespace: str) -> bool:
        if self.role.names_instances and permission.name not in self.instances:
            return False
        return bool({"*", namespace} & self.namespaces) and self.role.allows(permission)


@dataclass(frozen=True, slots=True)
class KeyCaller(Caller):
    """A caller with a key, which several Secrets may contain."""

    keys: tuple[ApiKey, ...]


def new_key() -> str:
    """Return a new random key."""
    return PREFIX + token_urlsafe(_KEY_BYTES)


def hash_of(key: str) -> str:
    """Return the hash of a key for the `hash` field of its entry."""
    return "sha256:" + sha256(key.encode(errors="surrogateescape")).hexdigest()


def api_key_secret(
    name: str,
    key: str,
    role: KeyRole,
    namespaces: tuple[str, ...],
    expires: datetime | None,
    *,
    instances: tuple[str, ...] = (),
    description: str | None = None,
) -> dict[str, Any]:
    """Return the manifest of a Secret for a key. No `namespaces` means the namespace of the Secret."""
    entry = KeyEntry(
        hash=hash_of(key),
        role=role,
        namespaces=namespaces or None,
        instances=instances or None,
        expires=expires,
        description=description,
    )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"hopper-api-key-{name}", "labels": {LABEL_API_KEYS: "true"}},
        "stringData": {name: entry.model_dump_json(exclude_none=True)},
    }


class ApiKeyAuthority:
    """`Authority` for API keys. The watch of Secrets feeds it, so that a removed key becomes invalid at once."""

    scheme: str | None = "apiKey"

    def __init__(self, own_namespace: str, clock: Callable[[], datetime] = wall_clock) -> None:
        self._own_namespace = own_namespace
        self._clock = clock
        self._secrets: dict[NamespacedName, tuple[str, dict[str, ApiKey]]] = {}  # uid, keys by hash

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Store a version of a Secret; return whether its keys have changed."""
        metadata = raw["metadata"]
        secret = metadata["namespace"], metadata["name"]
        entries = (raw.get("data") or {}).items()
        keys = dict(filter(None, (self._parse(*secret, name, encoded) for name, encoded in entries)))
        is_changed = self._secrets.get(secret) != (metadata["uid"], keys)
        self._secrets[secret] = metadata["uid"], keys
        return is_changed

    def remove(self, raw: Mapping[str, Any]) -> bool:
        """Remove a deleted Secret; return whether it was known."""
        metadata = raw["metadata"]
        cached = self._secrets.get((metadata["namespace"], metadata["name"]))
        if cached is None or cached[0] != metadata["uid"]:
            return False
        del self._secrets[metadata["namespace"], metadata["name"]]
        return True

    def uids(self) -> dict[NamespacedName, str]:
        """Return the uids of all known Secrets by namespace and name."""
        return {secret: uid for secret, (uid, _) in self._secrets.items()}

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        sent = headers.get("x-api-key") or bearer_token(headers)
        if not sent:
            raise UnauthorizedError("an API key is required: send the header X-API-Key: <key>", headers=_CHALLENGE)
        digest, now = hash_of(sent), self._clock()
        # Every hash is compared, in constant time, so that the duration tells nothing about the known hashes.
        matches = {
            secret: key
            for secret, (_, keys) in self._secrets.items()
            for known_digest, key in keys.items()
            if compare_digest(known_digest, digest)
        }
        valid = {secret: key for secret, key in matches.items() if key.expires is None or key.expires > now}
        if not valid:
            raise UnauthorizedError("the API key is unknown or has expired", headers=_CHALLENGE)
        # A Secret in the gateway's own namespace comes first, so that other namespaces cannot rename its key.
        secrets = sorted(valid, key=lambda secret: (secret[0] != self._own_namespace, secret))
        keys = tuple(valid[secret] for secret in secrets)
        return KeyCaller(f"key:{keys[0].name}", keys)

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        assert isinstance(caller, KeyCaller)
        return any(key.allows(permission, namespace) for key in caller.keys)

    def _parse(self, namespace: str, secret: str, name: str, encoded: str) -> tuple[str, ApiKey] | None:
        """Return hash and key of an entry; None if it is invalid."""
        try:
            entry = KeyEntry.model_validate_json(base64.b64decode(encoded, validate=True))
        except (ValidationError, binascii.Error, TypeError) as error:
            logger.error("Secret %s/%s: ignoring invalid API key %s: %s", namespace, secret, name, error)
            return None
        namespaces = frozenset(entry.namespaces or (namespace,))
        if namespace != self._own_namespace:
            namespaces = frozenset({namespace} if namespaces & {namespace, "*"} else ())
        expires = entry.expires.replace(tzinfo=entry.expires.tzinfo or UTC) if entry.expires else None
        return entry.hash, ApiKey(name, entry.role, namespaces, frozenset(entry.instances or ()), expires)
