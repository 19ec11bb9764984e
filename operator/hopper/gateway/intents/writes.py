"""Writes to instances with optimistic concurrency, and errors of the API server in terms of the REST API."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.resources import INSTANCES, Resource
from hopper.domain.messages import truncate
from hopper.gateway.access import Access
from hopper.gateway.http.errors import HttpConflictError
from hopper.gateway.intents.author_rights import check_changed_instance
from hopper.gateway.intents.secret_references import move_secret_values, write_secret_values
from hopper.gateway.views.queries import instance_not_found
from hopper.ports import ConflictError, NotFoundError, RefusedError

_ATTEMPTS = 5
# The spec fields that a merge patch changes in parts.
_COMPOSED_FIELDS = ("config", "overrides", "restartPolicy", "heartbeat")
REASON_LIMIT = 1024
_NAME_LIMIT = 256
# Valid object names. Anything else, such as `../../other/hopperinstances/web`, would be a path that the gateway reads
# with its own permissions.
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def reason_with_caller(access: Access, reason: str | None) -> str | None:
    """Return the value of `spec.reason`: the given reason, with the name of the caller."""
    if not access.caller.is_known:
        return reason
    name = truncate(access.caller.name, _NAME_LIMIT)
    # The reason is shortened, never the name, because the caller chooses only the reason.
    return f"{truncate(reason, REASON_LIMIT - len(name) - len(' (by )'))} (by {name})" if reason else f"by {name}"


async def patch_instance(
    access: Access,
    instance: HopperInstance,
    spec: dict[str, Any],
    metadata: dict[str, Any] | None = None,
    *,
    version: str | None = None,
    force: bool = False,
) -> HopperInstance:
    """Merge changes into an instance and return its new version.

    Raises `HttpConflictError` if the spec has changed since `instance` was read, or if a field to change could not be
    read. A changed status is no conflict. With `version`, the instance must have exactly that version; with `force`, it
    may have any.
    """
    check_readable(access, instance, spec)
    context, name = access.context, instance.name
    await check_changed_instance(access, instance, spec)
    if spec.get("overrides"):
        spec = await _with_secret_references(access, instance, spec)
    expected = version or instance.metadata.resource_version
    for _ in range(_ATTEMPTS):
        precondition = {"uid": instance.metadata.uid} | ({} if force else {"resourceVersion": expected})
        body = {"metadata": {**precondition, **(metadata or {})}, "spec": spec}
        try:
            return context.store(await context.intents.patch(INSTANCES, access.namespace, name, body))
        except NotFoundError:
            raise instance_not_found(name) from None
        except ConflictError:
            latest = await read_instance(access, name)
            check_readable(access, latest, spec)
        if version is not None or _has_changed(instance, latest):
            break
        expected = latest.metadata.resource_version
    raise HttpConflictError(f"{name} was changed by another client; read it again and repeat the change")


def check_readable(access: Access, instance: HopperInstance, spec: Collection[str]) -> None:
    """Raise `HttpConflictError` if one of these spec fields could not be read, because a write would lose its values.

    Simple values are no obstacle, because a write replaces them as a whole.
    """
    for problem in access.context.reader.problems(instance):
        field = problem.split(".", maxsplit=2)[1].partition(":")[0]
        if field in spec and field in _COMPOSED_FIELDS:
            raise HttpConflictError(f"{instance.name}: {problem}; until then, only kubectl can change spec.{field}")


async def _with_secret_references(access: Access, instance: HopperInstance, spec: dict[str, Any]) -> dict[str, Any]:
    """Return changes of a spec with references instead of secret values, and write the values into a Secret."""
    current = instance.spec.template_ref.name if instance.spec.template_ref else None
    inherited = inherited_secrets(access, (spec.get("templateRef") or {}).get("name", current))
    overrides, secret = move_secret_values(spec["overrides"], instance.name, inherited)
    if secret is not None:
        await write_secret_values(access, secret, INSTANCES, instance.metadata)
    return {**spec, "overrides": overrides}


def inherited_secrets(access: Access, template_name: str | None) -> frozenset[str] | None:
    """Return the names of the secret variables of a template; None if the template is unknown."""
    if template_name is None:
        return frozenset()
    template = access.context.templates.get(access.namespace, template_name)
    return frozenset(entry.name for entry in template.spec.env if entry.secret) if template else None


def _has_changed(instance: HopperInstance, latest: HopperInstance) -> bool:
    """Whether the latest version is another object or has another spec."""
    before, after = instance.metadata, latest.metadata
    return (before.uid, before.generation) != (after.uid, after.generation)


async def read_instance(access: Access, name: str) -> HopperInstance:
    """Return an instance from the API server, because the index may be behind. Raises `HttpNotFoundError`."""
    context = access.context
    if not _OBJECT_NAME.fullmatch(name):
        raise instance_not_found(name)
    try:
        return context.store(await context.intents.read(INSTANCES, access.namespace, name))
    except NotFoundError:
        raise instance_not_found(name) from None


async def object_exists(access: Access, resource: Resource, name: str) -> bool:
    """Whether an object exists according to the API server, because the index may be behind."""
    if not _OBJECT_NAME.fullmatch(name):
        return False
    try:
        await access.context.intents.read(resource, access.namespace, name)
    except NotFoundError:
        return False
    return True


def with_request_fields(error: RefusedError, request_fields: Mapping[str, str]) -> RefusedError:
    """Return an error that names fields of the request. `request_fields` maps object fields to request fields."""
    causes = [
        type(cause)(_request_field(cause.field, request_fields), cause.message, cause.reason) for cause in error.causes
    ]
    return RefusedError(str(error), code=error.code, causes=causes)


def _request_field(field: str, request_fields: Mapping[str, str]) -> str:
    for path in sorted(request_fields, key=len, reverse=True):
        suffix = field.removeprefix(path)
        if field.startswith(path) and (not suffix or suffix[0] in ".["):
            return request_fields[path] + suffix
    return field
