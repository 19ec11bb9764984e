"""API keys: for programs that are no users of the cluster. They are kept, hashed, in Secrets that the gateway watches.

A Secret with the label `hopper.dev/api-keys: "true"` holds one key an entry: its name, and as value a JSON object with
`hash`, `role`, and maybe `namespaces` and `expires`. A key is good for the namespace of its Secret; for others only
where the Secret is in the gateway's own namespace: whoever may write Secrets somewhere gets no power elsewhere by it.
The same key may stand in several Secrets, and is good for what each of them says.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hopper.api.names import LABEL_API_KEYS
from hopper.api.resources import INSTANCES, NamespacedName
from hopper.gateway.auth.authority import Caller, Permission
from hopper.gateway.auth.tokens import bearer
from hopper.gateway.http.errors import UnauthorizedError
from hopper.process.system import wall_clock

logger = logging.getLogger(__name__)

SELECTOR = f"{LABEL_API_KEYS}=true"
PREFIX = "hopper_"
# Keys are random and long: nothing is gained by a slow hash.
_BYTES = 32
_READS = frozenset({"get", "list", "watch"})
_CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="hopper"'}


class Role(StrEnum):
    """What a key is good for: reading; instances; templates as well, which say what runs."""

    VIEW = "view"
    EDIT = "edit"
    ADMIN = "admin"

    def allows(self, permission: Permission) -> bool:
        if self is Role.VIEW:
            return permission.verb in _READS
        return self is Role.ADMIN or permission.verb in _READS or permission.resource == INSTANCES


class KeyEntry(BaseModel):
    """One key as it stands in a Secret. `namespaces` left out is that of the Secret; `*` is all."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    role: Role = Role.VIEW
    namespaces: tuple[str, ...] | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that is accepted, as one Secret has it."""

    name: str
    role: Role
    namespaces: frozenset[str]
    expires: datetime | None

    def allows(self, permission: Permission, namespace: str) -> bool:
        return bool({"*", namespace} & self.namespaces) and self.role.allows(permission)


@dataclass(frozen=True, slots=True)
class KeyCaller(Caller):
    """A program with a key, and what each Secret says of it."""

    keys: tuple[ApiKey, ...]


def new_key() -> str:
    """Return a key that nobody has."""
    return PREFIX + token_urlsafe(_BYTES)


def hash_of(key: str) -> str:
    """Return what is kept of a key."""
    return "sha256:" + sha256(key.encode(errors="surrogateescape")).hexdigest()


def secret_of(name: str, key: str, role: Role, namespaces: tuple[str, ...], expires: datetime | None) -> dict[str, Any]:
    """Return a Secret that has a key accepted in the namespace it is put into, or in those that are named."""
    entry = KeyEntry(hash=hash_of(key), role=role, namespaces=namespaces or None, expires=expires)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"hopper-api-key-{name}", "labels": {LABEL_API_KEYS: "true"}},
        "stringData": {name: entry.model_dump_json(exclude_none=True)},
    }


class ApiKeys:
    """`Authority` by keys. Fed by the watch: a key that is taken out of its Secret is not accepted any more at once."""

    scheme: str | None = "apiKey"

    def __init__(self, own_namespace: str, clock: Callable[[], datetime] = wall_clock) -> None:
        self._own_namespace = own_namespace
        self._now = clock
        self._secrets: dict[NamespacedName, tuple[str, dict[str, ApiKey]]] = {}  # uid, and keys by hash

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take in a version of a Secret."""
        metadata = raw["metadata"]
        where = metadata["namespace"], metadata["name"]
        keys = dict(filter(None, (self._read(*where, name, it) for name, it in (raw.get("data") or {}).items())))
        news = self._secrets.get(where) != (metadata["uid"], keys)
        self._secrets[where] = metadata["uid"], keys
        return news

    def remove(self, raw: Mapping[str, Any]) -> bool:
        """Take in that a Secret is gone."""
        metadata = raw["metadata"]
        known = self._secrets.get((metadata["namespace"], metadata["name"]))
        if known is None or known[0] != metadata["uid"]:
            return False
        del self._secrets[metadata["namespace"], metadata["name"]]
        return True

    def uids(self) -> dict[NamespacedName, str]:
        """Return all Secrets known: uids by namespace and name."""
        return {where: uid for where, (uid, _) in self._secrets.items()}

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        sent = headers.get("x-api-key") or bearer(headers)
        if not sent:
            raise UnauthorizedError("send a key: X-API-Key: …", headers=_CHALLENGE)
        digest, now = hash_of(sent), self._now()
        known = {where: keys[digest] for where, (_, keys) in self._secrets.items() if digest in keys}
        good = {where: key for where, key in known.items() if key.expires is None or key.expires > now}
        if not good:
            raise UnauthorizedError("this key is not accepted", headers=_CHALLENGE)
        # It is called what its Secret at home calls it, if there is one: others must not give it a name.
        found = [good[where] for where in sorted(good, key=lambda it: (it[0] != self._own_namespace, it))]
        return KeyCaller(f"key:{found[0].name}", tuple(found))

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        assert isinstance(caller, KeyCaller)
        return any(key.allows(permission, namespace) for key in caller.keys)

    def _read(self, namespace: str, secret: str, name: str, encoded: str) -> tuple[str, ApiKey] | None:
        try:
            entry = KeyEntry.model_validate_json(base64.b64decode(encoded, validate=True))
        except (ValidationError, binascii.Error, TypeError) as error:
            logger.error("Secret %s/%s: entry %s is no API key: %s", namespace, secret, name, error)
            return None
        wanted = frozenset(entry.namespaces or (namespace,))
        if namespace != self._own_namespace:
            wanted = frozenset({namespace} if wanted & {namespace, "*"} else ())
        expires = entry.expires.replace(tzinfo=entry.expires.tzinfo or UTC) if entry.expires else None
        return entry.hash, ApiKey(name, entry.role, wanted, expires)
