"""Writes to the instances of a stack: create, update, replace overrides, duplicate."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from typing import Any

from pydantic import TypeAdapter

from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.model import dump
from hopper.api.names import ANNOTATION_CREATED_BY, API_VERSION, INSTANCE_KIND
from hopper.api.resources import INSTANCES, Manifest
from hopper.api.service import EnvSource, KeyRef, Overrides
from hopper.domain.actions import is_alive
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import wants_started
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.merge import ServiceProblem
from hopper.gateway.access import Access
from hopper.gateway.http.errors import HttpConflictError
from hopper.gateway.intents.author_rights import check_new_instance
from hopper.gateway.intents.checks import check_parent, check_template_exists, invalid_service
from hopper.gateway.intents.creation import MAX_NAME_LENGTH, create_object, delete_terminated, parse_as_created
from hopper.gateway.intents.updates import check_not_final
from hopper.gateway.intents.writes import (
    check_readable,
    object_exists,
    patch_instance,
    reason_with_caller,
    with_request_fields,
)
from hopper.gateway.models.stacks import CreateStackInstance, OverrideKind, UpdateStackInstance
from hopper.gateway.stacks.members import (
    checked_object_name,
    name_in_stack,
    object_name,
    object_names_of,
    template_name_of,
)
from hopper.gateway.views.queries import instance_not_found
from hopper.gateway.views.secret_values import marked_overrides, redact, restore_secret_values, secret_values
from hopper.ports import NotFoundError, RefusedError

_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)
# Fields of an instance, and the fields of the request that set them.
STACK_REQUEST_FIELDS: Mapping[str, str] = {
    "metadata.name": "instance_id",
    "spec": "",
    "spec.templateRef.name": "template_service_id",
}
_MAX_COPIES = 1000
# Spec fields that a copy does not get, because they describe the past or the protection of the original.
_NOT_COPIED = frozenset({"renamedFrom", "restartedAt", "reason", "deletionProtection"})


async def create_stack_instance(access: Access, stack: HopperInstance, body: CreateStackInstance) -> HopperInstance:
    """Create an instance of a stack and return it."""
    name = checked_object_name(stack, body.instance_id)
    await check_template_exists(access, body.template_service_id)
    spec = {
        "scope": Scope.ORCHESTRATION.value,
        "parentRef": {"name": stack.name},
        "templateRef": {"name": body.template_service_id},
        "description": body.description,
        "reason": reason_with_caller(access, None),
    }
    return await _create(access, name, {key: value for key, value in spec.items() if value is not None}, [])


async def _create(
    access: Access, name: str, spec: Manifest, secrets: list[str], source: HopperInstance | None = None
) -> HopperInstance:
    """Create an instance, perhaps as a copy of `source`. Raises `HttpConflictError`.

    A Terminated instance of the same name is replaced.
    """
    annotations = {ANNOTATION_CREATED_BY: access.caller.name} if access.caller.is_known else {}
    manifest = instance_manifest(name, spec, annotations)
    check_parent(access, parse_as_created(access, manifest))
    await check_new_instance(access, name, spec, source)  # before a predecessor is deleted
    await free_name(access, name)
    return await create_object(access, manifest, secrets, STACK_REQUEST_FIELDS, source)


def instance_manifest(
    name: str, spec: Manifest, annotations: dict[str, str], labels: dict[str, str] | None = None
) -> Manifest:
    """Return the manifest of a HopperInstance."""
    metadata: Manifest = {"name": name}
    if annotations:
        metadata["annotations"] = annotations
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": API_VERSION, "kind": INSTANCE_KIND, "metadata": metadata, "spec": spec}


async def free_name(access: Access, name: str) -> None:
    """Delete a Terminated instance with this name. Raises `HttpConflictError` if the instance is not Terminated."""
    instance = access.index.get(name)
    if instance is None:
        return
    if instance.status.phase is Phase.TERMINATED:
        await delete_terminated(access, instance)
    elif is_alive(instance):
        raise HttpConflictError(f"{name} is already in use; choose another instance_id, or delete that instance first")
    else:
        raise HttpConflictError(f"{name} is being terminated; choose another instance_id, or try again later")


async def update_stack_instance(access: Access, member: HopperInstance, body: UpdateStackInstance) -> HopperInstance:
    """Update the fields in the request and return the instance."""
    spec: Manifest = {}
    if "description" in body.model_fields_set and body.description != member.spec.description:
        spec["description"] = body.description
    if body.enabled is not None and body.enabled != wants_started(member.spec.desired_state):
        spec["desiredState"] = (DesiredState.RUNNING if body.enabled else DesiredState.STOPPED).value
        spec["reason"] = reason_with_caller(access, None)
    if spec:
        check_not_final(member)
    # Sent even without a change, to detect a concurrent change through another gateway.
    return await patch_instance(access, member, spec)


async def replace_overrides(access: Access, member: HopperInstance, kind: OverrideKind, body: Any) -> HopperInstance:
    """Replace one kind of overrides and return the instance. A secret without a value keeps its current value."""
    before = member.spec.overrides or Overrides()
    current_env = marked_overrides(member, access.context.templates).env
    entries = restore_secret_values(body, current_env) if kind.field == "env" else body
    changes: dict[str, Any] = {kind.field: entries}
    after = replace(before, **changes)
    if after == before:
        return await patch_instance(access, member, {})
    check_not_final(member)
    if problems := _new_problems(access, member, _with_references(after)):
        raise invalid_service(problems, after, part=(kind.wire,))
    value = dump(_OVERRIDES, after).get(kind.wire) or None
    try:
        return await patch_instance(access, member, {"overrides": {kind.wire: value}})
    except RefusedError as error:
        secrets = secret_values((*after.env, *current_env))
        raise redact(with_request_fields(error, {f"spec.overrides.{kind.wire}": ""}), secrets) from None


def _with_references(overrides: Overrides) -> Overrides:
    """Return overrides in which secret values are references, as they will be stored."""
    reference = EnvSource(secret_key_ref=KeyRef(name="values", key="value"))
    env = (
        replace(entry, value=None, value_from=reference) if entry.secret and entry.value is not None else entry
        for entry in overrides.env
    )
    return replace(overrides, env=tuple(env))


def _new_problems(access: Access, member: HopperInstance, overrides: Overrides) -> tuple[ServiceProblem, ...]:
    """Return the problems that the template has with these overrides, but not with the current ones."""
    template = access.context.templates.get(access.namespace, template_name_of(member))
    if template is None:
        return ()
    ancestors, names = parent_link(member, access.index).ancestors, object_names_of(access, member)
    changed = replace(member, spec=replace(member.spec, overrides=overrides))
    before, after = (
        prepare_blueprint(instance, ancestors, template, names=names).problems for instance in (member, changed)
    )
    return tuple(problem for problem in after if problem not in before)


async def duplicate_instance(
    access: Access, stack: HopperInstance, source: HopperInstance, name: str | None
) -> HopperInstance:
    """Create a copy of an instance with its overrides and return it. Without a name, the first free one is used."""
    spec = copied_spec(await read_member(access, source))
    spec["reason"] = reason_with_caller(access, f"copy of {source.name}")
    if spec.get("desiredState") == DesiredState.ARCHIVED:
        spec["desiredState"] = DesiredState.STOPPED.value
    secrets = secret_values(marked_overrides(source, access.context.templates).env)
    if name is not None:
        return await _create(access, checked_object_name(stack, name), spec, secrets, source)
    for copy_name in islice(_copy_names(stack, source), _MAX_COPIES):
        if access.index.get(copy_name) is None:
            try:
                return await _create(access, copy_name, spec, secrets, source)
            except HttpConflictError as error:
                is_name_in_use = access.index.get(copy_name) is not None
                if not is_name_in_use and not await object_exists(access, INSTANCES, copy_name):
                    raise error from None
    raise HttpConflictError(f"{source.name} already has {_MAX_COPIES} copies; choose an instance_id")


def _copy_names(stack: HopperInstance, source: HopperInstance) -> Iterator[str]:
    original = name_in_stack(source, stack)
    for number in count(1):
        suffix = "-copy" if number == 1 else f"-copy-{number}"
        available = MAX_NAME_LENGTH - len(object_name(stack, suffix))
        yield object_name(stack, f"{original[:available].rstrip('-')}{suffix}")


async def read_member(access: Access, member: HopperInstance) -> Manifest:
    """Return an instance from the API server, to be copied.

    Raises `HttpNotFoundError` if it has been deleted, and `HttpConflictError` if it could not be copied completely.
    """
    try:
        raw = await access.context.intents.read(INSTANCES, access.namespace, member.name)
    except NotFoundError:
        raw = None
    if raw is None or raw["metadata"]["uid"] != member.metadata.uid:
        raise instance_not_found(member.name)
    check_readable(access, access.context.store(raw), raw["spec"])
    return raw


def copied_spec(raw: Manifest) -> Manifest:
    """Return the spec of an instance without the fields that a copy does not get."""
    return {key: value for key, value in raw["spec"].items() if key not in _NOT_COPIED}
