"""What is written for the instances of a stack: created, changed, copied."""

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
from hopper.api.service import Overrides
from hopper.domain.actions import is_alive, is_final
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import wants_started
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.merge import ServiceProblem
from hopper.gateway.access import Access
from hopper.gateway.http.errors import BadRequestError, MissingError, TakenError
from hopper.gateway.intents.creating import as_if_created, create_object, remove
from hopper.gateway.intents.faults import invalid_service
from hopper.gateway.intents.placing import check_place, check_template
from hopper.gateway.intents.secrecy import secrets_in, with_known_secrets
from hopper.gateway.intents.writes import change, in_words_of, reason_of, without
from hopper.gateway.models.stacks import CreateStackInstance, OverrideKind, UpdateStackInstance
from hopper.gateway.stacks.members import checked_name, instance_id, names, object_name, template_of
from hopper.gateway.views.secrecy import marked
from hopper.ports import NotFoundError, RefusedError

_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)
# Where the fields of an instance come from, in the body of a request.
FIELDS: Mapping[str, str] = {"metadata.name": "instance_id", "spec": "", "spec.templateRef.name": "template_service_id"}
_LONGEST = 63
_MOST_COPIES = 1000
# What an instance does not hand on to a copy: what it has been through, and what is said about that.
_OWN = frozenset({"renamedFrom", "restartedAt", "reason", "deletionProtection"})


async def create_stack_instance(access: Access, stack: HopperInstance, wanted: CreateStackInstance) -> HopperInstance:
    """Create an instance of a stack and return it."""
    name = checked_name(stack, wanted.instance_id)
    await check_template(access, wanted.template_service_id)
    spec = {
        "scope": Scope.ORCHESTRATION.value,
        "parentRef": {"name": stack.name},
        "templateRef": {"name": wanted.template_service_id},
        "description": wanted.description,
        "reason": reason_of(access, None),
    }
    return await create_named(access, name, {key: value for key, value in spec.items() if value is not None}, [])


async def create_named(access: Access, name: str, spec: Manifest, secrets: list[str]) -> HopperInstance:
    """Create an instance; one of that name that is Terminated is replaced. Raises `TakenError`."""
    manifest = manifest_of(name, spec, {ANNOTATION_CREATED_BY: access.caller.name} if access.caller.is_known else {})
    check_place(access, as_if_created(access, manifest))
    await make_room(access, name)
    return await create_object(access, manifest, secrets, FIELDS)


def manifest_of(
    name: str, spec: Manifest, annotations: dict[str, str], labels: dict[str, str] | None = None
) -> Manifest:
    """Return an instance, ready to be created."""
    metadata: Manifest = {"name": name}
    if annotations:
        metadata["annotations"] = annotations
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": API_VERSION, "kind": INSTANCE_KIND, "metadata": metadata, "spec": spec}


async def make_room(access: Access, name: str) -> None:
    """Remove a Terminated instance of that name. Raises `TakenError` for any other one."""
    before = access.index.get(name)
    if before is None:
        return
    if before.status.phase is Phase.TERMINATED:
        await remove(access, before)
    elif is_alive(before):
        raise TakenError(f"{name} is taken: choose another instance_id, or delete that one first")
    else:
        raise TakenError(f"{name} is being terminated: choose another instance_id, or try again when that is done")


async def update_stack_instance(
    access: Access, instance: HopperInstance, wanted: UpdateStackInstance
) -> HopperInstance:
    """Change what is given and return the instance."""
    spec: Manifest = {}
    if "description" in wanted.model_fields_set and wanted.description != instance.spec.description:
        spec["description"] = wanted.description
    if wanted.enabled is not None and wanted.enabled != wants_started(instance.spec.desired_state):
        spec["desiredState"] = (DesiredState.RUNNING if wanted.enabled else DesiredState.STOPPED).value
        spec["reason"] = reason_of(access, None)
    if spec:
        _check_open(instance)
    # Where nothing is to change, too: it may have been changed by way of another gateway a moment ago.
    return await change(access, instance, spec)


async def replace_overrides(access: Access, instance: HopperInstance, kind: OverrideKind, body: Any) -> HopperInstance:
    """Replace one kind of overrides and return the instance. A secret without a value keeps the one that it has."""
    before = instance.spec.overrides or Overrides()
    known = marked(instance, access.context.templates).env
    entries = with_known_secrets(body, known) if kind.field == "env" else body
    changes: dict[str, Any] = {kind.field: entries}
    after = replace(before, **changes)
    if after == before:
        return await change(access, instance, {})
    _check_open(instance)
    if found := _new_problems(access, instance, after):
        raise invalid_service(found, after, part=(kind.wire,))
    value = dump(_OVERRIDES, after).get(kind.wire) or None
    try:
        return await change(access, instance, {"overrides": {kind.wire: value}})
    except RefusedError as error:
        secrets = secrets_in((*after.env, *known))
        raise without(in_words_of(error, {f"spec.overrides.{kind.wire}": ""}), secrets) from None


def _check_open(instance: HopperInstance) -> None:
    if is_final(instance):
        raise BadRequestError(f"{instance.name} is {instance.spec.desired_state}: its spec is read-only")


def _new_problems(access: Access, instance: HopperInstance, overrides: Overrides) -> tuple[ServiceProblem, ...]:
    """Return what these overrides would do wrong together with the template, and those that are there do not."""
    template = access.context.templates.get(access.namespace, template_of(instance))
    if template is None:
        return ()
    ancestors, called = parent_link(instance, access.index).ancestors, names(access, instance)
    changed = replace(instance, spec=replace(instance.spec, overrides=overrides))
    before, after = (prepare_blueprint(it, ancestors, template, names=called).problems for it in (instance, changed))
    return tuple(problem for problem in after if problem not in before)


async def duplicate(
    access: Access, stack: HopperInstance, source: HopperInstance, wanted: str | None
) -> HopperInstance:
    """Create a copy, overrides and all, in one write; return it."""
    spec = copied_spec(await read(access, source)) | {"reason": reason_of(access, f"copy of {source.name}")}
    if spec.get("desiredState") == DesiredState.ARCHIVED:
        spec["desiredState"] = DesiredState.STOPPED.value
    secrets = secrets_in(marked(source, access.context.templates).env)
    if wanted is not None:
        return await create_named(access, checked_name(stack, wanted), spec, secrets)
    for name in islice(_copies(stack, source), _MOST_COPIES):
        if access.index.get(name) is None:
            try:
                return await create_named(access, name, spec, secrets)
            except TakenError as error:
                if access.index.get(name) is None and not await _exists(access, name):
                    raise error from None  # not the name is in the way
    raise TakenError(f"{source.name} has {_MOST_COPIES} copies already: choose an instance_id")


def _copies(stack: HopperInstance, source: HopperInstance) -> Iterator[str]:
    original = instance_id(source, stack)
    for number in count(1):
        suffix = "-copy" if number == 1 else f"-copy-{number}"
        room = _LONGEST - len(object_name(stack, suffix))
        yield object_name(stack, f"{original[:room].rstrip('-')}{suffix}")


async def read(access: Access, instance: HopperInstance) -> Manifest:
    """Return an instance as the API server has it now. Raises `MissingError` where it is gone."""
    try:
        found = await access.context.intents.read(INSTANCES, access.namespace, instance.name)
    except NotFoundError:
        found = None
    if found is None or found["metadata"]["uid"] != instance.metadata.uid:
        raise MissingError(f"Instance {instance.name} not found")
    return found


async def _exists(access: Access, name: str) -> bool:
    try:
        await access.context.intents.read(INSTANCES, access.namespace, name)
    except NotFoundError:
        return False
    return True


def copied_spec(raw: Manifest) -> Manifest:
    """Return what a copy has of a spec."""
    return {key: value for key, value in raw["spec"].items() if key not in _OWN}
