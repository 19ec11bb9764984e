"""`POST /instances`: a request becomes one object, the same that `kubectl apply` would make."""

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
from hopper.api.resources import INSTANCES
from hopper.api.service import Overrides
from hopper.domain.tree import descendants
from hopper.gateway.access import Access
from hopper.gateway.http.errors import MissingError, TakenError, invalid_field
from hopper.gateway.intents.placing import check_config, check_place, check_template, resolve_parent
from hopper.gateway.intents.secrecy import secrets_in
from hopper.gateway.intents.writes import change, in_words_of, reason_of, without
from hopper.gateway.models.requests import CreateInstance
from hopper.ports import ConflictError, NotFoundError, RefusedError

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)
# Where the fields of an instance come from, in the body of a request.
FIELDS: Mapping[str, str] = {
    "metadata.name": "id",
    "metadata.annotations": "runtime_metadata",
    "spec": "",
    "spec.displayName": "name",
    "spec.type": "instance_type",
    "spec.parentRef.name": "parent_id",
    "spec.templateRef.name": "template",
}
_LONGEST = 63
# Paths under /instances that mean something else.
RESERVED = frozenset({"active", "projects"})
_REPLACE_SECONDS = 10.0


async def create(access: Access, wanted: CreateInstance) -> HopperInstance:
    """Create an instance and return it. One of the same id that is Terminated is replaced."""
    name = _name_of(wanted)
    predecessor = access.index.get(name)
    if predecessor and predecessor.status.phase is not Phase.TERMINATED:
        raise _taken(name)
    if wanted.template:
        await check_template(access, wanted.template)
    parent = await resolve_parent(access, wanted.parent_id) if wanted.parent_id else None
    manifest = _manifest(access, name, parent, wanted)
    candidate = as_if_created(access, manifest)
    check_config(candidate)
    check_place(access, candidate)
    if predecessor:
        await remove(access, predecessor)
    return await create_object(access, manifest, secrets_in(wanted.overrides.env if wanted.overrides else ()))


async def create_object(
    access: Access, manifest: dict[str, Any], secrets: list[str], fields: Mapping[str, str] = FIELDS
) -> HopperInstance:
    """Create an instance from a manifest and return it; `fields` tells what its are called in the body.

    Raises `TakenError`.
    """
    context = access.context
    try:
        return context.take(await context.intents.create(INSTANCES, access.namespace, manifest))
    except ConflictError:
        raise _taken(manifest["metadata"]["name"]) from None
    except RefusedError as error:
        raise without(in_words_of(error, fields), secrets) from None


def _taken(name: str) -> TakenError:
    if name == GLOBAL_NAME:
        return TakenError("there is a Global instance already, global, and there can be but one: change that one")
    return TakenError(f"{name} is taken: choose another id, or change that one")


def _name_of(wanted: CreateInstance) -> str:
    if wanted.scope is Scope.GLOBAL:
        return GLOBAL_NAME
    name = wanted.id or re.sub(r"[^a-z0-9]+", "-", wanted.name.lower()).strip("-")[:_LONGEST].strip("-")
    if not name:
        raise invalid_field("name", "holds nothing that an id can be made of: give an id too", "value_error")
    if name in RESERVED:
        raise invalid_field(
            "id" if wanted.id else "name", f"{name} is a word of this API: give another id", "value_error"
        )
    return name


def _manifest(access: Access, name: str, parent: str | None, wanted: CreateInstance) -> dict[str, Any]:
    annotations = {}
    author = wanted.created_by or (access.caller.name if access.caller.is_known else None)
    if author:
        annotations[ANNOTATION_CREATED_BY] = author
    if wanted.runtime_metadata:
        annotations[ANNOTATION_RUNTIME_METADATA] = dump_metadata(wanted.runtime_metadata)
    spec = {
        "scope": wanted.scope.value,
        "displayName": wanted.name if wanted.name != name else None,
        "type": wanted.instance_type and wanted.instance_type.value,
        "parentRef": {"name": parent} if parent else None,
        "description": wanted.description,
        "config": dump(_CONFIG, wanted.config) if wanted.config else None,
        "templateRef": {"name": wanted.template} if wanted.template else None,
        "overrides": dump_overrides(wanted.overrides) if wanted.overrides else None,
        "reason": f"created by {access.caller.name}" if access.caller.is_known else None,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "metadata": {"name": name} | ({"annotations": annotations} if annotations else {}),
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def dump_metadata(values: dict[str, Any]) -> str:
    """Return free-form values as they stand in an annotation."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def dump_overrides(overrides: Overrides) -> dict[str, Any]:
    """Return overrides as in the spec, without empty kinds."""
    return {kind: entries for kind, entries in dump(_OVERRIDES, overrides).items() if entries != []}


def as_if_created(access: Access, manifest: dict[str, Any]) -> HopperInstance:
    """Return the instance that the manifest is about to make, to be judged before."""
    server = {"namespace": access.namespace, "uid": "", "creationTimestamp": access.context.clock()}
    return parse_instance({**manifest, "metadata": {**manifest["metadata"], **server}})


async def remove(access: Access, predecessor: HopperInstance) -> None:
    """Delete exactly that object, and wait until it is gone: its finalizer may hold it for a moment.

    Volumes outlive that, as they do a termination: its own are the successor's, those of its children stay with them.
    """
    name, uid, context = predecessor.name, predecessor.metadata.uid, access.context
    children = list(access.index.dependents(uid))
    # Only then, as garbage collection takes its time to let go of what is owned: half a minute where the kinds are new.
    has_volumes = any(map(_may_have_volumes, (predecessor, *children, *descendants(name, access.index))))
    if has_volumes:
        for child in children:
            await _end_for_good(access, child, name)
    try:
        await context.intents.delete(INSTANCES, access.namespace, name, uid=uid, orphan=has_volumes)
    except NotFoundError:
        return
    except ConflictError:
        raise TakenError(f"{name} was replaced by someone else in between") from None
    newest = access.index.get(name)
    if newest is None or newest.metadata.uid != uid:
        return
    if not await context.waiting.until(replace(newest), lambda it: it is None, _REPLACE_SECONDS):
        raise TakenError(f"{name} is terminated, and still being removed; try again")


def _may_have_volumes(instance: HopperInstance) -> bool:
    has_run = instance.spec.template_ref is not None or instance.status.workload_name is not None
    return has_run and instance.spec.effective_type is not InstanceType.EPHEMERAL


async def _end_for_good(access: Access, child: HopperInstance, parent: str) -> None:
    """Have a child wanted as its parent has ended it: below the parent's successor it must not come back."""
    if child.parent_name != parent or child.spec.desired_state is DesiredState.TERMINATED:
        return
    spec = {"desiredState": DesiredState.TERMINATED.value, "reason": reason_of(access, f"ended with {parent}")}
    with suppress(MissingError):
        await change(access, child, spec)
