"""Updates of instances. Fields in the request change, omitted fields keep their value."""

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.adapters.custom_resources import merge_patch
from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance, InstanceSpec, parse_instance
from hopper.api.model import dump
from hopper.api.names import ANNOTATION_RUNTIME_METADATA
from hopper.api.service import Overrides
from hopper.domain.actions import is_final
from hopper.gateway.access import Access
from hopper.gateway.http.errors import BadRequestError
from hopper.gateway.http.validation_errors import invalid_field
from hopper.gateway.intents.checks import check_config, check_parent, check_template_exists, resolve_parent
from hopper.gateway.intents.creation import INSTANCE_REQUEST_FIELDS, dump_overrides, dump_runtime_metadata
from hopper.gateway.intents.writes import check_readable, patch_instance, with_request_fields
from hopper.gateway.models.requests import UpdateInstance
from hopper.gateway.views.secret_values import marked_overrides, redact, restore_secret_values, secret_values
from hopper.ports import RefusedError

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_SPEC: TypeAdapter[InstanceSpec] = TypeAdapter(InstanceSpec)


async def update_from_request(
    access: Access, instance: HopperInstance, body: UpdateInstance, version: str | None
) -> HopperInstance:
    """Update an instance and return it. With `version`, the instance must still have that version."""
    if body.scope is not None and body.scope is not instance.spec.scope:
        raise invalid_field("scope", f"is immutable: {instance.name} has scope {instance.spec.scope}", "immutable")
    check_not_final(instance)
    before, changes = dump(_SPEC, instance.spec), await _changed_fields(access, instance, body)
    check_readable(access, instance, changes)
    after = before | changes
    after = {key: value for key, value in after.items() if value is not None}
    candidate = parse_instance({"metadata": instance.metadata, "spec": after, "status": instance.status})
    check_config(candidate)
    if "parent_id" in body.model_fields_set:
        check_parent(access, candidate)
    metadata = {}
    if "runtime_metadata" in body.model_fields_set:
        values = body.runtime_metadata
        metadata = {"annotations": {ANNOTATION_RUNTIME_METADATA: dump_runtime_metadata(values) if values else None}}
    try:
        return await patch_instance(access, instance, merge_patch(before, after), metadata, version=version)
    except RefusedError as error:
        secrets = secret_values(marked_overrides(candidate, access.context.templates).env)
        raise redact(with_request_fields(error, INSTANCE_REQUEST_FIELDS), secrets) from None


def check_not_final(instance: HopperInstance) -> None:
    """Raise `BadRequestError` if the instance is Archived or Terminated, because its spec is then read-only."""
    if is_final(instance):
        raise BadRequestError(f"{instance.name} is {instance.spec.desired_state}: its spec is read-only")


async def _changed_fields(access: Access, instance: HopperInstance, body: UpdateInstance) -> dict[str, Any]:
    """Return the spec fields that the request sets. None removes a field."""
    changes: dict[str, Any] = {}
    fields = body.model_fields_set
    if "name" in fields:
        changes["displayName"] = body.name if body.name != instance.name else None
    if "description" in fields:
        changes["description"] = body.description
    if "instance_type" in fields:
        changes["type"] = body.instance_type and body.instance_type.value
    if "config" in fields:
        changes["config"] = dump(_CONFIG, body.config) if body.config else None
    if "overrides" in fields:
        changes["overrides"] = (
            dump_overrides(_with_secret_values(access, body.overrides, instance)) if body.overrides else None
        )
    if "parent_id" in fields:
        changes["parentRef"] = {"name": await resolve_parent(access, body.parent_id)} if body.parent_id else None
    if "template" in fields:
        if body.template:
            await check_template_exists(access, body.template)
        changes["templateRef"] = {"name": body.template} if body.template else None
    return changes


def _with_secret_values(access: Access, overrides: Overrides, instance: HopperInstance) -> Overrides:
    """Return overrides with the current value of each secret that the request leaves out."""
    current = marked_overrides(instance, access.context.templates)
    return replace(overrides, env=restore_secret_values(overrides.env, current.env))
