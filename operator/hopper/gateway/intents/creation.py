"""Creation of instances. A request becomes the object that `kubectl apply` would create."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.api.config import InstanceConfig
from hopper.api.enums import DesiredState, InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.model import dump
from hopper.api.names import (
    ANNOTATION_CREATED_BY,
    ANNOTATION_RUNTIME_METADATA,
    API_VERSION,
    GLOBAL_NAME,
    INSTANCE_KIND,
)
from hopper.api.resources import INSTANCES, Manifest
from hopper.api.service import Overrides
from hopper.domain.messages import truncate
from hopper.domain.tree import descendants
from hopper.gateway.access import Access
from hopper.gateway.http.errors import HttpConflictError, HttpNotFoundError
from hopper.gateway.http.validation_errors import invalid_field
from hopper.gateway.intents.author_rights import check_may_delete, check_new_instance, overrides_of
from hopper.gateway.intents.checks import check_config, check_parent, check_template_exists, resolve_parent
from hopper.gateway.intents.secret_references import (
    move_secret_values,
    secret_references,
    write_secret_values_of_new,
)
from hopper.gateway.intents.writes import (
    REASON_LIMIT,
    inherited_secrets,
    patch_instance,
    reason_with_caller,
    with_request_fields,
)
from hopper.gateway.models.requests import CreateInstance
from hopper.gateway.views.secret_values import is_generated_name, redact, secret_values
from hopper.ports import ConflictError, NotFoundError, RefusedError

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)
# Fields of an instance, and the fields of the request that set them.
INSTANCE_REQUEST_FIELDS: Mapping[str, str] = {
    "metadata.name": "id",
    "metadata.annotations": "runtime_metadata",
    "spec": "",
    "spec.displayName": "name",
    "spec.type": "instance_type",
    "spec.parentRef.name": "parent_id",
    "spec.templateRef.name": "template",
}
MAX_NAME_LENGTH = 63
# Paths under /instances with another meaning.
RESERVED_IDS = frozenset({"active", "projects"})
_DELETION_SECONDS = 10.0


async def create_from_request(access: Access, body: CreateInstance) -> HopperInstance:
    """Create an instance and return it. A Terminated instance of the same id is replaced."""
    name = _name_of(body)
    predecessor = access.index.get(name)
    if predecessor and predecessor.status.phase is not Phase.TERMINATED:
        raise _name_in_use(name)
    if body.template:
        await check_template_exists(access, body.template)
    parent = await resolve_parent(access, body.parent_id) if body.parent_id else None
    manifest = _manifest(access, name, parent, body)
    candidate = parse_as_created(access, manifest)
    check_config(candidate)
    check_parent(access, candidate)
    await check_new_instance(access, name, manifest["spec"], None)  # before the predecessor is deleted
    if predecessor:
        await delete_terminated(access, predecessor)
    return await create_object(access, manifest, secret_values(body.overrides.env if body.overrides else ()))


async def create_object(
    access: Access,
    manifest: Manifest,
    secrets: list[str],
    request_fields: Mapping[str, str] = INSTANCE_REQUEST_FIELDS,
    source: HopperInstance | None = None,
) -> HopperInstance:
    """Create an instance from a manifest and return it. Raises `HttpConflictError` if its name is in use.

    `source` is the instance that it copies. Errors of the API server name fields of the request and contain none of the
    `secrets`.
    """
    context, name, spec = access.context, manifest["metadata"]["name"], manifest["spec"]
    await check_new_instance(access, name, spec, source)
    inherited = inherited_secrets(access, (spec.get("templateRef") or {}).get("name"))
    copied = await read_generated_secrets(access, overrides_of(source)) if source else {}
    overrides, secret = move_secret_values(spec.get("overrides") or {}, name, inherited, copied)
    if secret is not None:
        manifest = {**manifest, "spec": {**spec, "overrides": overrides}}
    try:
        created = context.store(await context.intents.create(INSTANCES, access.namespace, manifest))
        if secret is not None:
            await write_secret_values_of_new(access, secret, INSTANCES, created.metadata)
        return created
    except ConflictError:
        raise _name_in_use(manifest["metadata"]["name"]) from None
    except RefusedError as error:
        raise redact(with_request_fields(error, request_fields), secrets) from None


async def read_generated_secrets(access: Access, overrides: Manifest) -> dict[str, Mapping[str, str]]:
    """Return the values of the Secrets that the gateway has made for an instance with these overrides."""
    values = {}
    for name in filter(is_generated_name, secret_references(overrides)):
        with suppress(NotFoundError):
            values[name] = await access.context.secret_values.read(access.namespace, name)
    return values


def _name_in_use(name: str) -> HttpConflictError:
    if name == GLOBAL_NAME:
        return HttpConflictError("the namespace already has its one Global instance, global; change that instance")
    return HttpConflictError(f"id {name} is already in use; choose another id, or change that instance")


def _name_of(body: CreateInstance) -> str:
    if body.scope is Scope.GLOBAL:
        return GLOBAL_NAME
    name = body.id or re.sub(r"[^a-z0-9]+", "-", body.name.lower()).strip("-")[:MAX_NAME_LENGTH].strip("-")
    if not name:
        raise invalid_field("name", "must contain a letter or digit to derive the id from; or set id", "value_error")
    if name in RESERVED_IDS:
        field = "id" if body.id else "name"
        raise invalid_field(field, f"{name} is reserved as a path of the REST API; choose another id", "value_error")
    return name


def _manifest(access: Access, name: str, parent: str | None, body: CreateInstance) -> Manifest:
    annotations = {}
    if access.caller.is_known:
        annotations[ANNOTATION_CREATED_BY] = access.caller.name
    if body.runtime_metadata:
        annotations[ANNOTATION_RUNTIME_METADATA] = dump_runtime_metadata(body.runtime_metadata)
    spec = {
        "scope": body.scope.value,
        "displayName": body.name if body.name != name else None,
        "type": body.instance_type and body.instance_type.value,
        "parentRef": {"name": parent} if parent else None,
        "description": body.description,
        "config": dump(_CONFIG, body.config) if body.config else None,
        "templateRef": {"name": body.template} if body.template else None,
        "overrides": dump_overrides(body.overrides) if body.overrides else None,
        "reason": truncate(f"created by {access.caller.name}", REASON_LIMIT) if access.caller.is_known else None,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "metadata": {"name": name} | ({"annotations": annotations} if annotations else {}),
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def dump_runtime_metadata(values: dict[str, Any]) -> str:
    """Return the value of the annotation for free-form values."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def dump_overrides(overrides: Overrides) -> dict[str, Any]:
    """Return overrides as in the spec, without empty kinds."""
    return {kind: entries for kind, entries in dump(_OVERRIDES, overrides).items() if entries != []}


def parse_as_created(access: Access, manifest: Manifest) -> HopperInstance:
    """Return the instance that a manifest describes, with placeholders for the fields that the API server sets."""
    server_fields = {"namespace": access.namespace, "uid": "", "creationTimestamp": access.context.clock()}
    return parse_instance({**manifest, "metadata": {**manifest["metadata"], **server_fields}})


async def delete_terminated(access: Access, predecessor: HopperInstance) -> None:
    """Delete a Terminated instance, and wait until it is gone, because its finalizers may take a moment.

    Volumes are orphaned, not deleted. The new instance of the same name gets the predecessor's volumes.
    """
    name, uid, context = predecessor.name, predecessor.metadata.uid, access.context
    await check_may_delete(access, name, f"replacing the terminated instance {name}")
    children = list(access.index.dependents(uid))
    # Orphaning only where needed, because the garbage collector takes up to half a minute for kinds new to it.
    has_volumes = any(map(_may_have_volumes, (predecessor, *children, *descendants(name, access.index))))
    if has_volumes:
        for child in children:
            await _terminate_child(access, child, name)
    try:
        await context.intents.delete(INSTANCES, access.namespace, name, uid=uid, orphan=has_volumes)
    except NotFoundError:
        return
    except ConflictError:
        raise HttpConflictError(f"{name} was replaced by another client; read it again") from None
    newest = access.index.get(name)
    if newest is None or newest.metadata.uid != uid:
        return
    is_gone = await context.waiters.wait(replace(newest), lambda instance: instance is None, _DELETION_SECONDS)
    if not is_gone:
        raise HttpConflictError(f"the terminated instance {name} is still being deleted; try again later")


def _may_have_volumes(instance: HopperInstance) -> bool:
    has_run = instance.spec.template_ref is not None or instance.status.workload_name is not None
    return has_run and instance.spec.effective_type is not InstanceType.EPHEMERAL


async def _terminate_child(access: Access, child: HopperInstance, parent: str) -> None:
    """Set a child to Terminated, because it would otherwise start again below the new instance."""
    if child.parent_name != parent or child.spec.desired_state is DesiredState.TERMINATED:
        return
    reason = reason_with_caller(access, f"terminated with {parent}")
    with suppress(HttpNotFoundError):
        await patch_instance(access, child, {"desiredState": DesiredState.TERMINATED.value, "reason": reason})
