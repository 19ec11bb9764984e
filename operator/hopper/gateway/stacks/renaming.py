"""Renaming within a stack: the gateway creates an instance with `spec.renamedFrom`, the operator does the takeover.

If several clients rename the same instance, only the one that first writes the new name to an annotation of the
instance succeeds. A gateway that stops between the two writes has changed nothing else: a client can repeat the same
rename at once, and another rename is possible after a minute.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_RENAMING_TO
from hopper.api.resources import INSTANCES, Manifest
from hopper.api.service import Overrides
from hopper.domain.messages import join_names
from hopper.domain.renaming import takeover_of
from hopper.domain.service.naming import claim_prefix
from hopper.gateway.access import Access
from hopper.gateway.http.errors import ForbiddenError, HttpConflictError, HttpNotFoundError
from hopper.gateway.intents.author_rights import check_may_delete, check_new_instance, overrides_of
from hopper.gateway.intents.checks import check_parent
from hopper.gateway.intents.creation import create_object, parse_as_created, read_generated_secrets
from hopper.gateway.intents.secret_references import SecretValues, write_secret_values
from hopper.gateway.intents.writes import read_instance, reason_with_caller
from hopper.gateway.stacks.changes import STACK_REQUEST_FIELDS, copied_spec, free_name, instance_manifest, read_member
from hopper.gateway.stacks.members import (
    checked_object_name,
    find_member,
    find_renamed,
    get_member_or_404,
    name_in_stack,
    object_name,
    template_name_of,
)
from hopper.gateway.views.queries import instance_not_found
from hopper.gateway.views.secret_values import is_generated_name, marked_overrides, secret_values
from hopper.ports import ApiError, ConflictError, NotFoundError, UnavailableError

RESERVATION_SECONDS = 60.0
DELETION_SECONDS = 5.0
_ATTEMPTS = 10
# Labels and annotations that tools use to recognize their objects. The new object must not look like theirs.
_TOOL_PREFIXES = (
    *("kubectl.kubernetes.io/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"),
    *("meta.helm.sh/", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", ANNOTATION_RENAMING_TO),
)


async def rename_instance(access: Access, stack: HopperInstance, identity: str, new_name: str) -> HopperInstance:
    """Rename an instance of a stack and return its successor. A client may repeat the request at any time."""
    name = checked_object_name(stack, new_name)
    source = find_member(access, stack, identity)
    if source is None:
        return await _repeat_rename(access, stack, identity, name)
    if source.name == name:
        raise HttpConflictError(f"the instance already has the name {name}")
    await check_may_delete(access, source.name, f"renaming {source.name}")
    _check_can_be_renamed(access, source)
    await check_new_instance(access, name, _service_spec(source), source)
    await free_name(access, name)
    try:
        raw = await _reserve(access, source, name)
    except HttpNotFoundError:
        await _wait_until_deleted(access, source)
        return await _repeat_rename(access, stack, identity, name)
    source = access.context.store(raw)
    manifest = _successor_manifest(access, source, raw, name)
    check_parent(access, parse_as_created(access, manifest))
    return await _create_successor(access, source, manifest)


def _service_spec(source: HopperInstance) -> Manifest:
    return {"templateRef": {"name": template_name_of(source)}, "overrides": overrides_of(source)}


async def _wait_until_deleted(access: Access, source: HopperInstance) -> None:
    """Wait until the index has seen the deletion, and with it the successor of a completed rename."""
    cached = access.index.get(source.name)
    if cached is not None and cached.metadata.uid == source.metadata.uid:
        await access.context.waiters.wait(cached, lambda instance: instance is None, DELETION_SECONDS)


async def _repeat_rename(access: Access, stack: HopperInstance, identity: str, name: str) -> HopperInstance:
    """Return the successor of a completed rename, after writing its Secret if that is missing."""
    successor = _completed_rename(access, stack, identity, name)
    predecessor = access.index.get(successor.spec.renamed_from.name) if successor.spec.renamed_from else None
    if predecessor is not None:
        await _complete_secrets(access, predecessor, successor)
    return successor


def _completed_rename(access: Access, stack: HopperInstance, identity: str, name: str) -> HopperInstance:
    """Return the successor if the same rename has completed or is in progress.

    Raises `HttpConflictError` after another rename, `HttpNotFoundError` if there is no such instance.
    """
    successor = access.index.get(name)
    if successor is not None and successor.parent_name == stack.name and successor.spec.renamed_from is not None:
        if successor.spec.renamed_from.name in (object_name(stack, identity), identity):
            return successor
        if successor.status.predecessor == identity:
            return successor
    if other := find_renamed(access, stack, identity):
        raise HttpConflictError(f"{identity} has already been renamed to {name_in_stack(other, stack)}")
    return get_member_or_404(access, stack, identity)


def _check_can_be_renamed(access: Access, source: HopperInstance) -> None:
    """Raise if the operator would refuse or delay the takeover."""
    if source.spec.deletion_protection:
        raise ForbiddenError(f"{source.name} is protected from deletion; set spec.deletionProtection to false first")
    if children := access.index.children(source.name):
        names = join_names(tuple(sorted(child.name for child in children)))
        raise HttpConflictError(f"{source.name} has children with a parentRef to it: {names}; move them first")
    if takeover_of(source, access.index):
        raise HttpConflictError(f"{source.name} is still taking over from its predecessor; try again when it runs")


async def _reserve(access: Access, source: HopperInstance, name: str) -> Manifest:
    """Write the new name to an annotation of the instance, unless another client has; return the instance."""
    intents, now = access.context.intents, access.context.clock()
    for _ in range(_ATTEMPTS):
        raw = await read_member(access, source)
        reserved = _reserved_name(raw, now)
        if reserved == name:
            return raw
        if reserved is not None:
            raise HttpConflictError(
                f"{source.name} is being renamed to {reserved}; repeat that request, or try again in a minute"
            )
        precondition = {key: raw["metadata"][key] for key in ("uid", "resourceVersion")}
        annotation = {ANNOTATION_RENAMING_TO: f"{name} {now.isoformat()}"}
        try:
            body = {"metadata": {**precondition, "annotations": annotation}}
            return await intents.patch(INSTANCES, access.namespace, source.name, body)
        except ConflictError:
            continue
        except NotFoundError:
            raise instance_not_found(source.name) from None
    raise HttpConflictError(f"other clients keep changing {source.name}; try again later")


def _reserved_name(raw: Manifest, now: datetime) -> str | None:
    """Return the name in the annotation; None if there is none, or if it is more than a minute old."""
    annotation = raw["metadata"].get("annotations", {}).get(ANNOTATION_RENAMING_TO, "")
    name, _, since = annotation.partition(" ")
    try:
        age = now - datetime.fromisoformat(since)
    except (TypeError, ValueError):  # the gateway has not written this value
        return None
    return name if age < timedelta(seconds=RESERVATION_SECONDS) else None


async def _create_successor(access: Access, source: HopperInstance, manifest: Manifest) -> HopperInstance:
    secrets = secret_values(marked_overrides(source, access.context.templates).env)
    try:
        return await create_object(access, manifest, secrets, STACK_REQUEST_FIELDS, source)
    except UnavailableError:
        raise  # the object may have been created, so the reservation stays
    except HttpConflictError:
        existing = await read_instance(access, manifest["metadata"]["name"])
        renamed_from = existing.spec.renamed_from
        if renamed_from is not None and renamed_from.name == source.name:
            await _complete_secrets(access, source, existing)
            return existing
        await _release(access, source)
        raise
    except ApiError:
        await _release(access, source)
        raise


async def _complete_secrets(access: Access, source: HopperInstance, successor: HopperInstance) -> None:
    """Write the Secret of a successor if it is missing, because a gateway stopped after it created the successor."""
    copied = await read_generated_secrets(access, overrides_of(source))
    values = {entry.name: entry.value_from for entry in (source.spec.overrides or Overrides()).env if entry.value_from}
    by_secret: dict[str, dict[str, str]] = {}
    for entry in (successor.spec.overrides or Overrides()).env:
        reference = entry.value_from and entry.value_from.secret_key_ref
        old = (original := values.get(entry.name)) and original.secret_key_ref
        if reference and old and is_generated_name(reference.name) and old.key in copied.get(old.name, {}):
            by_secret.setdefault(reference.name, {})[reference.key] = copied[old.name][old.key]
    for name, data in by_secret.items():
        with suppress(ConflictError):
            await write_secret_values(access, SecretValues(name, data), INSTANCES, successor.metadata)


async def _release(access: Access, source: HopperInstance) -> None:
    """Remove the annotation, so that another rename is possible at once. If that fails, it expires after a minute."""
    body = {"metadata": {"uid": source.metadata.uid, "annotations": {ANNOTATION_RENAMING_TO: None}}}
    try:
        access.context.store(await access.context.intents.patch(INSTANCES, access.namespace, source.name, body))
    except ApiError:
        return


def _successor_manifest(access: Access, source: HopperInstance, raw: Manifest, name: str) -> Manifest:
    prefix = claim_prefix(source) or source.status.workload_name
    renamed_from = {"name": source.name} | ({"claimPrefix": prefix} if prefix else {})
    reason = reason_with_caller(access, f"renamed from {source.name}")
    spec = copied_spec(raw) | {"renamedFrom": renamed_from, "reason": reason}
    metadata = raw["metadata"]
    annotations, labels = metadata.get("annotations", {}), metadata.get("labels", {})
    return instance_manifest(name, spec, _without_tools(annotations), _without_tools(labels))


def _without_tools(entries: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in entries.items() if not key.startswith(_TOOL_PREFIXES)}
