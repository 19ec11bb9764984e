"""What the deletion of a stack's instance would take along: what is rendered for it now, and would not be any more."""

from hopper.api.instance import HopperInstance
from hopper.api.resources import ObjectKey
from hopper.domain.hierarchy import parent_link
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.render import Mode, mode_for, render_objects
from hopper.gateway.access import Access
from hopper.gateway.models.stacks import DeletePreview, ObjectView
from hopper.gateway.stacks.members import instance_id, instances_of, names, template_of


def preview(access: Access, stack: HopperInstance, instance: HopperInstance) -> DeletePreview:
    """Return what would go and what would stay."""
    called = names(access, instance)
    now, after, warnings = _objects(access, instance)
    if instance.spec.deletion_protection:
        warnings.append("it is protected: its deletion is refused until spec.deletionProtection is false")
    return DeletePreview(
        id=instance.name,
        name=instance_id(instance, stack),
        template_name=template_of(instance),
        override_count=len(instance.spec.overrides) if instance.spec.overrides else 0,
        container_name=called.base,
        removed=[ObjectView(*key) for key in now if key not in after],
        kept=[ObjectView(*key) for key in now if key in after],
        needed_by=_needed_by(access, stack, instance),
        warnings=warnings,
    )


def _objects(access: Access, instance: HopperInstance) -> tuple[list[ObjectKey], list[ObjectKey], list[str]]:
    called, mode = names(access, instance), mode_for(instance.status.phase, instance.status.effective_state)
    if mode is None:
        return [], [], []
    template = access.context.templates.get(access.namespace, template_of(instance))
    ancestors = parent_link(instance, access.index).ancestors
    blueprint = prepare_blueprint(instance, ancestors, template, names=called) if template else None
    if blueprint is None or blueprint.problems:
        why = f"template {template_of(instance)} does not exist" if blueprint is None else "it cannot be rendered"
        return [("Deployment", called.base)], [], [f"{why}: whatever else is called {called.base} would go as well"]
    now, after = (
        [(it["kind"], it["metadata"]["name"]) for it in render_objects(blueprint, one).objects]
        for one in (mode, Mode.TERMINATED)
    )
    return now, after, []


def _needed_by(access: Access, stack: HopperInstance, instance: HopperInstance) -> list[str]:
    called = {instance.name, instance_id(instance, stack)}
    found = []
    for sibling in instances_of(access, stack):
        template = access.context.templates.get(access.namespace, template_of(sibling))
        if template and called & set(template.spec.depends_on or ()) and sibling.name != instance.name:
            found.append(instance_id(sibling, stack))
    return found
