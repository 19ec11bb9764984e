"""Renaming within a stack: one new object that says whom it replaces. The operator does the rest (`domain.renaming`).

Of several renames of one instance one wins: whoever gets the new name written onto the instance first. A gateway that
dies between the two writes has changed nothing; the same rename may be repeated at once, another one after a minute.
"""

from datetime import datetime, timedelta

from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_RENAMING_TO
from hopper.api.resources import INSTANCES, Manifest
from hopper.domain.messages import join_names
from hopper.domain.renaming import takeover_of
from hopper.domain.service.naming import claim_prefix
from hopper.gateway.access import Access
from hopper.gateway.http.errors import ForbiddenError, MissingError, TakenError
from hopper.gateway.intents.creating import as_if_created, create_object
from hopper.gateway.intents.placing import check_place
from hopper.gateway.intents.secrecy import secrets_in
from hopper.gateway.intents.writes import reason_of, reread
from hopper.gateway.stacks.changing import FIELDS, copied_spec, make_room, manifest_of, read
from hopper.gateway.stacks.members import (
    checked_name,
    find_instance,
    instance_id,
    lookup_instance,
    object_name,
    successor_in,
)
from hopper.gateway.views.secrecy import marked
from hopper.ports import ApiError, ConflictError, NotFoundError, UnavailableError

HELD_SECONDS = 60.0
CATCH_UP_SECONDS = 5.0
_TRIES = 10
# What tools write onto an object to know it again; a new object must not look like theirs.
_TOOLS = (
    *("kubectl.kubernetes.io/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"),
    *("meta.helm.sh/", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", ANNOTATION_RENAMING_TO),
)


async def rename(access: Access, stack: HopperInstance, identity: str, wanted: str) -> HopperInstance:
    """Give an instance of a stack another name and return it. May be repeated, also while it is under way."""
    name = checked_name(stack, wanted)
    source = lookup_instance(access, stack, identity)
    if source is None:
        return _renamed_already(access, stack, identity, name)
    if source.name == name:
        raise TakenError(f"{name} is called so already")
    _check(access, source)
    await make_room(access, name)
    try:
        raw = await _hold(access, source, name)
    except MissingError:
        await _until_known_gone(access, source)
        return _renamed_already(access, stack, identity, name)
    source = access.context.take(raw)
    manifest = _newcomer(access, source, raw, name)
    check_place(access, as_if_created(access, manifest))
    return await _create(access, source, manifest)


async def _until_known_gone(access: Access, source: HopperInstance) -> None:
    """Wait until the watch tells of it too: with that, it tells whether the instance has another name."""
    known = access.index.get(source.name)
    if known is not None and known.metadata.uid == source.metadata.uid:
        await access.context.waiting.until(known, lambda it: it is None, CATCH_UP_SECONDS)


def _renamed_already(access: Access, stack: HopperInstance, identity: str, name: str) -> HopperInstance:
    """Return the instance if this very rename has been done, or is under way. Raises `TakenError`, `MissingError`."""
    known = access.index.get(name)
    if known is not None and known.parent_name == stack.name and known.spec.renamed_from is not None:
        if known.spec.renamed_from.name in (object_name(stack, identity), identity):
            return known
        if known.status.predecessor == identity:
            return known
    if other := successor_in(access, stack, identity):
        raise TakenError(f"{identity} has another name by now: {instance_id(other, stack)}")
    return find_instance(access, stack, identity)


def _check(access: Access, source: HopperInstance) -> None:
    """Raise where the operator would refuse, or would have to wait."""
    if source.spec.deletion_protection:
        raise ForbiddenError(f"{source.name} is protected from deletion: set spec.deletionProtection to false first")
    if children := access.index.children(source.name):
        names = join_names(tuple(sorted(it.name for it in children)))
        raise TakenError(f"{source.name} has children, which name it as their parent: {names}; move them first")
    if takeover_of(source, access.index):
        raise TakenError(f"{source.name} is itself being renamed: try again when it runs")


async def _hold(access: Access, source: HopperInstance, name: str) -> Manifest:
    """Note the new name on the instance, unless somebody else has; return the instance as it is then."""
    intents, now = access.context.intents, access.context.clock()
    for _ in range(_TRIES):
        raw = await read(access, source)
        held = _held(raw, now)
        if held == name:
            return raw
        if held is not None:
            raise TakenError(f"{source.name} is being renamed to {held}: repeat that, or try again in a minute")
        version = {key: raw["metadata"][key] for key in ("uid", "resourceVersion")}
        noted = {ANNOTATION_RENAMING_TO: f"{name} {now.isoformat()}"}
        try:
            body = {"metadata": {**version, "annotations": noted}}
            return await intents.patch(INSTANCES, access.namespace, source.name, body)
        except ConflictError:
            continue
        except NotFoundError:
            raise MissingError(f"Instance {source.name} not found") from None
    raise TakenError(f"{source.name} is being edited by others: try again")


def _held(raw: Manifest, now: datetime) -> str | None:
    """Return the name that somebody else is renaming to, or was until a minute ago."""
    noted = raw["metadata"].get("annotations", {}).get(ANNOTATION_RENAMING_TO, "")
    name, _, since = noted.partition(" ")
    try:
        age = now - datetime.fromisoformat(since)
    except (TypeError, ValueError):  # somebody has written something else there
        return None
    return name if timedelta(0) <= age < timedelta(seconds=HELD_SECONDS) or age < timedelta(0) else None


async def _create(access: Access, source: HopperInstance, manifest: Manifest) -> HopperInstance:
    secrets = secrets_in(marked(source, access.context.templates).env)
    try:
        return await create_object(access, manifest, secrets, FIELDS)
    except UnavailableError:
        raise  # it may have happened all the same
    except TakenError:
        there = await reread(access, manifest["metadata"]["name"])
        before = there.spec.renamed_from
        if before is not None and before.name == source.name:
            return there
        await _let_go(access, source)
        raise
    except ApiError:
        await _let_go(access, source)
        raise


async def _let_go(access: Access, source: HopperInstance) -> None:
    """Leave the instance free to be renamed to something else; otherwise it is in a minute."""
    body = {"metadata": {"uid": source.metadata.uid, "annotations": {ANNOTATION_RENAMING_TO: None}}}
    try:
        access.context.take(await access.context.intents.patch(INSTANCES, access.namespace, source.name, body))
    except ApiError:
        return


def _newcomer(access: Access, source: HopperInstance, raw: Manifest, name: str) -> Manifest:
    prefix = claim_prefix(source) or source.status.workload_name
    renamed = {"name": source.name} | ({"claimPrefix": prefix} if prefix else {})
    reason = reason_of(access, f"renamed from {source.name}")
    spec = copied_spec(raw) | {"renamedFrom": renamed, "reason": reason}
    metadata = raw["metadata"]
    return manifest_of(name, spec, _kept(metadata.get("annotations", {})), _kept(metadata.get("labels", {})))


def _kept(entries: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in entries.items() if not key.startswith(_TOOLS)}
