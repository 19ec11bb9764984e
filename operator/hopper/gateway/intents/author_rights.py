"""Permissions that a write needs beyond those of its route, because Hopper acts on behalf of the author.

The admission policies of the chart require the same of authors who write without the gateway. Specs are in the form of
the API.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from hopper.api.enums import DesiredState
from hopper.api.instance import HopperInstance
from hopper.api.model import dump
from hopper.api.resources import DEPLOYMENTS, INSTANCES, SECRETS, Manifest
from hopper.api.service import Overrides
from hopper.gateway.access import Access
from hopper.gateway.auth import Permission, Purpose
from hopper.gateway.intents.secret_references import secret_references
from hopper.gateway.views.secret_values import is_generated_name

_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)
_WORKLOAD_FIELDS = ("templateRef", "overrides", "config", "type")
# Overrides of these kinds never decide what code runs.
_DATA_KINDS = frozenset({"ports", "labels", "domains"})
_FOREIGN_VOLUMES = frozenset({"bind", "config"})


async def check_new_instance(access: Access, name: str, spec: Manifest, source: HopperInstance | None) -> None:
    """Raise `ForbiddenError` if the caller must not create this instance. `source` is the instance that it copies."""
    if predecessor := (spec.get("renamedFrom") or {}).get("name"):
        await check_may_delete(access, predecessor, f"renaming {predecessor} to {name}")
    copied = overrides_of(source) if source else {}
    if spec.get("templateRef"):
        await _check_workload(access, f"instance {name}", copied, spec.get("overrides") or {})
    # A copy may use the Secrets that the gateway has made for its source, but no others.
    before = {secret for secret in secret_references(copied) if is_generated_name(secret)}
    await _check_references(access, before, spec.get("overrides") or {})


async def check_changed_instance(access: Access, instance: HopperInstance, changes: Manifest) -> None:
    """Raise `ForbiddenError` if the caller must not merge these changes into the spec of an instance."""
    is_terminated = instance.spec.desired_state is DesiredState.TERMINATED
    if changes.get("desiredState") == DesiredState.TERMINATED.value and not is_terminated:
        await check_may_delete(access, instance.name, f"terminating {instance.name}")
    ttl = changes.get("ttlSecondsAfterFinished")
    if ttl is not None and ttl != instance.spec.ttl_seconds_after_finished:
        await check_may_delete(access, instance.name, f"a time to live for {instance.name}")
    before = overrides_of(instance)
    has_template = bool(changes["templateRef"]) if "templateRef" in changes else instance.spec.template_ref is not None
    after = _after_merge(before, changes["overrides"]) if "overrides" in changes else before
    if has_template and any(field in changes for field in _WORKLOAD_FIELDS):
        await _check_workload(access, f"instance {instance.name}", before, after)
    await _check_references(access, set(secret_references(before)), after)


async def check_template(access: Access, name: str, before: Manifest, after: Manifest) -> None:
    """Raise `ForbiddenError` if the caller must not write this spec of a template. `before` is the current spec."""
    if before != after:
        await access.require(Permission("create", DEPLOYMENTS, purpose=Purpose.CODE), f"template {name}")
        await _check_references(access, set(secret_references(before)), after)


async def check_may_delete(access: Access, name: str, write: str) -> None:
    """Raise `ForbiddenError` if the caller must not delete an instance. `write` describes what has the same effect."""
    await access.require(Permission("delete", INSTANCES, name=name), write)


def overrides_of(instance: HopperInstance) -> Manifest:
    """Return the overrides of an instance in the form of the API."""
    return dump(_OVERRIDES, instance.spec.overrides) if instance.spec.overrides else {}


def _after_merge(before: Manifest, changes: Manifest | None) -> Manifest:
    """Return overrides after a merge patch. Each kind counts as replaced, which is at least as strict."""
    return {} if changes is None else before | changes


async def _check_workload(access: Access, subject: str, before: Manifest, after: Manifest) -> None:
    code = next(_code_decisions(before, after), None)
    if code is not None:
        await access.require(Permission("create", DEPLOYMENTS, purpose=Purpose.CODE), f"overrides.{code} of {subject}")
    await access.require(Permission("create", DEPLOYMENTS), f"the workload of {subject}")


def _code_decisions(before: Manifest, after: Manifest) -> Iterator[str]:
    """Yield the paths of the changed overrides that decide what code runs."""
    for kind in sorted((before.keys() | after.keys()) - _DATA_KINDS):
        old, new = before.get(kind) or [], after.get(kind) or []
        if kind == "env":
            yield from (f"env[{entry.get('name')}]" for entry in new if entry.get("valueFrom") and entry not in old)
        elif kind == "volumes":
            yield from (f"volumes[{entry.get('target')}]" for entry in new if _is_foreign(entry) and entry not in old)
        elif old != new:
            yield kind


def _is_foreign(volume: Mapping[str, Any]) -> bool:
    return bool(volume.get("external")) or volume.get("type") in _FOREIGN_VOLUMES


async def _check_references(access: Access, before: set[str], after: Manifest) -> None:
    """Check the permission to read each Secret that the service did not refer to before."""
    new = {secret: field for secret, field in secret_references(after).items() if secret not in before}
    if not new or await access.is_allowed(Permission("get", SECRETS, purpose=Purpose.CODE)):
        return
    for secret, field in new.items():
        await access.require(Permission("get", SECRETS, name=secret, purpose=Purpose.CODE), f"the reference of {field}")
