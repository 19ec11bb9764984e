"""Templates: what is written for them."""

from dataclasses import replace
from typing import Any

from hopper.adapters.custom_resources import merge_patch
from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, TEMPLATE_KIND
from hopper.api.resources import TEMPLATES
from hopper.api.template import HopperTemplate, TemplateSpec, dump_template_spec, parse_template
from hopper.domain.actions import is_alive
from hopper.domain.messages import join_names
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems
from hopper.gateway.access import Access
from hopper.gateway.http.errors import MissingError, TakenError, invalid_field
from hopper.gateway.intents.faults import invalid_service
from hopper.gateway.intents.secrecy import secrets_in, with_known_secrets
from hopper.gateway.intents.writes import in_words_of, without
from hopper.gateway.models.templates import CreateTemplate, UpdateTemplate
from hopper.ports import ConflictError, NotFoundError, RefusedError

_TRIES = 5


def find_template(access: Access, name: str) -> HopperTemplate:
    """Return the template of that name. Raises `MissingError`."""
    found = access.context.templates.get(access.namespace, name)
    if found is None:
        raise MissingError(f"Template {name} not found")
    return found


def templates_of(access: Access) -> list[HopperTemplate]:
    """Return all templates of the namespace, by name."""
    found = (it for it in access.context.templates if it.namespace == access.namespace)
    return sorted(found, key=lambda it: it.name)


def users_of(access: Access, template: str) -> list[HopperInstance]:
    """Return the instances that use a template, or may do so again, by name."""
    return sorted(filter(is_alive, access.index.users(template)), key=lambda it: it.name)


async def create_template(access: Access, wanted: CreateTemplate) -> HopperTemplate:
    """Create a template and return it. Raises `TakenError`."""
    _check(wanted.spec)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": TEMPLATE_KIND,
        "metadata": {"name": wanted.name},
        "spec": dump_template_spec(wanted.spec),
    }
    try:
        return _take(access, await access.context.intents.create(TEMPLATES, access.namespace, manifest))
    except ConflictError:
        raise TakenError(f"template {wanted.name} exists: choose another name, or change that one") from None
    except RefusedError as error:
        raise without(in_words_of(error, {"metadata.name": "name"}), secrets_in(wanted.spec.env)) from None


async def update_template(
    access: Access, template: HopperTemplate, wanted: UpdateTemplate, version: str | None
) -> HopperTemplate:
    """Give a template another spec and return it; with a version, only if it is still that one."""
    if wanted.name not in (None, template.name):
        raise invalid_field("name", f"cannot be changed: this is {template.name}", "immutable")
    spec = replace(wanted.spec, env=with_known_secrets(wanted.spec.env, template.spec.env))
    _check(spec)
    changes = merge_patch(dump_template_spec(template.spec), dump_template_spec(spec))
    try:
        return await _change(access, template, changes, version)
    except NotFoundError:
        raise MissingError(f"Template {template.name} not found") from None
    except RefusedError as error:
        raise without(error, secrets_in(spec.env)) from None


async def _change(
    access: Access, template: HopperTemplate, changes: dict[str, Any], version: str | None
) -> HopperTemplate:
    """Merge changes into the template that they were decided on; its status may have been written meanwhile."""
    intents, name, before = access.context.intents, template.name, template.metadata
    expected = version or before.resource_version
    for _ in range(_TRIES):
        body = {"metadata": {"uid": before.uid, "resourceVersion": expected}, "spec": changes}
        try:
            return _take(access, await intents.patch(TEMPLATES, access.namespace, name, body))
        except ConflictError:
            latest = _take(access, await intents.read(TEMPLATES, access.namespace, name)).metadata
        if version is not None or (latest.uid, latest.generation) != (before.uid, before.generation):
            break
        expected = latest.resource_version
    raise TakenError(f"template {name} was edited by someone else in between; read it again")


async def delete_template(access: Access, template: HopperTemplate) -> None:
    """Delete a template that nobody uses. Raises `TakenError`, which names the users."""
    name, uid = template.name, template.metadata.uid
    if users := users_of(access, name):
        names = join_names(tuple(it.name for it in users))
        raise TakenError(f"template {name} is used by {names}: give them another one, or terminate them first")
    try:
        await access.context.intents.delete(TEMPLATES, access.namespace, name, uid=uid)
    except NotFoundError:
        raise MissingError(f"Template {name} not found") from None
    except ConflictError:
        raise TakenError(f"template {name} was replaced by someone else in between; read it again") from None
    access.context.templates.remove(access.namespace, name, uid)


def _check(spec: TemplateSpec) -> None:
    """Raise `InvalidError` where nothing could be rendered from it: what the operator would say later, said now."""
    if found := find_problems(merge(spec, None)):
        raise invalid_service(found, spec, root=("spec",))


def _take(access: Access, raw: dict[str, Any]) -> HopperTemplate:
    """Take in the answer to a write, so that the next read sees it."""
    template = parse_template(raw)
    access.context.templates.put(template)
    return template
