"""Writes: what a caller wants, as changes to a spec, with optimistic concurrency."""

import re
from collections.abc import Mapping
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.resources import INSTANCES, Resource
from hopper.domain.messages import truncate
from hopper.gateway.access import Access
from hopper.gateway.http.errors import MissingError, TakenError
from hopper.ports import ConflictError, NotFoundError, RefusedError

_TRIES = 5
_REASON_LIMIT = 1024
_HIDDEN = "…"
# What an object can be called. Nothing else is asked for: `../../other/hopperinstances/web` would be a path, which the
# gateway would read with its own rights.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def reason_of(access: Access, reason: str | None) -> str | None:
    """Return what goes into `spec.reason`, and with it into history and events: why, and who wanted it."""
    if not access.caller.is_known:
        return reason
    name = access.caller.name
    return truncate(f"{reason} (by {name})" if reason else f"by {name}", _REASON_LIMIT)


async def change(
    access: Access,
    instance: HopperInstance,
    spec: dict[str, Any],
    metadata: dict[str, Any] | None = None,
    *,
    version: str | None = None,
    force: bool = False,
) -> HopperInstance:
    """Merge changes into the instance that they were decided on; return it as it is afterwards.

    That the operator has written its status meanwhile does not matter, that somebody has changed its spec does:
    `TakenError`. With a `version` it has to be exactly that one; with `force` any will do.
    """
    context, name = access.context, instance.name
    expected = version or instance.metadata.resource_version
    for _ in range(_TRIES):
        precondition = {"uid": instance.metadata.uid} | ({} if force else {"resourceVersion": expected})
        body = {"metadata": {**precondition, **(metadata or {})}, "spec": spec}
        try:
            return context.take(await context.intents.patch(INSTANCES, access.namespace, name, body))
        except NotFoundError:
            raise MissingError(f"Instance {name} not found") from None
        except ConflictError:
            latest = await reread(access, name)
        if version is not None or _differs(instance, latest):
            break
        expected = latest.metadata.resource_version
    raise TakenError(f"{name} was edited by someone else in between; read it again")


def _differs(known: HopperInstance, latest: HopperInstance) -> bool:
    before, after = known.metadata, latest.metadata
    return (before.uid, before.generation) != (after.uid, after.generation)


async def reread(access: Access, name: str) -> HopperInstance:
    """Return an instance as the API server has it now. Raises `MissingError`."""
    context = access.context
    if not _NAME.fullmatch(name):
        raise MissingError(f"Instance {name} not found")
    try:
        return context.take(await context.intents.read(INSTANCES, access.namespace, name))
    except NotFoundError:
        raise MissingError(f"Instance {name} not found") from None


async def exists(access: Access, resource: Resource, name: str) -> bool:
    """Ask the API server whether there is such an object: the watch may be a moment behind."""
    if not _NAME.fullmatch(name):
        return False
    try:
        await access.context.intents.read(resource, access.namespace, name)
    except NotFoundError:
        return False
    return True


def without(error: RefusedError, secrets: list[str]) -> RefusedError:
    """Return a refusal that does not repeat what is secret: the API server quotes what it does not like."""

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    causes = [type(it)(it.field, hide(it.message), it.reason) for it in error.causes]
    return RefusedError(hide(str(error)), code=error.code, causes=causes)


def in_words_of(error: RefusedError, fields: Mapping[str, str]) -> RefusedError:
    """Return a refusal that names fields of the request's body; `fields` says which those of the object come from."""
    causes = [type(it)(_translated(it.field, fields), it.message, it.reason) for it in error.causes]
    return RefusedError(str(error), code=error.code, causes=causes)


def _translated(field: str, fields: Mapping[str, str]) -> str:
    for path in sorted(fields, key=len, reverse=True):
        rest = field.removeprefix(path)
        if field.startswith(path) and (not rest or rest[0] in ".["):
            return fields[path] + rest
    return field
