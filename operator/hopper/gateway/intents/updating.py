"""`PUT /instances/{id}`: fields that are given change, those left out stay."""

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
from hopper.gateway.http.errors import BadRequestError, invalid_field
from hopper.gateway.intents.creating import FIELDS, dump_metadata, dump_overrides
from hopper.gateway.intents.placing import check_config, check_place, check_template, resolve_parent
from hopper.gateway.intents.secrecy import secrets_in, with_known_secrets
from hopper.gateway.intents.writes import change, in_words_of, without
from hopper.gateway.models.requests import UpdateInstance
from hopper.gateway.views.secrecy import marked
from hopper.ports import RefusedError

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_SPEC: TypeAdapter[InstanceSpec] = TypeAdapter(InstanceSpec)


async def update(
    access: Access, instance: HopperInstance, wanted: UpdateInstance, version: str | None
) -> HopperInstance:
    """Change an instance and return it; with a version, only if it is still that one."""
    if wanted.scope is not None and wanted.scope is not instance.spec.scope:
        raise invalid_field("scope", f"cannot be changed: {instance.name} is {instance.spec.scope}", "immutable")
    if is_final(instance):
        raise BadRequestError(f"{instance.name} is {instance.spec.desired_state}: its spec is read-only")
    before = dump(_SPEC, instance.spec)
    after = before | await _changes(access, instance, wanted)
    after = {key: value for key, value in after.items() if value is not None}
    candidate = _as_if_changed(instance, after)
    check_config(candidate)
    if "parent_id" in wanted.model_fields_set:
        check_place(access, candidate)
    metadata = {}
    if "runtime_metadata" in wanted.model_fields_set:
        values = wanted.runtime_metadata
        metadata = {"annotations": {ANNOTATION_RUNTIME_METADATA: dump_metadata(values) if values else None}}
    try:
        return await change(access, instance, merge_patch(before, after), metadata, version=version)
    except RefusedError as error:
        secrets = secrets_in(marked(candidate, access.context.templates).env)
        raise without(in_words_of(error, FIELDS), secrets) from None


async def _changes(access: Access, instance: HopperInstance, wanted: UpdateInstance) -> dict[str, Any]:
    """Return the fields of the spec that the request gives, None for one to be removed."""
    found: dict[str, Any] = {}
    given = wanted.model_fields_set
    if "name" in given:
        found["displayName"] = wanted.name if wanted.name != instance.name else None
    if "description" in given:
        found["description"] = wanted.description
    if "instance_type" in given:
        found["type"] = wanted.instance_type and wanted.instance_type.value
    if "config" in given:
        found["config"] = dump(_CONFIG, wanted.config) if wanted.config else None
    if "overrides" in given:
        found["overrides"] = (
            dump_overrides(_completed(access, wanted.overrides, instance)) if wanted.overrides else None
        )
    if "parent_id" in given:
        found["parentRef"] = {"name": await resolve_parent(access, wanted.parent_id)} if wanted.parent_id else None
    if "template" in given:
        if wanted.template:
            await check_template(access, wanted.template)
        found["templateRef"] = {"name": wanted.template} if wanted.template else None
    return found


def _completed(access: Access, overrides: Overrides, instance: HopperInstance) -> Overrides:
    """Return overrides with the values of secrets, which whoever has read them was not told."""
    before = marked(instance, access.context.templates)
    return replace(overrides, env=with_known_secrets(overrides.env, before.env))


def _as_if_changed(instance: HopperInstance, spec: dict[str, Any]) -> HopperInstance:
    """Return the instance as it is about to be, to be judged before."""
    return parse_instance({"metadata": instance.metadata, "spec": spec, "status": instance.status})
