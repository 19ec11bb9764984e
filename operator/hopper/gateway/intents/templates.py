"""Reads and writes of templates."""

from dataclasses import replace

from hopper.adapters.custom_resources import merge_patch
from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, TEMPLATE_KIND
from hopper.api.resources import TEMPLATES, Manifest
from hopper.api.template import HopperTemplate, TemplateSpec, dump_template_spec, parse_template
from hopper.domain.actions import is_alive
from hopper.domain.messages import join_names
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems
from hopper.gateway.access import Access
from hopper.gateway.http.errors import HttpConflictError, HttpNotFoundError
from hopper.gateway.http.validation_errors import invalid_field
from hopper.gateway.intents.author_rights import check_template
from hopper.gateway.intents.checks import invalid_service
from hopper.gateway.intents.secret_references import move_secret_values, write_secret_values, write_secret_values_of_new
from hopper.gateway.intents.writes import with_request_fields
from hopper.gateway.models.templates import CreateTemplate, UpdateTemplate
from hopper.gateway.views.secret_values import redact, restore_secret_values, secret_values
from hopper.ports import ConflictError, NotFoundError, RefusedError

_ATTEMPTS = 5


def get_template_or_404(access: Access, name: str) -> HopperTemplate:
    """Return a template. Raises `HttpNotFoundError`."""
    template = access.context.templates.get(access.namespace, name)
    if template is None:
        raise _template_not_found(name)
    return template


def _template_not_found(name: str) -> HttpNotFoundError:
    return HttpNotFoundError(f"Template {name} not found")


def templates_in_namespace(access: Access) -> list[HopperTemplate]:
    """Return all templates of the namespace, sorted by name."""
    templates = (template for template in access.context.templates if template.namespace == access.namespace)
    return sorted(templates, key=lambda template: template.name)


def users_of_template(access: Access, template: str) -> list[HopperInstance]:
    """Return the instances that use a template, sorted by name. Terminated instances do not count."""
    return sorted(filter(is_alive, access.index.users(template)), key=lambda instance: instance.name)


async def create_template(access: Access, body: CreateTemplate) -> HopperTemplate:
    """Create a template and return it. Raises `HttpConflictError` if its name is in use."""
    _check_spec(body.spec)
    written = dump_template_spec(body.spec)
    await check_template(access, body.name, {}, written)
    spec, secret = move_secret_values(written, body.name)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": TEMPLATE_KIND,
        "metadata": {"name": body.name},
        "spec": spec,
    }
    try:
        template = _store(access, await access.context.intents.create(TEMPLATES, access.namespace, manifest))
    except ConflictError:
        raise HttpConflictError(
            f"template {body.name} already exists; choose another name, or change that template"
        ) from None
    except RefusedError as error:
        raise redact(with_request_fields(error, {"metadata.name": "name"}), secret_values(body.spec.env)) from None
    if secret is not None:
        await write_secret_values_of_new(access, secret, TEMPLATES, template.metadata)
    return template


async def update_template(
    access: Access, template: HopperTemplate, body: UpdateTemplate, version: str | None
) -> HopperTemplate:
    """Replace the spec of a template and return it. With `version`, the template must still have that version."""
    if body.name not in (None, template.name):
        raise invalid_field("name", f"is immutable: the template is {template.name}", "immutable")
    spec = replace(body.spec, env=restore_secret_values(body.spec.env, template.spec.env))
    _check_spec(spec)
    before, after = dump_template_spec(template.spec), dump_template_spec(spec)
    await check_template(access, template.name, before, after)
    changes = merge_patch(before, after)
    if changes.get("env"):
        changes, secret = move_secret_values(changes, template.name)
        if secret is not None:
            await write_secret_values(access, secret, TEMPLATES, template.metadata)
    try:
        return await _patch(access, template, changes, version)
    except NotFoundError:
        raise _template_not_found(template.name) from None
    except RefusedError as error:
        raise redact(error, secret_values(spec.env)) from None


async def _patch(access: Access, template: HopperTemplate, changes: Manifest, version: str | None) -> HopperTemplate:
    """Merge changes into a template. A changed status is no conflict."""
    intents, name, before = access.context.intents, template.name, template.metadata
    expected = version or before.resource_version
    for _ in range(_ATTEMPTS):
        body = {"metadata": {"uid": before.uid, "resourceVersion": expected}, "spec": changes}
        try:
            return _store(access, await intents.patch(TEMPLATES, access.namespace, name, body))
        except ConflictError:
            latest = _store(access, await intents.read(TEMPLATES, access.namespace, name)).metadata
        if version is not None or (latest.uid, latest.generation) != (before.uid, before.generation):
            break
        expected = latest.resource_version
    raise HttpConflictError(f"template {name} was changed by another client; read it again and repeat the change")


async def delete_template(access: Access, template: HopperTemplate) -> None:
    """Delete a template. Raises `HttpConflictError` if instances use it."""
    name, uid = template.name, template.metadata.uid
    if users := users_of_template(access, name):
        names = join_names(tuple(user.name for user in users))
        raise HttpConflictError(
            f"template {name} is used by {names}; give them another template, or terminate them first"
        )
    try:
        await access.context.intents.delete(TEMPLATES, access.namespace, name, uid=uid)
    except NotFoundError:
        raise _template_not_found(name) from None
    except ConflictError:
        raise HttpConflictError(f"template {name} was replaced by another client; read it again") from None
    access.context.templates.remove(access.namespace, name, uid)


def _check_spec(spec: TemplateSpec) -> None:
    """Raise `ValidationFailedError` if the spec cannot be rendered."""
    if service_problems := find_problems(merge(spec, None)):
        raise invalid_service(service_problems, spec, root=("spec",))


def _store(access: Access, raw: Manifest) -> HopperTemplate:
    """Store an object that the API server has returned, so that the next read sees it; return the template."""
    template = parse_template(raw)
    access.context.templates.put(template)
    return template
