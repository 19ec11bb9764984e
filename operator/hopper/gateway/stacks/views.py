"""Responses about instances of a stack, and the preview of their deletion."""

from dataclasses import asdict
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.resources import ObjectKey
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import wants_started
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.render import Mode, mode_for, render_objects
from hopper.gateway.access import Access
from hopper.gateway.models.enums import STATUSES
from hopper.gateway.models.stacks import OVERRIDE_KINDS, DeletePreview, ObjectView, StackInstanceView
from hopper.gateway.stacks.members import members_of, name_in_stack, object_names_of, template_name_of
from hopper.gateway.views.resources import view_overrides
from hopper.gateway.views.secret_values import marked_overrides


def view_stack_instance(access: Access, stack: HopperInstance, member: HopperInstance) -> StackInstanceView:
    """Return an instance of a stack for a list."""
    metadata, spec, status = member.metadata, member.spec, member.status
    template = template_name_of(member)
    return StackInstanceView(
        id=member.name,
        uid=metadata.uid,
        stack_id=stack.name,
        instance_id=name_in_stack(member, stack),
        template_service_id=template,
        template_name=template,
        container_name=object_names_of(access, member).base,
        description=spec.description,
        enabled=wants_started(spec.desired_state),
        status=STATUSES[status.phase],
        ready=status.is_ready,
        override_count=len(spec.overrides) if spec.overrides else 0,
        created_at=metadata.creation_timestamp,
        updated_at=metadata.last_write or metadata.creation_timestamp,
    )


def view_stack_detail(access: Access, stack: HopperInstance, member: HopperInstance) -> dict[str, Any]:
    """Return an instance of a stack with all its overrides."""
    overrides = view_overrides(marked_overrides(member, access.context.templates))
    by_field = {
        kind.response_field: overrides.get(kind.wire, [] if kind.is_list else None) for kind in OVERRIDE_KINDS.values()
    }
    return asdict(view_stack_instance(access, stack, member)) | by_field


def preview_of_deletion(access: Access, stack: HopperInstance, member: HopperInstance) -> DeletePreview:
    """Return the objects that a deletion would remove and keep: those rendered now, but not when Terminated."""
    current, terminated, warnings = _owned_objects(access, member)
    if member.spec.deletion_protection:
        warnings.append("the instance is protected from deletion; set spec.deletionProtection to false first")
    return DeletePreview(
        id=member.name,
        name=name_in_stack(member, stack),
        template_name=template_name_of(member),
        override_count=len(member.spec.overrides) if member.spec.overrides else 0,
        container_name=object_names_of(access, member).base,
        removed=[ObjectView(*key) for key in current if key not in terminated],
        kept=[ObjectView(*key) for key in current if key in terminated],
        needed_by=_dependents_of(access, stack, member),
        warnings=warnings,
    )


def _owned_objects(access: Access, member: HopperInstance) -> tuple[list[ObjectKey], list[ObjectKey], list[str]]:
    """Return the objects that are rendered now, those rendered when Terminated, and warnings."""
    names, mode = object_names_of(access, member), mode_for(member.status.phase, member.status.effective_state)
    if mode is None:
        return [], [], []
    template = access.context.templates.get(access.namespace, template_name_of(member))
    ancestors = parent_link(member, access.index).ancestors
    blueprint = prepare_blueprint(member, ancestors, template, names=names) if template else None
    if blueprint is None:
        reason = f"template {template_name_of(member)} does not exist"
    elif blueprint.problems:
        reason = "the template with its overrides cannot be rendered"
    else:
        current, terminated = (
            [(manifest["kind"], manifest["metadata"]["name"]) for manifest in render_objects(blueprint, mode_).objects]
            for mode_ in (mode, Mode.TERMINATED)
        )
        return current, terminated, []
    warning = f"{reason}; all other owned objects with names based on {names.base} would be deleted as well"
    return [("Deployment", names.base)], [], [warning]


def _dependents_of(access: Access, stack: HopperInstance, member: HopperInstance) -> list[str]:
    """Return the names of the siblings with a template that depends on a member."""
    member_names = {member.name, name_in_stack(member, stack)}
    dependents = []
    for sibling in members_of(access, stack):
        template = access.context.templates.get(access.namespace, template_name_of(sibling))
        depends_on = set(template.spec.depends_on or ()) if template else set()
        if member_names & depends_on and sibling.name != member.name:
            dependents.append(name_in_stack(sibling, stack))
    return dependents
